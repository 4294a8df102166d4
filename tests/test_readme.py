"""The documents hold: their commands and examples run, their links lead somewhere, their lists are complete.

The commands of each document run in its own order, in a folder of its own like a fresh checkout's.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import typer.main
from PIL import Image

from mlptrain.cli import main
from tests.command import Call
from tests.conftest import heed_signals
from tests.data.own_files import idx_bytes
from tests.servers import command as serving
from tests.servers import end

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "configs/README.md", "mlptrain/README.md", "tests/README.md", "tests/benchmarks/README.md")
DIGITS = str(ROOT / "configs/digits.yaml")
EPOCH = ("--set", "training.epochs=1")
_COMMAND = re.compile(r"^(?:.*&& )?(?:\.venv/bin/)?mlptrain (?P<arguments>.*?)(?:\s+#.*)?$")


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str) -> list[tuple[str, str]]:
    """Language and text of every fenced block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", text_of(document), flags=re.MULTILINE | re.DOTALL)


def commands_in(block: str) -> list[str]:
    """Arguments of the `mlptrain` commands in a block."""
    lines = block.replace("\\\n", " ").splitlines()
    return [match["arguments"] for line in lines if (match := _COMMAND.match(line))]


def rows(document: str, heading: str) -> list[tuple[str, str]]:
    """The first two cells of every row of the table under ``| heading |``, the first one without its backticks."""
    table = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text_of(document), flags=re.MULTILINE)
    assert table, heading
    return re.findall(r"^\| `?(.*?)`? \| (.*?) \|", table[1], flags=re.MULTILINE)


def test_every_readme_is_tested() -> None:
    tracked = [path for folder in ("configs", "mlptrain", "tests") for path in (ROOT / folder).rglob("*.md")]
    assert {"README.md", *(path.relative_to(ROOT).as_posix() for path in tracked)} == set(DOCUMENTS)


def test_commands_are_found() -> None:
    shown = [block for document in DOCUMENTS for kind, block in blocks(document) if kind == "sh"]
    named = {command.split()[0] for block in shown for command in commands_in(block)}
    assert named == {name.split()[0] for name, _ in every_command()} - {"schema"}  # whose output is long


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_shell_would_expand_is_quoted(document: str) -> None:
    """Zsh refuses a bracket that is not quoted and names no file."""
    code = [block for kind, block in blocks(document) if kind == "sh"]
    code += re.findall(r"`((?:\.venv/bin/)?(?:pip|mlptrain|python) [^`]+)`", text_of(document))
    for line in "\n".join(code).splitlines():
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", line).partition(" #")[0]
        assert not re.search(r"[\[\]{}*?]", bare), line


def map_rows() -> list[tuple[str, list[str], list[str]]]:
    """What a notebook calls it, the commands and the Python expressions of every row of the map."""
    tables = re.findall(
        r"^\| in your notebook \|.*\n\|[-|]+\n((?:\|.*\n)+)", text_of("configs/README.md"), flags=re.MULTILINE
    )
    cells = [line.strip("| \n").split(" | ") for table in tables for line in table.splitlines()]
    return [
        (called, re.findall(r"`mlptrain (.*?)`", command), re.findall(r"`(.*?)`", python))
        for called, command, python in cells
    ]


ASKED_FOR = """
44458; 44,458; backprop; gradient check; cross entropy; NLLLoss; decision boundary; one-hot; overfitting; photo; CSV;
Jacobian; softmax; learning curves; confusion matrix; Nesterov; Normalize; dropout; spirals; histogram; forward pass;
147.8; 0.9650; 2113; 2.2970; 2.2544; 963; 0.8163; -1e11; 5120; 784-500-256-10; 2-4-5-8-4-3; LibSVM;
XOR; moons; universal approximation; vanishing gradients; dead ReLU; fine-tuning; running_loss; residuals; hundred;
dict; batch norm; early stopping; label smoothing; augmentation; ROC AUC; calibration; adversarial; class imbalance;
EMA; sample_weight; cross-validation; GroupKFold; RMSE; ImageFolder; EMNIST
"""


def test_a_text_search_finds_what_a_course_is_about() -> None:
    the_map = text_of("configs/README.md").split("\n## ")[1].lower()
    for word in ASKED_FOR.replace("\n", " ").strip().lower().split("; "):
        assert word in the_map, word
    assert len(map_rows()) > 50


@pytest.mark.filterwarnings("default")  # the commands' own warnings are theirs to show
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_and_example_runs(
    document: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(data_dir))
    shutil.copytree(ROOT / "configs", "configs")
    shipped = Path("mlptrain/sources/tables/penguins.csv")
    shipped.parent.mkdir(parents=True)
    shutil.copy(ROOT / shipped, shipped)
    names: dict[str, Any] = {}
    for kind, block in blocks(document):
        for command in commands_in(block) if kind == "sh" else ():
            run(command)
        if kind == "python":
            exec(compile(block, document, "exec"), names)
    if document == "configs/README.md":
        run_the_map(names)


def run(command: str) -> None:
    if command.startswith("serve "):
        heed_signals()
        with serving(Path(command.split()[1]), *command.split()[2:]) as (process, address):
            assert httpx.get(f"{address}/health", trust_env=False).json()["status"] == "ok"
            assert end(process, signal.SIGINT)[0] == 130
        return
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command))
    assert not ended.value.code, command


def run_the_map(names: dict[str, Any]) -> None:
    """What the page's blocks have not run already, and what test_configs does not: whole trainings."""
    photo = np.zeros((28, 28), dtype=np.uint8)
    photo[4:24, 12:16] = 255
    Path("photos").mkdir()
    for file in ("photo.jpg", "photos/1.png", "photos/one.jpg"):
        Image.fromarray(photo).save(file)
    shown = [block for kind, block in blocks("configs/README.md") if kind == "sh"]
    done = [shlex.split(command) for block in shown for command in commands_in(block)]
    commands = [command for _, in_row, _ in map_rows() for command in in_row]
    for command in dict.fromkeys(commands):
        if shlex.split(command) not in done and not re.fullmatch(r"train configs/\w+\.yaml", command):
            run(command)
    for expression in dict.fromkeys(expression for _, _, in_row in map_rows() for expression in in_row):
        if not expression.startswith("mlptrain.train"):
            eval(expression, names)


def test_the_files_shown_are_valid(tmp_path: Path) -> None:
    from mlptrain.spec import load_spec, load_text
    from mlptrain.spec.comparison.load import load_comparison

    table, experiment, comparison = (block for kind, block in blocks("README.md") if kind == "yaml")
    (tmp_path / "table.yaml").write_text(table.replace("mlptrain/", f"{ROOT}/mlptrain/"), encoding="utf-8")
    assert load_spec(tmp_path / "table.yaml").experiment.facts.class_names == ("Adelie", "Chinstrap", "Gentoo")
    assert load_text(experiment).spec.name == "mnist"
    (tmp_path / "configs").mkdir()
    shutil.copy(ROOT / "configs/mnist.yaml", tmp_path)
    (tmp_path / "configs/shown.yaml").write_text(comparison, encoding="utf-8")
    assert len(load_comparison(tmp_path / "configs/shown.yaml").spec.optimizers["Nesterov"].settings()) == 4


def test_the_sections_shown_of_arrays_and_images_are_valid(tmp_path: Path) -> None:
    """With files as they say, of three splits: that many rows of each are found."""
    from mlptrain.spec import load_spec

    generator = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 12), ("val", 6), ("test", 4)):
        arrays[f"x_{split}"] = generator.integers(0, 256, (n, 8, 8), dtype=np.uint8)
        arrays[f"y_{split}"] = np.arange(n, dtype=np.uint8) % 2
        for number, (image, label) in enumerate(zip(arrays[f"x_{split}"], arrays[f"y_{split}"], strict=True)):
            place = tmp_path / "photos" / split / f"digit {label}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).resize((9, 9)).save(place / f"{number}.png")
        for what in ("images-idx3", "labels-idx1"):
            file = tmp_path / f"EMNIST/raw/emnist-letters-{split}-{what}-ubyte"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(idx_bytes(arrays[f"{'x' if what.startswith('i') else 'y'}_{split}"]))
    np.savez(tmp_path / "mine.npz", allow_pickle=False, **arrays)
    [block] = (block for kind, block in blocks("configs/README.md") if kind == "yaml")
    kinds = []
    for line in block.splitlines():
        (tmp_path / "own.yaml").write_text(line + "\nmodel: {hidden: [4]}\noptimizer: adam\n", encoding="utf-8")
        loaded = load_spec(tmp_path / "own.yaml").experiment
        facts = loaded.facts
        assert (facts.train_rows, facts.validation_rows, facts.test_rows) == (12, 6, 4), line
        kinds.append(loaded.data.name)
    assert kinds == ["arrays", "images", "idx"]


def test_every_configuration_is_mentioned() -> None:
    for path in (ROOT / "configs").rglob("*.yaml"):
        assert path.relative_to(ROOT).as_posix() in text_of("configs/README.md"), path.name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_mentioned_exists(document: str) -> None:
    quoted = re.findall(r"`((?:configs|tests|mlptrain)/[\w./]*)`", text_of(document))
    used = [
        name for kind, block in blocks(document) if kind == "sh" for name in re.findall(r"(?:configs|tests)/\S+", block)
    ]
    for name in quoted + used:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        name, _, anchor = link.partition("#")
        target = (ROOT / document).parent / name if name else ROOT / document
        assert target.is_file(), link
        headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE) if anchor else []
        assert anchor in ["", *(re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings)], (
            link
        )


def test_figures_shown_twice_agree() -> None:
    shown = re.findall(r"^\| \w+ \| .*%.*\|$", text_of("README.md"), flags=re.MULTILINE)
    assert len(shown) > 5
    assert set(shown) <= set(text_of("configs/README.md").splitlines())


def test_the_table_of_packages_is_complete_and_in_the_order_of_imports() -> None:
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    level = {name.strip(): number for number, layer in enumerate(layers) for name in layer.split(":")}
    named = [name for name, _ in rows("mlptrain/README.md", "`mlptrain/`")]
    there = [path for path in (ROOT / "mlptrain").iterdir() if (path / "__init__.py").exists() or path.suffix == ".py"]
    assert sorted(named) == sorted(
        f"{path.name}/" if path.is_dir() else path.name for path in there if not path.name.startswith("__")
    )
    levels = [level[f"mlptrain.{name.removesuffix('/').removesuffix('.py')}"] for name in named]
    assert levels == sorted(levels)


def every_command() -> Iterator[tuple[str, Any]]:
    """Names, as ``train`` and ``data fetch``, with what typer makes of them."""
    from mlptrain.cli.app import app

    groups: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    for prefix, group in groups:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                groups.append((f"{prefix}{name} ", command))
            else:
                yield f"{prefix}{name}", command


QUICK = ("--set", "trials=4", "--set", "method=random", "--set", "base.training.epochs=1", "--set", "scoring.seeds=1")


def test_every_json_output_is_documented() -> None:
    documented = {re.split(r" --| [A-Z]", name)[0] for name, _ in rows("mlptrain/README.md", "command")}
    printing = {name for name, command in every_command() if any("--json" in option.opts for option in command.params)}
    assert documented == printing


def test_the_keys_of_the_json_outputs(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `compare` and `compare-optimizers` are held against their functions in test_cli_compare and test_study.

    Those of `data fetch` are below.
    """
    table, penguins = tmp_path / "table", "configs/tables/penguins.yaml"
    monkeypatch.chdir(tmp_path)
    assert call("train", str(ROOT / penguins), *EPOCH, "--run-dir", str(table)).code == 0
    outputs = {
        "train": ("train", DIGITS, *EPOCH, "--run-dir", "run"),
        "train --seeds": ("train", DIGITS, *EPOCH, "--run-dir", "seeds", "--seeds", "0,1"),
        "train --folds": ("train", DIGITS, *EPOCH, "--run-dir", "folds", "--folds", "2"),
        "eval": ("eval", "run"),
        "metrics": ("metrics", "run"),
        "export": ("export", "run", "--to", "npz"),
        "export --to tensorboard": ("export", "run", "--to", "tensorboard"),
        "predict": ("predict", "run", "--index", "0"),
        "lr-find": ("lr-find", DIGITS, "--steps", "3"),
        "gradcheck": ("gradcheck", DIGITS, "--set", "model.hidden=[5]"),
        "gradcheck --seeds": ("gradcheck", DIGITS, "--set", "model.hidden=[5]", "--seeds", "0..1"),
        "check": ("check", DIGITS),
        "runs": ("runs", "."),
        "doctor": ("doctor",),
        "data verify": ("data", "verify", "digits"),
        "data show": ("data", "show", str(ROOT / penguins)),
        "search": ("search", str(ROOT / "configs/searches/digits.yaml"), *QUICK, "--run-dir", "searched"),
        "search --plan": ("search", str(ROOT / "configs/searches/digits.yaml"), *QUICK, "--plan"),
        "predict TABLE": ("predict", str(table), str(ROOT / "mlptrain/sources/tables/penguins.csv")),
    }
    elsewhere = {"compare", "compare-optimizers", "compare-optimizers --plan", "data fetch"}
    assert {name for name, _ in rows("mlptrain/README.md", "command")} == {*outputs, *elsewhere}
    for name, arguments in outputs.items():
        assert_documented(name, call(*arguments, "--json").json)


def test_the_keys_of_a_fetch(call: Call, data_dir: Path) -> None:
    assert_documented("data fetch", call("data", "fetch", "mnist", "--data-dir", str(data_dir), "--json").json)


def assert_documented(name: str, value: Any) -> None:
    """A command printed the keys that its row names, as did the entries of its list where the row names them."""
    cell = dict(rows("mlptrain/README.md", "command"))[name]
    assert cell.startswith("a list of ") == isinstance(value, list), name
    value = value[0] if isinstance(value, list) else value
    keys = re.search(r"`(.*?)`", cell)
    assert keys
    assert keys[1].split(", ") == list(value), name
    if nested := re.search(r"each (\w+) has `(\w+, .*?)`", cell):
        assert nested[2].split(", ") == list(value[f"{nested[1]}s"][0]), name
