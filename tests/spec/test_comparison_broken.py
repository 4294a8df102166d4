"""Broken comparisons: every fault at its place, in words that say what to do."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlptrain.errors import SpecError
from mlptrain.spec import load_spec
from mlptrain.spec.comparison.load import comparison_from_options, load_comparison
from tests.spec.broken_comparisons import BASES, SECTIONS
from tests.spec.broken_optimizers import GRIDS, NAMES, OPTIMIZERS, Case
from tests.spec.texts import marked

BASE = "base: {data: digits, model: {hidden: [4]}}"
ALL: dict[str, Case] = {
    f"{kind}: {name}": case
    for kind, cases in (("optimizer", OPTIMIZERS), ("grid", GRIDS), ("section", SECTIONS), ("base", BASES))
    for name, case in cases.items()
}


@pytest.mark.parametrize(("text", "path", "message"), ALL.values(), ids=ALL)
def test_one_fault_at_its_place(
    text: str, path: str, message: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "[base: " not in request.node.name:
        text = f"{text}\n{BASE}\n"
    text, [(line, column)] = marked(text)
    file = tmp_path / "c.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_comparison(file)
    assert str(caught.value) == f"{file}:{line}:{column}  {path}: {message}"
    assert len(message) < 300


def test_all_faults_of_both_files_at_once(tmp_path: Path) -> None:
    text, places = marked("""\
base: one.yaml
optimizers:
  SGD: {name: sgd, lr: [0.1, «-1, «fast], momentum: «2}
  Adam: {name: adam, «momentum: 0.9}
  «Adam: {name: «adamm}
  fine: nadam
tuning: {seeds: [1, «1], «extnsions: 2}
scoring: {seeds: [0, «0]}
target: {metric: validation_accuracy, value: «97}
«executer: ray
""")
    base, base_places = marked("""\
data: {name: mnist, «noise: 1}
model: {hidden: [«0]}
optimizer: {name: ignored, lr: ignored}
evaluation: {split: test, keep: last}
""")
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "one.yaml").write_text(base, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_comparison(tmp_path / "c.yaml", ["tie=2"])
    faults = caught.value.faults
    found = [(Path(fault.source).name, fault.line, fault.column, fault.path) for fault in faults[:-1]]
    paths = ["optimizers.SGD.lr[1]", "optimizers.SGD.lr[2]", "optimizers.SGD.momentum"]
    # The value of a key that stands twice is the last one.
    paths += ["optimizers.Adam", "optimizers.Adam.name", "tuning.seeds[1]", "tuning.extnsions", "scoring.seeds[1]"]
    own = [place for number, place in enumerate(places) if number != 3]
    assert found == [
        *(("c.yaml", *place, path) for place, path in zip(own, [*paths, "target.value", "executer"], strict=True)),
        ("one.yaml", *base_places[0], "data.noise"),
        ("one.yaml", *base_places[1], "model.hidden[0]"),
    ]
    assert str(faults[-1]) == "--set tie=2  tie: must be below 1, got 2"


FILES: dict[str, tuple[str | None, str, str]] = {
    "missing": (None, "one.yaml no such file; in that folder: ", "c.yaml:1:7  base: "),
    "not YAML": ("data: a: b\n", "one.yaml:1:8  is not valid YAML: ", ""),
    "empty": ("", "one.yaml is empty; ", "c.yaml:1:7  base: "),
    "a list": ("- 1\n", "one.yaml:1:1  the top level must be a mapping", ""),
    "a comparison": ("base: c.yaml\n", "one.yaml is a comparison, not an experiment", "c.yaml:1:7  base: "),
    "without data": ("model: {hidden: [4]}\n", "one.yaml:1:1  data: required key is missing; e.g. data: digits", ""),
    "typing error": ("data: minst\nmodel: {hidden: [4]}\n", "one.yaml:1:7  data: must be mnist, ", ""),
    "regression": (
        "data: random_regression\nloss: mse\nmodel: {hidden: [4]}\n",
        "base: is a regression: the targets of 'random_regression' are numbers",
        "c.yaml:1:7  ",
    ),
}


@pytest.mark.parametrize(("content", "says", "begins"), FILES.values(), ids=FILES)
def test_base_by_path(content: str | None, says: str, begins: str, tmp_path: Path) -> None:
    """What is wrong in the base's file is told there, what is wrong with the file at its name."""
    (tmp_path / "c.yaml").write_text("base: one.yaml\noptimizers: {A: sgd, B: adam}\n", encoding="utf-8")
    if content is not None:
        (tmp_path / "one.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_comparison(tmp_path / "c.yaml")
    [fault] = caught.value.faults
    assert says in str(fault)
    assert str(fault).startswith(f"{tmp_path}/{begins}")


def test_a_comparison_from_elsewhere_quotes_no_file_but_yaml(tmp_path: Path) -> None:
    (tmp_path / "id_rsa").write_text("SECRET: key\n", encoding="utf-8")
    (tmp_path / "c.yaml").write_text("base: id_rsa\noptimizers: {A: sgd, B: adam}\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"c\.yaml:1:7  base: must name a \.yaml or \.yml file") as caught:
        load_comparison(tmp_path / "c.yaml")
    assert "SECRET" not in str(caught.value)


def test_a_folder_is_no_base(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "c.yaml").write_text("base: folder.yaml\noptimizers: {A: sgd, B: adam}\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"c\.yaml:1:7  base: .* cannot be read: Is a directory"):
        load_comparison(tmp_path / "c.yaml")


def test_a_base_beside_the_folder_is_taken_and_an_option_names_any_file(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    for name in ("one.yaml", "one.yml", "one.txt"):
        (tmp_path / name).write_text("model: {hidden: [4]}\ndata: digits\n", encoding="utf-8")
        assert comparison_from_options(tmp_path / name, optimizers="sgd,adam").spec.base.model.hidden == [4]
    for name in ("one.yaml", "one.yml"):
        file = tmp_path / "inside" / "c.yaml"
        file.write_text(f"base: ../{name}\noptimizers: {{A: sgd, B: adam}}\n", encoding="utf-8")
        assert load_comparison(file).spec.base.model.hidden == [4]


OVERRIDES: dict[str, tuple[str, str]] = {
    "base.model.hidden[0]=0": ("model.hidden[0]", "must be at least 1, got 0"),
    "base.loss=bce": ("loss", "'bce' needs exactly two classes, data 'digits' has 10; set data.classes, e.g. [0, 1]"),
    "optimizers.A.lr=[0.1, -1]": ("optimizers.A.lr[1]", "must be above 0, got -1"),
    "optimizers.A.name=adamm": (
        "optimizers.A.name",
        f"must be {NAMES}, got the text 'adamm'; did you mean 'adam'?",
    ),
    "scoring.seeds=[1, 1]": ("scoring.seeds[1]", "seed 1 is given twice; take another"),
    "executor=rya": ("executor", "must be local or ray, got the text 'rya'; did you mean 'ray'?"),
}


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(("override", "fault"), OVERRIDES.items(), ids=OVERRIDES)
def test_fault_names_the_override(override: str, fault: tuple[str, str], inline: bool, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("data: digits\nmodel: {hidden: [4]}\n", encoding="utf-8")
    base = BASE if inline else "base: one.yaml"
    (tmp_path / "c.yaml").write_text(f"{base}\noptimizers: {{A: sgd, B: adam}}\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_comparison(tmp_path / "c.yaml", [override])
    path, message = fault
    whole = "base." + path if inline and override.startswith("base.") else path
    assert str(caught.value) == f"--set {override}  {whole}: {message}"


def test_experiment_and_comparison_are_told_apart(tmp_path: Path) -> None:
    experiment, comparison = tmp_path / "one.yaml", tmp_path / "c.yaml"
    experiment.write_text("data: digits\nmodel: {hidden: [4]}\noptimizer: sgd\n", encoding="utf-8")
    comparison.write_text(f"{BASE}\noptimizers: {{A: sgd, B: adam}}\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_comparison(experiment)
    assert str(caught.value) == (
        f"{experiment}  is an experiment, not a comparison; "
        f"try `mlptrain compare-optimizers {experiment} --optimizers sgd,adam`, or name it as "
        f"the base of a study, {{base: {experiment.name}, arms: {{ReLU: {{model.activation: relu}}, GELU: …}}}}"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(comparison)
    assert str(caught.value) == (
        f"{comparison}  is a comparison, expected an experiment; run it with `mlptrain compare-optimizers {comparison}`"
    )


WORDS = st.sampled_from(
    [
        *("base", "optimizers", "tuning", "scoring", "target", "executor", "tie", "name", "seeds", "split", "none"),
        *("sgd", "momentum", "nesterov", "adam", "lr", "betas", "log_grid", "data", "digits", "model", "hidden"),
        *("metric", "value", "extensions", "ray", "address", "evaluation", "test", "validation", "batch_size", "A"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just("one.yaml"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
ENTRIES = st.dictionaries(WORDS, VALUES, max_size=3).map(lambda entry: {"name": "adam"} | entry)


@given(
    st.fixed_dictionaries(
        {"base": st.just({"data": "digits", "model": {"hidden": [4]}}) | VALUES},
        optional={
            "optimizers": st.dictionaries(WORDS, ENTRIES | VALUES, max_size=3) | VALUES,
            **dict.fromkeys(("tuning", "scoring", "target", "executor", "tie", "name", "data"), VALUES),
        },
    )
)
@settings(max_examples=200, deadline=None)
@example({"base": {"optimizer": {"name": []}, "data": {"name": "digits"}}, "optimizers": {"A": {"name": ["sgd"]}}})
@example({"base": "c.yaml", "optimizers": {"A": {"name": {"log_grid": 1}, "lr": {"log_grid": {"lr": 1}}}}})
@example({"base": {}, "optimizers": {"A": {"name": "sgd", "lr": {"log_grid": [10**350, 1, 10**350]}}}})
@example({"base": {}, "optimizers": {"A": {"name": "sgd", "lr": [10**350, 1]}, "B": {"name": "sgd", "lr": []}}})
@example({"base": {}, "optimizers": {"A": {"name": "adam", "betas": [[], 1, {}]}}, "target": {"metric": []}})
def test_any_mapping_is_read_or_refused_with_faults(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "c.yaml"
    text = re.sub(r"\bnan\b", ".nan", re.sub(r"\binf\b", ".inf", repr(document).replace("None", "~")))
    path.write_text(text, encoding="utf-8")
    with contextlib.suppress(SpecError):
        assert len(load_comparison(path).spec.optimizers) >= 2
