"""A search's file: every fault at its own line, and a schema that accepts what loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from mlptrain.errors import SpecError
from mlptrain.spec import load_spec
from mlptrain.spec.comparison.load import load_comparison
from mlptrain.spec.reader import read_file
from mlptrain.spec.search.load import load_search
from mlptrain.spec.search.schema import search_json_schema
from tests.command import Call

CONFIGS = Path(__file__).parent.parent.parent / "configs"
SEARCHES = sorted((CONFIGS / "searches").glob("*.yaml"))
SCHEMA = search_json_schema()
BASE = """\
base:
  data: {name: digits, validation: 0.2}
  model: {hidden: [8]}
  optimizer: {name: adam, lr: 0.01}
  training: {epochs: 2}
"""
DROPOUTS = [number / 1000 for number in range(1, 200)]
ONE = "must be one metric, which decides; "
RATE = "space: {optimizer.lr: {log_uniform: [0.001, 0.1]}}\n"


def fault_of(text: str, tmp_path: Path, *overrides: str, base: str = BASE) -> str:
    """The one fault of a search, without the file's name."""
    path = tmp_path / "search.yaml"
    path.write_text(base + text)
    with pytest.raises(SpecError) as error:
        load_search(path, overrides)
    [fault] = error.value.faults
    return str(fault).removeprefix(f"{path}:")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("space: {}\n", "6:1  space: must be a mapping such as"),
        (
            "space: {optimizer.learning_rate: [1, 2]}\n",
            "6:9  space.optimizer.learning_rate: unknown key; did you mean 'lr'?",
        ),
        ("space: {model.hiden: [[3]]}\n", "6:9  space.model.hiden: unknown key; did you mean 'hidden'?"),
        ("space: {model.actvation: relu}\n", "6:9  space.model.actvation: unknown key; did you mean 'activation'?"),
        ("space: {model.dropout: [0.5]}\n", "6:24  space.model.dropout: is one point, 0.5"),
        ("space: {model.dropout: 0.5}\n", "6:24  space.model.dropout: is one point, 0.5"),
        (
            "space: {model.hidden: [[8], 16]}\n",
            "6:29  space.model.hidden[1]: must be a list as the values beside it are",
        ),
        ("space: {model.dropout: []}\n", "6:24  space.model.dropout: has no values to choose from"),
        ("space: {optimizer.lr: {uniform: [1, 1]}}\n", "6:33  space.optimizer.lr.uniform: low must be below high"),
        ("space: {optimizer.lr: {uniform: [2, 1]}}\n", "6:33  space.optimizer.lr.uniform: low must be below high"),
        (
            "space: {optimizer.lr: {log_uniform: [0, 1]}}\n",
            "6:38  space.optimizer.lr.log_uniform[0]: must be above 0",
        ),
        ("space: {optimizer.lr: {uniform: [a, 1]}}\n", "6:33  space.optimizer.lr.uniform: must be two numbers"),
        ("space: {optimizer.lr: {loguniform: [1, 2]}}\n", "did you mean 'log_uniform'?"),
        ("space: {model.dropout: {uniform: [0, 1.5]}}\n", "6:38  space.model.dropout[1]: must be a number from 0 to"),
        ("space: {training.batch_size: {integers: [1.5, 9]}}\n", "must be two whole numbers"),
        ("space: {model.hidden: {integers: [4, 9]}}\n", "6:23  space.model.hidden: takes a list"),
        ("space: {data.validation: [0.1, 0.2]}\n", "6:26  space.data.validation: changes the rows that are scored"),
        ("space: {seed: [1, 2]}\n", "6:15  space.seed: "),
        (f"{RATE}method: bayes\n", "7:9  method: must be random, halton, tpe, gp or grid"),
        (f"{RATE}method: grid\n", "6:23  space.optimizer.lr: is a range, but a grid needs values"),
        (
            "space: {optimizer.lr: [1, 2, 3]}\nmethod: grid\ntrials: 2\n",
            "8:9  trials: are 2, but the grid has 3 settings",
        ),
        (
            f"space: {{training.batch_size: {list(range(1, 200))}, model.dropout: {DROPOUTS}}}\nmethod: grid",
            "6:8  space: makes a grid of 39,601 settings; the limit is 10,000",
        ),
        (f"{RATE}prune: halving\n", "7:8  prune: halving compares trials after a part of their epochs"),
        (f"{RATE}prune: hyperband\n", "7:8  prune: must be halving, none"),
        (f"{RATE}metric: test_accuracy\n", "metric.name: would choose by test rows"),
        (f"{RATE}metric: validation_rmse\n", "metric.name: rmse "),
        (
            "space: {model.activation: {uniform: [0, 1]}}\n",
            "6:37  space.model.activation.uniform: draws numbers, but the key takes a name such as relu, or a mapping "
            "of keys and values; write a list of values to choose from",
        ),
        (
            "space: {model.bias: {integers: [0, 1]}}\n",
            "6:32  space.model.bias.integers: draws numbers, but the key takes true or false; write a list",
        ),
        (f"{RATE}scoring: {{seed: 3}}\n", "7:11  scoring.seed: unknown key; did you mean 'seeds'?"),
        (f"{RATE}scoring: {{seeds: [100]}}\n", "7:18  scoring.seeds: 100 is the search's own seed"),
        (f"{RATE}model: {{hidden: [4]}}\n", "7:1  model: unknown key here; it belongs to base.model"),
        (
            "space: {optimizer: [{name: 'signs:Sign', lr: 0.1}, {name: sgd, lr: 0.1}]}\n",
            "6:28  space.optimizer[0].name: ",
        ),
        ("space: {training.epochs: [1, 2]}\n", "6:26  space.training.epochs: would give trials unequal budgets"),
        (
            "space: {training.early_stopping: [1, 2]}\n",
            "6:34  space.training.early_stopping: would give trials unequal",
        ),
        ("space: {training: [{epochs: 1}, {epochs: 2}]}\n", "6:19  space.training: would as a whole section set the"),
        (
            "space: {training.device: [cpu, auto]}\n",
            "6:26  space.training.device: is the machine's and the same for all",
        ),
        ("space: {evaluation.split: [test, none]}\n", "changes what is measured, so that trials could not be compared"),
        (
            "space: {optimizer: {lr: {log_uniform: [0.001, 0.1]}}}\n",
            "got a mapping; keys of the space are written with dots, optimizer.lr: {log_uniform: [0.001, 0.1]}",
        ),
        (
            "space: {model: [{activation: relu}, {activation: gelu}]}\n",
            "6:9  space.model: leaves out hidden: a section replaces that of the base as a whole; write "
            "model.activation: [relu, gelu] to change that alone",
        ),
        (
            "space: {optimizer.name: ['signs:Sign', sgd]}\n",
            "6:25  space.optimizer.name: an optimizer by its import path is a section",
        ),
        ("space: {model.hidden: [8, 16]}\n", "write a list of lists, model.hidden: [[8], [16]]"),
        (
            "space: {optimizer.lr: {uniform: [0.1, 1], log_uniform: [0.1, 1]}}\n",
            "6:23  space.optimizer.lr: has 2 ranges, uniform and log_uniform; keep one of them, optimizer.lr: "
            "{uniform: [0.1, 1]}",
        ),
        (
            "space: {training.batch_size: {log_uniform: [7.5, 64.5]}}\n",
            "write training.batch_size: {log_integers: [8, 64]}",
        ),
        ("spce: {optimizer.lr: [0.1, 1]}\n", "6:1  spce: unknown key; did you mean 'space'?"),
        ("search_space: {optimizer.lr: [0.1, 1]}\n", "6:1  search_space: unknown key; did you mean 'space'?"),
        (
            f"{RATE}metric: f2\n",
            "7:1  metric.name: there is no metric 'f2', so which way is better is not known; this base records loss, "
            "accuracy; evaluation.metrics of the base may add balanced_accuracy, f1, precision, recall, roc_auc, "
            "average_precision, log_loss, brier, ece, mcc, top_k",
        ),
        (
            "space: {training.batch_size: {log_uniform: [8, 64]}}\n",
            "6:44  space.training.batch_size.log_uniform: draws fractions, but the key takes whole numbers; write "
            "training.batch_size: {log_integers: [8, 64]}",
        ),
        ("space: {optimizer.lr: {min: 0.1, max: 1}}\n", "got a mapping; write optimizer.lr: {uniform: [0.1, 1]}"),
        (
            "space: {optimizer.lr: {distribution: log_uniform_values, min: 0.1, max: 1}}\n",
            "write optimizer.lr: {log_uniform: [0.1, 1]}",
        ),
        ("space: {optimizer.lr: {values: [0.1, 1]}}\n", "write the list alone, optimizer.lr: [0.1, 1]"),
        ("space: {optimizer.lr: {randint: [1, 2]}}\n", "did you mean 'integers'?"),
        ("space: {optimizer.lr: {normal: [1, 2]}}\n", "not offered: uniform and log_uniform have two ends"),
        (f"{RATE}method: sobol\n", "did you mean 'halton'?"),
        (f"{RATE}method: bayesian\n", "did you mean 'tpe'?"),
        (f"{RATE}prune: ASHA\n", "did you mean 'halving'?"),
        (f"{RATE}prune: median\n", "not offered: halving compares trials that train together"),
        (
            f"{RATE}prune: {{name: halving, reduction_factor: 3}}\n",
            "prune.reduction_factor: unknown key; did you mean 'eta'?",
        ),
        (f"{RATE}n_trials: 30\n", "7:1  n_trials: unknown key; did you mean 'trials'?"),
        (f"{RATE}search_space: {{}}\n", "7:1  search_space: unknown key; did you mean 'space'?"),
        (f"{RATE}sampler: tpe\n", "7:1  sampler: unknown key; did you mean 'method'?"),
        (
            f"{RATE}timeout: 3\n",
            "7:1  timeout: unknown key; the hours are an option: `mlptrain search SEARCH --hours 2`",
        ),
        (f"{RATE}direction: maximize\n", "which way is better is known of every metric"),
        (f"{RATE}arms: {{A: {{}}}}\n", "7:1  arms: unknown key; arms are compared by `mlptrain compare`"),
        (f"{RATE}optimizer.lr: [0.1, 1]\n", "7:1  optimizer.lr: unknown key here; it belongs to base.optimizer.lr, or"),
        (f"{RATE}trials: 0\n", "7:9  trials: must be at least 2, got 0"),
        (f"{RATE}together: 0\n", "7:11  together: must be at least 1, got 0"),
        (f"{RATE}scoring: 3\n", "7:10  scoring: must be a mapping such as {seeds: 10}, got 3; write {seeds: 3}"),
        (f"{RATE}metric: [loss, validation_f1]\n", f"7:9  metric: {ONE}write loss, and others into base.evaluation."),
        (f"{RATE}metric: loss, validation_f1\n", f"7:9  metric: {ONE}write loss, and others into base.evaluation."),
        (f"{RATE}metric: {{name: loss and f1}}\n", f"metric: {ONE}write loss, and others into base.evaluation."),
        (f"{RATE}metric: {{validation_mae: min, r2: max}}\n", f"7:9  metric: {ONE}write validation_mae, and others"),
        (f"{RATE}metric: [f1]\n", f"7:9  metric: {ONE}write f1"),
        (f"{RATE}metric: F1\n", "7:9  metric: must be the name of a figure such as validation_loss, in small letters"),
        (f"{RATE}metric: 3\n", "7:9  metric: must be the name of a figure such as validation_loss, in small letters"),
    ],
)
def test_each_fault_has_one_message_at_its_place(text: str, says: str, tmp_path: Path) -> None:
    assert says in fault_of(text, tmp_path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("{name: table, path: t.csv, target: milage}", "base.data.target: there is no column 'milage'"),
        ("{name: table, path: missing.csv, target: y}", "base.data.path: "),
    ],
)
@pytest.mark.parametrize(
    ("text", "others"),
    [
        (
            "space: {optimizer.momentum: [0.5, 0.9], model.depth: {integers: [1, 4]}, "
            "model.activation: [relu, swish]}\nmetric: val_loss\n",
            {"space.optimizer.momentum", "space.model.depth", "space.model.activation[1]", "metric.name"},
        ),
        (
            "arms: {A: {model.activation: swish}, B: {optimizer.lr: [0.1, 0.01], model.depth: 3}, "
            "C: {model.bias: 2}}\nmetric: {name: mae, goal: max}\ntarget: {metric: val_loss, value: 0.2}\n",
            {"arms.A.model.activation", "arms.B.model.depth", "arms.C.model.bias", "metric.goal", "target.metric"},
        ),
        ("arms: {A: {}, B: {optimizer.lr: [0.1, 0.01]}}\ntuning: none\n", {"arms.B.optimizer.lr"}),
        ("arms: {A: {}, B: {loss.name: huber}, C: {data.numeric: {missing: mean}}}\nmetric: rmse\n", set()),
    ],
)
def test_data_that_cannot_be_read_hide_no_fault_and_make_none(
    data: str, says: str, text: str, others: set[str], tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{i % 7}.5\n" for i in range(60)))
    path = tmp_path / "study.yaml"
    path.write_text(BASE.replace("{name: digits, validation: 0.2}", data) + text)
    with pytest.raises(SpecError) as error:
        (load_search if "space:" in text else load_comparison)(path)
    first, *found = error.value.faults
    assert says in str(first)
    assert sorted(fault.path for fault in found) == sorted(others)


@pytest.mark.parametrize(
    ("evaluation", "text", "warned"),
    [
        ("{}", "metric: validation_f1\n", True),
        ("{metric: validation_f1}", "metric: validation_f1\n", False),
        ("{keep: last}", "metric: validation_f1\n", False),
        ("{}", "metric: validation_accuracy\n", False),
        ("{}", "", False),
    ],
)
def test_a_metric_that_epochs_are_not_kept_by_is_warned_of(
    evaluation: str, text: str, warned: bool, tmp_path: Path
) -> None:
    base = BASE + "  evaluation: " + evaluation.replace("{", "{metrics: [f1], ").replace(", }", "}") + "\n"
    path = tmp_path / "study.yaml"
    path.write_text(f"{base}{RATE}method: random\n{text}")
    told = [str(warning).removeprefix(f"{path}:") for warning in load_search(path).warnings]
    path.write_text(f"{base}arms: {{A: {{}}, B: {{model.bias: false}}}}\n{text.replace('validation_', 'test_')}")
    also = [str(warning).removeprefix(f"{path}:") for warning in load_comparison(path).warnings]
    if not warned:
        assert told == also == []
        return
    says = (
        "metric: is f1 after the epoch of the lowest validation loss, which is the one that is kept; set "
        "base.evaluation.metric: validation_f1 to keep the best by it"
    )
    assert told == [f"9:9  {says}"]
    assert also == [f"8:9  {says}"]


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("", 8),  # by TPE
        ("batch: 16\n", 16),
        ("method: random\ntrials: 4\nbatch: 40\n", 4),
        ("method: random\ntrials: 16\n", 16),
        ("batch: 17\n", None),
        ("batch: 32\ntogether: 8\n", None),
        ("method: random\n", None),
    ],
)
def test_a_cluster_of_which_one_node_alone_could_work_is_warned_of(
    text: str, drawn: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(f"{BASE}{RATE}{text}executor: ray\n")
    line = path.read_text().count("\n")
    told = [str(warning).removeprefix(f"{path}:") for warning in load_search(path).warnings]
    message = (
        f"{line}:11  executor: keeps one worker busy at a time: {drawn} trials are drawn at once, and up to 16 train "
        "together on one; for four workers take e.g. batch: 32 with together: 8"
    )
    assert told == ([] if drawn is None else [message])
    assert load_search(path, ["executor=local"]).warnings == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "trials: 16\n",
            "7:9  trials: 16 trials are all drawn by chance: tpe learns from 10 known ones, and 8 are drawn at",
        ),
        ("trials: 17\n", None),  # two rounds of 8 are known to the last one
        ("batch: 50\n", "7:8  batch: 50 trials are all drawn by chance"),
        ("method: gp\ntrials: 12\n", "8:9  trials: 12 trials are all drawn by chance: gp"),
        ("method: gp\ntrials: 13\n", None),
        ("method: random\ntrials: 4\n", None),
        ("prune: halving\ntrials: 16\n", "and 16 are drawn at once; take more than 16 trials, a smaller batch"),
        ("prune: halving\ntrials: 17\n", None),
        ("prune: halving\nmethod: gp\ntrials: 161\n", None),
        (
            "prune: halving\nmethod: gp\n",
            "gp learns from 10 known ones trained to the end, and 16 are drawn at once; take more than 160 trials",
        ),
    ],
)
def test_a_method_that_never_learns_is_warned_of(text: str, says: str | None, tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    base = BASE.replace("epochs: 2", "epochs: 9")  # of 16, halving trains one to the end
    path.write_text(f"{base}{RATE}{text}")
    told = [str(warning) for warning in load_search(path).warnings]
    if says is None:
        assert told == []
    else:
        [only] = told
        assert says in only


def test_a_seed_of_the_base_is_of_no_use(tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(f"{BASE}  seed: 4\n{RATE}")
    [told] = load_search(path).warnings
    wanted = "has no effect: trials train with seed, which stands beside base, and scoring.seeds"
    assert str(told) == f"{path}:6:9  base.seed: {wanted}"


def test_a_part_of_a_gpu_is_of_no_use_to_the_cpu(tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(f"{BASE}{RATE}executor: {{name: ray, gpus: 0.5}}\nbatch: 32\n")
    assert load_search(path).warnings == ()
    [told] = load_search(path, ["base.training.device=cpu"]).warnings
    assert str(told) == f"{path}:7:29  executor.gpus: has no effect: base.training.device is cpu"


def test_halving_needs_a_figure_of_every_epoch(tmp_path: Path) -> None:
    base = BASE.replace("validation: 0.2", "validation: 0")
    assert "its data.validation is 0" in fault_of(f"{RATE}prune: halving\n", tmp_path, base=base)
    base = f"{BASE}  evaluation: {{split: none, keep: last}}\n"
    assert "evaluation.split is none" in fault_of(f"{RATE}prune: halving\n", tmp_path, base=base)


def test_an_option_changes_a_key_of_the_space(tmp_path: Path) -> None:
    (path := tmp_path / "search.yaml").write_text(BASE + RATE)
    options = ["space.optimizer.lr.log_uniform[0]=0.01", "space.model.dropout=[0, 0.5]"]
    space = load_search(path, options).spec.space
    assert {key: choice.plain() for key, choice in space.items()} == {
        "optimizer.lr": {"log_uniform": [0.01, 0.1]},
        "model.dropout": [0, 0.5],
    }
    says = "--set space.model.droput=[0, 1]  space.model.droput: unknown key; did you mean 'dropout'?"
    assert fault_of(RATE, tmp_path, "space.model.droput=[0, 1]") == says


def test_more_trials_than_settings_are_warned_of_where_they_stand(tmp_path: Path) -> None:
    (path := tmp_path / "search.yaml").write_text(f"{BASE}space: {{model.dropout: [0, 0.5]}}\n")
    [warning] = load_search(path).warnings
    assert "search.yaml:6:8  space: has 2 settings, fewer than the 50 trials by default" in str(warning)
    [warning] = load_search(path, ["trials=3"]).warnings
    assert str(warning).startswith("--set trials=3  trials: are 3, but the space has 2 settings")


def test_a_file_without_a_space_is_no_search(tmp_path: Path) -> None:
    assert "is not a search: it has no space" in fault_of("", tmp_path)


@pytest.mark.parametrize(
    ("command", "config", "right"),
    [
        ("train", "searches/digits.yaml", "search"),
        ("lr-find", "searches/digits.yaml", "search"),
        ("compare", "searches/digits.yaml", "search"),
        ("compare-optimizers", "searches/digits.yaml", "search"),
        ("train", "comparisons/digits_activations.yaml", "compare"),
        ("lr-find", "comparisons/own_optimizer.yaml", "compare-optimizers"),
        ("search", "comparisons/digits_activations.yaml", "compare"),
        ("search", "digits.yaml", "train"),
        ("compare", "digits.yaml", "compare-optimizers"),
    ],
)
def test_the_wrong_kind_of_file_is_told_the_right_command(command: str, config: str, right: str, call: Call) -> None:
    path = str(CONFIGS / config)
    told = call(command, path)
    assert told.code == 2
    [line] = told.err.strip().splitlines()
    assert line.startswith(path)
    assert f"`mlptrain {right} {path}" in line


@pytest.mark.parametrize(
    "more", ["space: {optimizer.lr: [0.1, 1]}\n", "arms: {A: {optimizer.lr: 1}, B: {optimizer.lr: 2}}\n"]
)
def test_doubts_of_a_studys_table_are_said_once_where_they_stand(more: str, tmp_path: Path, call: Call) -> None:
    rows = "".join(f"u{row:04},7,{row % 9},{'yn'[row % 2]}\n" for row in range(300))
    (tmp_path / "table.csv").write_text(f"id,always,a,target\n{rows}")
    data = "{name: table, path: table.csv,\n  columns: {}, target: target}"
    (path := tmp_path / "study.yaml").write_text(BASE.replace("{name: digits, validation: 0.2}", data) + more)
    kind = "search" if "space" in more else "compare"
    for command in (["check"], [kind, "--plan"]):
        told = call(*command, str(path))
        doubts = [line for line in told.err.splitlines() if "base.data.columns" in line]
        assert [line.startswith(f"warning: {path}:3:12  base.data.columns: ") for line in doubts] == [True, True]
        assert ["'id' is dropped" in doubts[0], "'always' is constant" in doubts[1]] == [True, True]


@pytest.mark.parametrize("command", ["train", "lr-find", "gradcheck", "compare", "search"])
@pytest.mark.parametrize(
    ("key", "of", "runs_it"),
    [
        ("spaces: {optimizer.lr: [0.1, 1]}", "space", "search"),
        ("variants: {A: {optimizer.lr: 1}, B: {optimizer.lr: 2}}", "arms", "compare"),
        ("optimisers: {A: sgd, B: adam}", "optimizers", "compare-optimizers"),
    ],
)
def test_a_misspelt_study_is_told_its_key_and_its_command(
    command: str, key: str, of: str, runs_it: str, tmp_path: Path, call: Call
) -> None:
    (path := tmp_path / "study.yaml").write_text(f"{BASE}{key}\n")
    told = call(command, str(path))
    [line] = told.err.strip().splitlines()
    wrong = key.partition(":")[0]
    assert line.startswith(f"{path}:{1 + BASE.count(chr(10))}:1  {wrong}: unknown key; did you mean '{of}'?")
    is_its_own = command in runs_it
    assert (f"run it with `mlptrain {runs_it} {path}`" in line) is not is_its_own
    assert told.code == 2


def test_a_study_from_python_is_told_the_right_function() -> None:
    with pytest.raises(SpecError, match=r"is a search, expected an experiment; call mlptrain\.search with it"):
        load_spec({"base": "digits.yaml", "space": {"optimizer.lr": [0.1, 1]}})


def test_the_schema_is_one_and_is_shipped() -> None:
    """`mlptrain schema search > configs/search.schema.json` brings it up to date."""
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads((CONFIGS / "search.schema.json").read_text()) == SCHEMA


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_shipped_searches_fit_the_schema_and_load(path: Path) -> None:
    values = read_file(path)[1].value
    Draft202012Validator(SCHEMA).validate(values)
    if path.stem != "adult":  # whose data are the user's
        spec = load_search(path).spec
        again = load_search(spec.to_plain()).spec
        assert again.to_plain() == spec.to_plain()
        Draft202012Validator(SCHEMA).validate(spec.to_plain())


@pytest.mark.parametrize(
    "text", ["space: {a: {uniform: [1]}}", "space: {a: [1]}", "space: {a: {normal: [0, 1]}}", "space: {}", "method: x"]
)
def test_the_schema_refuses_what_does_not_load(text: str, tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(f"{BASE}{'' if text.startswith('space') else RATE}{text}\n")
    assert not Draft202012Validator(SCHEMA).is_valid(read_file(path)[1].value)
