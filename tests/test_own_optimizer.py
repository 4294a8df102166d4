"""Optimizers by their import path: what is imported and when, and faults with their places."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import mlptrain
from mlptrain.errors import DivergedError, SpecError, UserError
from mlptrain.report.comparison.words import describe_setting
from mlptrain.spec import load_spec
from mlptrain.spec.code import code_allowed, is_code_allowed
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.spec.search.load import load_search
from tests.command import Call

SIGNS = (Path(__file__).parents[1] / "configs" / "comparisons" / "signs.py").read_text()
YAML = """\
data: {{name: digits, classes: [0, 1], train_size: 200, test_size: 50}}
model: {{hidden: [8]}}
optimizer: {optimizer}
training: {{epochs: 3, batch_size: 8}}
"""
SAM = "'pytorch_optimizer:SAM', base_optimizer: 'torch.optim:SGD', momentum: 0.9"
OWN = "{name: 'signs:SignMomentum', lr: 0.003}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A module, which leaves a mark when it is imported, beside a configuration that names it."""
    (tmp_path / "signs.py").write_text(
        SIGNS + f"\n\nfrom pathlib import Path\n(Path({str(tmp_path)!r}) / 'imported').touch()\n"
    )
    config(tmp_path, OWN)
    return tmp_path


def config(folder: Path, optimizer: str) -> Path:
    (path := folder / "c.yaml").write_text(YAML.format(optimizer=optimizer))
    return path


def fault(folder: Path, optimizer: str, *, allow: bool = True) -> str:
    with pytest.raises(SpecError) as caught, code_allowed(allow):
        load_spec(config(folder, optimizer))
    [only] = caught.value.faults
    return str(only).removeprefix(f"{folder}/")


REFUSED = (
    "c.yaml:3:19  optimizer.name: is code: importing 'signs:SignMomentum' would run {}/signs.py; read that first, "
)


@pytest.mark.parametrize("command", ["train", "check", "gradcheck"])
def test_nothing_is_imported_without_being_allowed(call: Call, folder: Path, command: str) -> None:
    found = call(command, str(folder / "c.yaml"))
    assert found.code == 2
    assert found.err.removeprefix(f"{folder}/").startswith(REFUSED.format(folder))
    assert "--allow-code" in found.err
    assert len(found.err.splitlines()) == 1
    assert not (folder / "imported").exists()
    assert not is_code_allowed()


@pytest.mark.parametrize("where", ["beside", "elsewhere"])
def test_a_module_that_is_named_as_a_collection_is_none(
    call: Call, folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """As the folder one works in hides what is installed under ``python -m``."""
    hiding = folder if where == "beside" else tmp_path_factory.mktemp("hiding")
    (hiding / "schedulefree.py").write_text(f"open({str(folder / 'imported')!r}, 'w')\n")
    monkeypatch.delitem(sys.modules, "schedulefree", raising=False)
    monkeypatch.syspath_prepend(str(hiding))
    found = call("check", str(config(folder, "'schedulefree:SGDScheduleFree'")))
    assert (found.code, "is code: importing" in found.err) == (2, True)
    assert not (folder / "imported").exists()


@pytest.mark.parametrize("command", [("data", "show"), ("plot", "samples"), ("plot", "histogram")])
def test_what_is_drawn_of_data_needs_no_leave(call: Call, folder: Path, command: tuple[str, str]) -> None:
    out = [] if command[0] == "data" else ["--out", str(folder / "picture.png")]
    assert call(*command, str(folder / "c.yaml"), *out).code == 0
    assert not (folder / "imported").exists()


def test_a_schedule_is_drawn_at_the_rate_of_the_class(call: Call, folder: Path) -> None:
    path = str(config(folder, "'signs:SignMomentum'"))
    found = call("plot", "schedule", path, "--out", str(folder / "picture.svg"))
    assert (found.code, "--allow-code" in found.err) == (2, True)
    assert call("plot", "schedule", path, "--out", str(folder / "picture.svg"), "--allow-code").code == 0


def test_nor_by_a_comparison(call: Call, folder: Path) -> None:
    (folder / "compare.yaml").write_text(f"base: c.yaml\noptimizers: {{Own: {OWN}, Adam: adam}}\n")
    found = call("compare-optimizers", str(folder / "compare.yaml"))
    assert found.code == 2
    assert ":2:26  optimizers.Own.name: is code: importing 'signs:SignMomentum' would run" in found.err
    found = call("compare-optimizers", str(folder / "c.yaml"), "--optimizers", "signs:SignMomentum,adam", "--lr", "0.1")
    assert found.code == 2
    assert not (folder / "imported").exists()


def test_a_run_resumes_with_the_code_and_is_evaluated_without(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bytes of one that was never stopped; the code is gone before it is evaluated."""
    monkeypatch.chdir(folder)
    for run, epochs in (("whole", 5), ("part", 3)):
        options = ["--set", f"training.epochs={epochs}", "--run-dir", run, "--allow-code"]
        assert call("train", "c.yaml", *options).code == 0
    found = call("train", "--resume", "part", "--set", "training.epochs=5")
    assert (found.code, "--allow-code" in found.err) == (2, True)
    assert call("train", "--resume", "part", "--set", "training.epochs=5", "--allow-code").code == 0
    whole, part = (json.loads(Path(run, "result.json").read_text()) for run in ("whole", "part"))
    assert whole["kept"] == part["kept"]
    lines = [Path(run, "metrics.jsonl").read_bytes() for run in ("whole", "part")]
    assert lines[0] == lines[1]
    (folder / "signs.py").rename(folder / "elsewhere.py")
    assert call("eval", "part", "--json").code == 0
    assert call("predict", "part", "--index", "0").code == 0
    assert mlptrain.load("part") is not None
    assert not is_code_allowed()


def test_changed_code_is_another_optimizer(folder: Path) -> None:
    run = mlptrain.train(folder / "c.yaml", run_dir=folder / "run", allow_code=True).folder.path
    (folder / "signs.py").write_text(SIGNS.replace("lr", "rate", 0) + "\n")
    with pytest.raises(UserError, match=r"has changed: .*signs\.py is not the file that was recorded"):
        mlptrain.resume(run, epochs=4, allow_code=True)
    with pytest.raises(SpecError, match="has changed"):
        mlptrain.train(run / "resolved.yaml", allow_code=True)


def test_resolved_values_are_those_of_the_constructor(folder: Path) -> None:
    with code_allowed():
        spec: Any = load_spec(config(folder, "'signs:SignMomentum'")).spec.optimizer
    assert (spec.lr, spec.momentum, spec.weight_decay) == (0.001, 0.9, 0.0)
    assert spec.path == str(folder / "signs.py")
    for text, momentum in (("lr: 1", 0.9), ("momentum: 0.5", 0.5)):
        with code_allowed():
            spec = load_spec(config(folder, f"{{name: 'signs:SignMomentum', {text}}}")).spec.optimizer
        assert spec.momentum == momentum


FAULTS = {
    "{name: 'signs:SignMomentum', lr: 0.1, momentun: 0.5}": (
        "c.yaml:3:50  optimizer.momentun: unknown key; did you mean 'momentum'?"
    ),
    "{name: 'signs:SignMomentum', betas: 0.5}": (
        "c.yaml:3:41  optimizer.betas: unknown key; its constructor takes lr, momentum"
    ),
    "{name: 'signs:SignMomentun'}": (
        "c.yaml:3:19  optimizer.name: names a class that is not there: signs has no SignMomentun; did you mean "
        "'signs:SignMomentum'?"
    ),
    "{name: 'signs:Path'}": "c.yaml:3:19  optimizer.name: must be a subclass of torch.optim.Optimizer",
    "{name: 'signs.py:A'}": "c.yaml:3:19  optimizer.name: names a file; write signs:A, the module's name",
    "{name: 'sings:A'}": "c.yaml:3:19  optimizer.name: names the module 'sings', which neither lies in ",
    "{name: 'a b:C'}": "c.yaml:3:19  optimizer.name: must be module:Class, such as pytorch_optimizer:Lion, got 'a b:C'",
    "{name: 'signs:SignMomentum', lr: -1}": "c.yaml:3:45  optimizer.lr: must be above 0, got -1",
    "{name: 'signs:SignMomentum', lr: fast}": "c.yaml:3:45  optimizer.lr: must be a number, got the text 'fast'",
    "{name: 'signs:SignMomentum', momentum: .inf}": (
        "c.yaml:3:51  optimizer.momentum: must be a finite number, got inf"
    ),
    "{name: 'signs:SignMomentum', weight_decay_for: weights}": (
        "c.yaml:3:59  optimizer.weight_decay_for: has no effect: the constructor takes no weight_decay"
    ),
    "{name: 'bad:NoRate'}": "c.yaml:3:19  optimizer.name: takes no lr, which schedules drive and records show; its ",
    "{name: 'bad:Wants', lr: 1.0}": (
        "c.yaml:3:1  optimizer.depth: required key is missing: the constructor has no default for it"
    ),
    "{name: 'bad:Wants', lr: 1.0, depth: -2}": (
        "c.yaml:3:48  optimizer.depth: is refused by the constructor of Wants, got -2 (ValueError: depth must be "
        "positive)"
    ),
    "{name: 'broken:A'}": "c.yaml:3:19  optimizer.name: cannot be imported: ",
    "{name: 'pytorch_optimizer:Lionn'}": (
        "c.yaml:3:19  optimizer.name: names a class that is not there: pytorch_optimizer has no Lionn; did you mean "
        "'pytorch_optimizer:Lion'?"
    ),
    "{name: 'pytorch_optimizer:Lion', betas: 3}": (
        "c.yaml:3:52  optimizer.betas: must be a list such as [0.9, 0.99], got 3"
    ),
    "{name: 'pytorch_optimizer:Lion', betas: [0.9, 2.0]}": (
        "c.yaml:3:52  optimizer.betas: is refused by the constructor of Lion, got [0.9, 2.0] ("
    ),
    "{name: 'pytorch_optimizer:SAM', lr: 0.1}": (
        "c.yaml:3:1  optimizer.base_optimizer: required key is missing: the constructor has no default for it"
    ),
    "{name: 'pytorch_optimizer:SAM', lr: 0.1, base_optimizer: sgd}": (
        "c.yaml:3:69  optimizer.base_optimizer: must be module:Class, such as torch.optim:SGD, got 'sgd'"
    ),
    "{name: 'pytorch_optimizer:SAM', lr: 0.1, base_optimizer: 'torch.optim:SDG'}": (
        "c.yaml:3:69  optimizer.base_optimizer: names a class that is not there: torch.optim has no SDG; did you mean "
        "'torch.optim:SGD'?"
    ),
    "{name: 'pytorch_optimizer:SAM', lr: 0.1, base_optimizer: 'torch.optim:SGD', momentun: 0.9}": (
        "c.yaml:3:98  optimizer.momentun: is refused by the constructor of SAM, got 0.9 (TypeError: SGD.__init__() got"
    ),
    "{name: 'pytorch_optimizer:Lookahead', lr: 0.1}": (
        "c.yaml:3:19  optimizer.name: is made from another optimizer, and here a class is given parameters alone"
    ),
    "{name: 'signs:SignMomentum', momentum: high}": (
        "c.yaml:3:51  optimizer.momentum: must be a number, got the text 'high'"
    ),
    "{name: 'signs:SignMomentum', momentum: [0.5, 0.9]}": (
        "c.yaml:3:51  optimizer.momentum: must be a number, got [0.5, 0.9]"
    ),
}
BAD = """
import torch

class NoRate(torch.optim.Optimizer):
    def __init__(self, params, speed=1.0): ...

class Wants(torch.optim.Optimizer):
    def __init__(self, params, lr, depth):
        if depth < 0:
            raise ValueError("depth must be positive")
        super().__init__(params, {"lr": lr})
"""


@pytest.mark.parametrize(("optimizer", "says"), FAULTS.items())
def test_faults_have_their_place(folder: Path, optimizer: str, says: str) -> None:
    (folder / "bad.py").write_text(BAD)
    (folder / "broken.py").write_text("import torch\nraise SystemExit(3)\n")
    assert fault(folder, optimizer).startswith(says)


def test_a_collection_needs_no_leave_but_has_to_be_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lion = "{name: 'pytorch_optimizer:Lion', weight_decay: 0.1}"
    spec: Any = load_spec(config(folder, lion)).spec.optimizer
    assert (spec.lr, spec.betas, spec.weight_decay) == (0.0001, [0.9, 0.99], 0.1)
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "pytorch_optimizer")
    assert 'not installed: pip install "mlptrain[optimizers]"' in fault(folder, lion, allow=False)


WHERE = {
    "arms": "arms: {{A: {{}}, B: {{{}}}}}\n",
    "space": "space: {{{}}}\n",
}


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("optimizer.momentun: [0.5, 0.9]", "optimizer.momentun: unknown key; did you mean 'momentum'?"),
        ("optimizer.beta3: [0.5, 0.9]", "optimizer.beta3: unknown key; its constructor takes lr, momentum"),
        ("optimizer.momentum: [0.5, fast]", "optimizer.momentum[1]: must be a number, got the text 'fast'"),
    ],
)
@pytest.mark.parametrize("section", WHERE)
def test_keys_of_its_constructor_in_a_study_and_in_a_search(folder: Path, section: str, key: str, says: str) -> None:
    load = load_comparison if section == "arms" else load_search
    (path := folder / "x.yaml").write_text("base: c.yaml\n" + WHERE[section].format(key))
    with pytest.raises(SpecError) as caught, code_allowed():
        load(path)
    [fault] = caught.value.faults
    at = "arms.B." if section == "arms" else "space."
    assert (fault.line, str(fault).partition("  ")[2]) == (2, f"{at}{says}")


def test_what_a_class_of_a_collection_passes_over_is_refused(folder: Path) -> None:
    """Its constructor takes any argument; cautious is one that it reads."""
    takes = "its constructor takes lr, betas, weight_decay, weight_decouple"
    lion = "{{name: 'pytorch_optimizer:Lion', {}: true}}"
    assert f"c.yaml:3:45  optimizer.beta3: unknown key; {takes}" in fault(folder, lion.format("beta3"))
    assert fault(folder, lion.format("weight_decoupl")).endswith("unknown key; did you mean 'weight_decouple'?")
    assert load_spec(config(folder, lion.format("cautious"))).spec.optimizer.name == "pytorch_optimizer:Lion"


def test_its_values_are_tuned_and_searched(call: Call, folder: Path) -> None:
    (study := folder / "study.yaml").write_text(
        "base: c.yaml\narms: {A: {optimizer.momentum: [0.5, 0.9]}, B: {optimizer: {name: adam, lr: [0.01, 0.1]}}}\n"
    )
    with code_allowed():
        assert load_comparison(study).spec.budgets == {"A": 2, "B": 2}
    (path := folder / "search.yaml").write_text(
        "base: c.yaml\nspace: {optimizer.momentum: {uniform: [0.1, 0.9]}, optimizer.lr: [0.001, 0.01]}\n"
        "trials: 4\nmethod: random\nscoring: {seeds: 2}\n"
    )
    refused = call("search", str(path), "--run-dir", str(folder / "searched"))
    assert refused.code == 2
    assert refused.err.removeprefix(f"{folder}/").startswith(REFUSED.format(folder))
    assert not (folder / "searched").exists()
    searched = call("search", str(path), "--run-dir", str(folder / "searched"), "--allow-code")
    best = str(folder / "searched" / "best.yaml")
    assert (searched.code, f"mlptrain train {best} --allow-code" in searched.out) == (0, True)
    assert "`mlptrain train --allow-code` on this file" in Path(best).read_text()
    assert call("search", str(folder / "searched")).code == 2
    assert call("train", best, "--run-dir", str(folder / "best"), "--allow-code").code == 0


def test_a_search_shows_sections_as_they_were_written(call: Call, folder: Path) -> None:
    """Without what was filled in, and without the rate, which another key sets; the best one needs no code here."""
    rows = "".join(f"{n % 7},{n % 3},{int(n % 7 > 3)}\n" for n in range(200))
    (folder / "rows.csv").write_text(f"a,b,y\n{rows}")
    (folder / "of").mkdir()
    (folder / "signs.py").rename(folder / "of" / "signs.py")
    data = "{name: table, path: ../rows.csv, target: y, task: classification, validation: 0.3}"
    (path := folder / "of" / "search.yaml").write_text(
        f"base: {{data: {data}, model: {{hidden: [4]}}, optimizer: {{name: adam, lr: 0.5}}, training: {{epochs: 2}}}}\n"
        "space:\n  optimizer: [{name: adam}, {name: sgd, lr: 0.7, momentum: 0.9}, {name: 'signs:SignMomentum'}]\n"
        "  optimizer.lr: {log_uniform: [0.01, 0.1]}\nmethod: random\ntrials: 8\nscoring: {seeds: 1}\n"
    )
    out = folder / "out"
    shown = call("search", str(path), "--run-dir", str(out), "--allow-code")
    assert shown.code == 0
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    best = (out / "best.yaml").read_text()
    sections: list[dict[str, Any]] = [
        {"name": "adam"},
        {"name": "sgd", "momentum": 0.9},
        {"name": "signs:SignMomentum"},
    ]
    assert summary["space"]["optimizer"] == sections
    chosen = [trial["changes"]["optimizer"] for trial in summary["trials"]]
    assert {section["name"] for section in chosen} == {section["name"] for section in sections}
    assert all(section in sections for section in chosen)
    assert chosen[summary["best"]]["name"] != "signs:SignMomentum"
    assert f"train: mlptrain train {out / 'best.yaml'}\n" in shown.out
    assert "--allow-code" not in best
    assert f"path: {folder / 'rows.csv'}\n" in best
    before = (out / "summary.json").read_bytes()
    assert call("search", str(out), "--allow-code").code == 0
    assert (out / "summary.json").read_bytes() == before


def test_learning_rates_are_not_tried_without_leave(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    refused = call("lr-find", "c.yaml")
    assert (refused.code, "--allow-code" in refused.err, (folder / "imported").exists()) == (2, True, False)
    wrong = call("lr-find", "c.yaml", "--allow-code", "--set", "optimizer.momentun=0.5")
    assert wrong.err == "--set optimizer.momentun=0.5  optimizer.momentun: unknown key; did you mean 'momentum'?\n"
    assert call("lr-find", "c.yaml", "--allow-code", "--rates", "3", "--steps", "2").code == 0


STUBBORN = """
import torch

class Stubborn(torch.optim.SGD):
    def step(self, closure=None):
        raise ValueError("not today")
"""
ITS_STUDIES = {
    "train": ("", "c.yaml:3:19  optimizer.name"),
    "search": ("base: c.yaml\nspace: {optimizer.lr: [0.1, 0.2]}\nmethod: grid\n", "c.yaml:3:19  optimizer.name"),
    "search of optimizers": (
        "base: adam.yaml\nspace: {optimizer: [adam, {name: 'stubborn:Stubborn', lr: 0.1}]}\nmethod: grid\n",
        "x.yaml:2:34  space.optimizer[1].name",
    ),
    "compare": (
        "base: adam.yaml\narms: {A: {}, B: {optimizer: {name: 'stubborn:Stubborn', lr: 0.1}}}\n",
        "x.yaml:2:37  arms.B.optimizer.name",
    ),
    "compare-optimizers": (
        "base: adam.yaml\noptimizers: {A: adam, B: {name: 'stubborn:Stubborn', lr: 0.1}}\n",
        "x.yaml:2:33  optimizers.B.name",
    ),
}


@pytest.mark.parametrize("command", ITS_STUDIES)
def test_one_that_cannot_train_has_its_place_and_leaves_nothing(call: Call, folder: Path, command: str) -> None:
    (folder / "stubborn.py").write_text(STUBBORN)
    config(folder, "adam").rename(folder / "adam.yaml")
    config(folder, "{name: 'stubborn:Stubborn', lr: 0.1}")
    text, at = ITS_STUDIES[command]
    (folder / "x.yaml").write_text(text)
    file = str(folder / ("x.yaml" if text else "c.yaml"))
    found = call(command.partition(" ")[0], file, "--run-dir", str(folder / "run"), "--allow-code")
    says = f"{at}: cannot train here: a step fails with ValueError: not today\n"
    assert (found.code, found.err.removeprefix(f"{folder}/")) == (2, says)
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("training.batch_size=64", "training.batch_size: must be full for the optimizer 'lbfgs'"),
        ("model.dropout=0.1", "model.dropout: draws at random in every evaluation"),
        ("augmentation.noise=0.1", "augmentation: draws at random in every evaluation"),
        ("training.clip_norm=1", "training.clip_norm: is no part of what the optimizer 'lbfgs' minimises"),
    ],
)
def test_lbfgs_needs_the_same_function_in_every_evaluation(folder: Path, text: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(config(folder, "lbfgs"), ["training.batch_size=full", text])
    assert [str(fault).partition("  ")[2].startswith(says) for fault in caught.value.faults] == [True]


def test_muon_of_an_older_torch_names_the_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.spec.rules.training.version", lambda _: "2.8.0+cpu")
    assert fault(folder, "muon").endswith("optimizer.name: 'muon' needs torch 2.9 or newer, and 2.8 is installed")


def test_a_base_of_ones_own_needs_leave(folder: Path) -> None:
    text = "{name: 'pytorch_optimizer:SAM', lr: 0.1, base_optimizer: 'signs:SignMomentum'}"
    assert "optimizer.base_optimizer: is code: importing" in fault(folder, text, allow=False)


def test_what_a_closure_does_not_evaluate_is_refused(folder: Path) -> None:
    path = config(folder, "{name: 'pytorch_optimizer:SAM', lr: 0.1, base_optimizer: 'torch.optim:SGD'}")
    with pytest.raises(
        UserError, match=r"training\.clip_norm: is no part of what the closure of the optimizer '.*SAM'"
    ):
        mlptrain.train(path, overrides=["training.clip_norm=1"], run_dir=folder / "run")


FAILING = """
import torch

class Failing(torch.optim.SGD):
    def step(self, closure=None):
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["n"] = self.state[p].get("n", torch.zeros(())) + 1
                if self.state[p]["n"] > 30:
                    p.data.fill_(FILL) if FILL else None
                    raise ArithmeticError("no more")
"""


def test_a_step_that_fails_is_an_error_and_where_numbers_are_not_finite_a_divergence(folder: Path) -> None:
    path = config(folder, "{name: 'failing:Failing', lr: 0.01}")
    (folder / "failing.py").write_text(FAILING.replace("FILL", "0"))
    with pytest.raises(UserError, match=r"optimizer 'failing:Failing': a step fails with ArithmeticError: no more"):
        mlptrain.train(path, run_dir=folder / "failed", allow_code=True)
    (folder / "failing.py").write_text(FAILING.replace("FILL", "torch.inf"))
    with pytest.raises(DivergedError):
        mlptrain.train(path, run_dir=folder / "diverged", allow_code=True)
    assert json.loads((folder / "diverged" / "result.json").read_text())["status"] == "diverged"


def test_an_average_of_an_average_is_refused(folder: Path) -> None:
    path = config(folder, "'schedulefree:AdamWScheduleFree'")
    with pytest.raises(UserError, match=r"training\.ema: optimizer '.*' averages by itself"):
        mlptrain.train(path, overrides=["training.ema=0.9"], run_dir=folder / "run")
    assert not (folder / "run").exists()


@pytest.mark.parametrize("optimizer", ["'schedulefree:AdamWScheduleFree'", "muon", "adafactor", "lbfgs", SAM])
def test_a_run_resumes_to_the_same_bytes(folder: Path, optimizer: str) -> None:
    path = config(folder, f"{{name: {optimizer}, lr: {1.0 if optimizer == 'lbfgs' else 0.01}}}")
    more = ["training.batch_size=full"] if optimizer == "lbfgs" else []
    whole = mlptrain.train(path, overrides=[*more, "training.epochs=6"], run_dir=folder / "whole").folder
    mlptrain.train(path, overrides=more, run_dir=folder / "part")
    part = mlptrain.resume(folder / "part", epochs=6).folder
    assert whole.metrics.read_bytes() == part.metrics.read_bytes()
    arrays = [mlptrain.export(folder.path) for folder in (whole, part)]
    assert all((arrays[0][name] == arrays[1][name]).all() for name in arrays[0] if name.startswith("l"))


def test_an_own_optimizer_is_compared_with_adam(call: Call, folder: Path) -> None:
    base = {"data": {"name": "digits", "train_size": 200, "test_size": 50}, "model": {"hidden": [8]}}
    own = {"name": "signs:SignMomentum", "path": str(folder), "lr": [0.001, 0.01], "momentum": [0.5, 0.9]}
    study = {
        "base": {**base, "training": {"epochs": 1}},
        "optimizers": {"Own": own, "Adam": {"name": "adam", "lr": [0.001, 0.01]}},
        "tuning": {"seeds": 1, "extensions": 1},
        "scoring": {"seeds": 2},
    }
    found, summary = mlptrain.compare_optimizers(study, run_dir=folder / "compared", allow_code=True)
    assert set(summary.ranking) == {"Own", "Adam"}
    setting = summary.optimizers["Own"].setting
    assert setting is not None
    assert setting.name == "signs:SignMomentum"
    assert "sha256" in (found.path / "plan.yaml").read_text()
    momentum = setting.model_dump()["momentum"]  # of 0.5 and 0.9, which its constructor has
    assert summary.optimizers["Own"].at_default == (["momentum"] if momentum == 0.9 else [])
    shown = describe_setting(summary.optimizers["Own"])
    assert shown == f"signs:SignMomentum lr {setting.lr:g}, momentum {momentum:.4g}"
    is_read_without_its_code(call, folder, found.path)


def is_read_without_its_code(call: Call, folder: Path, study: Path) -> None:
    """Neither the page nor the list of what lies there imports a class, whose file may be gone."""
    for path in (folder / "signs.py", folder / "imported"):
        path.unlink()
    assert call("report", str(study)).code == 0
    page = (study / "report.html").read_text()
    assert "SignMomentum" in page
    assert " --allow-code</code>" in page  # of the command that trains it again
    assert study.name in call("runs", str(folder)).out
    assert not (folder / "imported").exists()


def test_a_search_over_an_own_optimizer_is_read_without_its_code(call: Call, folder: Path) -> None:
    base = {"data": {"name": "digits", "train_size": 200, "test_size": 50}, "model": {"hidden": [8]}}
    own = {"name": "signs:SignMomentum", "path": str(folder), "lr": 0.01}
    search = {
        "base": {**base, "training": {"epochs": 1}, "optimizer": own},
        "space": {"optimizer.lr": {"log_uniform": [0.001, 0.1]}},
        "trials": 3,
        "scoring": {"seeds": 1},
    }
    found, _ = mlptrain.search(search, run_dir=folder / "found", allow_code=True)
    is_read_without_its_code(call, folder, found.path)


def test_an_arm_of_a_study_may_name_an_own_optimizer(call: Call, folder: Path) -> None:
    study = folder / "study.yaml"
    study.write_text(
        "base: {data: {name: digits, train_size: 200, test_size: 50}, model: {hidden: [8]}, training: {epochs: 1}}\n"
        "arms:\n"
        "  Adam: {optimizer: {name: adam, lr: 0.01}}\n"
        "  Own: {optimizer: {name: 'signs:SignMomentum', lr: 0.01}, model.activation: tanh}\n"
        "scoring: {seeds: 2}\n"
    )
    with pytest.raises(SpecError, match=r"study.yaml:4:.*arms.Own.optimizer.name.*--allow-code"):
        mlptrain.compare(study, run_dir=folder / "refused")
    found, summary = mlptrain.compare(study, run_dir=folder / "compared", allow_code=True)
    assert set(summary.ranking) == {"Own", "Adam"}
    assert "sha256" in (found.path / "plan.yaml").read_text()
    is_read_without_its_code(call, folder, found.path)
