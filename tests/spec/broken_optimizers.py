"""Broken optimizers of comparisons. A mark « stands before the place of the fault."""

from __future__ import annotations

from tests.catalogue import COMPARED, either

NAMES = either(COMPARED)
LION = "not offered: by this name; write its import path, such as pytorch_optimizer:Lion of mlptrain[optimizers]"
PAIR = "optimizers: {SGD: sgd, Adam: adam}"

Case = tuple[str, str, str]  # the text, the path of the fault, and its whole message


def one(entry: str) -> str:
    """A comparison of Adam with an optimizer ``A`` that reads ``entry``."""
    return f"optimizers: {{A: {entry}, Adam: adam}}"


OPTIMIZERS: dict[str, Case] = {
    "unknown, short": (
        one("«adamm"),
        "optimizers.A",
        f"must be {NAMES}, got the text 'adamm'; did you mean 'adam'?",
    ),
    "unknown, in full": (
        one("{lr: 1, name: «nestrov}"),
        "optimizers.A.name",
        f"must be {NAMES}, got the text 'nestrov'; did you mean 'nesterov'?",
    ),
    "unknown, like none": (one("«lion"), "optimizers.A", f"must be {NAMES}, got the text 'lion'; {LION}"),
    "no name": (
        "optimizers: {«Adam: {lr: 0.1}, SGD: sgd}",
        "optimizers.Adam.name",
        "required key is missing; e.g. name: adam",
    ),
    "a number": (
        one("«0.1"),
        "optimizers.A",
        "must be a name such as sgd, or a mapping of keys and values, got 0.1",
    ),
    "none at all": (
        "optimizers: «{}",
        "optimizers",
        "must name at least 2 optimizers to compare, got 0",
    ),
    "one": (
        "optimizers: «{A: sgd}",
        "optimizers",
        "must name at least 2 optimizers to compare, got 1",
    ),
    "a list": (
        "optimizers: «[sgd, adam]",
        "optimizers",
        "must be a mapping such as {SGD: {name: sgd, lr: [0.01, 0.1]}, Adam: {name: adam, lr: [0.001, 0.01]}}, "
        "got ['sgd', 'adam']",
    ),
    "null": (
        "optimizers: «~",
        "optimizers",
        "must be a mapping such as {SGD: {name: sgd, lr: [0.01, 0.1]}, Adam: {name: adam, lr: [0.001, 0.01]}}, "
        "got nothing (null)",
    ),
    "a name with a slash": (
        "optimizers: {«a/b: sgd, Adam: adam}",
        "optimizers.a/b",
        "an optimizer's name must be at most 64 letters (a–z, A–Z), digits, spaces or ._()=- and start with a letter "
        "or digit and end with no space or '.', since it names files",
    ),
    "a name that ends in a line break": (
        'optimizers: {«"a\\n": sgd, Adam: adam}',
        "optimizers.a\\n",
        "an optimizer's name must be at most 64 letters (a–z, A–Z), digits, spaces or ._()=- and start with a letter "
        "or digit and end with no space or '.', since it names files",
    ),
    "names that differ in case": (
        "optimizers: {SGD: sgd, «sgd: {name: sgd, lr: 0.1}}",
        "optimizers.sgd",
        "differs from 'SGD' in case only, which some file systems do not distinguish; rename one",
    ),
    "a name twice": (
        "optimizers: {A: sgd, «A: adam, B: adam}",
        "optimizers.A",
        "key given twice, first in line 1; keep one of them",
    ),
    "unknown key": (
        one("{name: adam, «learning_rate: 0.1}"),
        "optimizers.A.learning_rate",
        "unknown key; did you mean 'lr'?",
    ),
    "unknown key beside a grid": (
        one("{name: adam, lr: [0.1, 1], «beta: 0.1}"),
        "optimizers.A.beta",
        "unknown key; did you mean 'betas'?",
    ),
    "another optimizer's key": (
        one("{name: adam, «momentum: [0.5, 0.9]}"),
        "optimizers.A.momentum",
        "unknown key here; it belongs to optimizer sgd, optimizer rmsprop or optimizer muon",
    ),
    "batch size": (
        one("{name: sgd, «batch_size: [32, 64]}"),
        "optimizers.A.batch_size",
        "unknown key here; it belongs to base.training.batch_size",
    ),
    "fixed value out of range": (
        one("{name: adam, eps: «2}"),
        "optimizers.A.eps",
        "must be at most 1, got 2",
    ),
    "one beta": (
        one("{name: adam, betas: «0.9}"),
        "optimizers.A.betas",
        "must be a list such as [0.9, 0.999], got 0.9",
    ),
    "nesterov of no momentum": (
        one("{name: nesterov, momentum: 0, nesterov: «true}"),
        "optimizers.A.nesterov",
        "needs momentum above 0 and dampening 0, got momentum 0.0 and dampening 0.0; set momentum, e.g. 0.9",
    ),
    "nesterov of a tuned momentum that begins with 0": (
        one("{name: sgd, momentum: [0, 0.9], nesterov: «true}"),
        "optimizers.A.nesterov",
        "needs momentum above 0 and dampening 0, got momentum 0.0 and dampening 0.0; set momentum, e.g. 0.9",
    ),
    "nesterov of a tuned momentum that holds 0": (
        one("{name: sgd, momentum: [0.9, 0], nesterov: «true}"),
        "optimizers.A.nesterov",
        "needs momentum above 0 and dampening 0, got momentum 0.0 and dampening 0.0; set momentum, e.g. 0.9",
    ),
}

GRIDS: dict[str, Case] = {
    "empty": (
        one("{name: sgd, lr: «[]}"),
        "optimizers.A.lr",
        "must have at least two values to choose from, got none",
    ),
    "one value": (
        one("{name: sgd, lr: «[0.1]}"),
        "optimizers.A.lr",
        "must have at least two values to choose from, got one; write lr: 0.1 for a fixed value",
    ),
    "negative value": (
        one("{name: sgd, lr: [0.1, «-0.1]}"),
        "optimizers.A.lr[1]",
        "must be above 0, got -0.1",
    ),
    "negative first value": (
        one("{name: sgd, lr: [«-0.1, 0.1]}"),
        "optimizers.A.lr[0]",
        "must be above 0, got -0.1",
    ),
    "negative value of the second grid": (
        one("{name: sgd, lr: [0.1, 1], weight_decay: [0, «-1]}"),
        "optimizers.A.weight_decay[1]",
        "must be at least 0, got -1",
    ),
    "text": (
        one("{name: sgd, lr: [0.1, «'0.2']}"),
        "optimizers.A.lr[1]",
        "must be a number, got the text '0.2'; write it without quotes, underscores or commas",
    ),
    "a list": (one("{name: sgd, lr: [0.1, «[1]]}"), "optimizers.A.lr[1]", "must be a number, got [1]"),
    "not a number": (one("{name: sgd, lr: [0.1, «.nan]}"), "optimizers.A.lr[1]", "must be a finite number, got nan"),
    "repeated": (
        one("{name: sgd, lr: [0.1, 1, «1e-1]}"),
        "optimizers.A.lr[2]",
        "repeats lr[0], 0.1; keep one of them",
    ),
    "repeated pair": (
        one("{name: adam, betas: [[0.9, 0.999], «[0.9, 0.999]]}"),
        "optimizers.A.betas[1]",
        "repeats betas[0], [0.9, 0.999]; keep one of them",
    ),
    "truth values": (
        one("{name: adam, amsgrad: «[true, false]}"),
        "optimizers.A.amsgrad",
        "must be true or false, got [True, False]; only numbers are tuned, so name an optimizer for each",
    ),
    "pair out of range": (
        one("{name: adam, betas: [[0.9, 0.999], [0.9, «1]]}"),
        "optimizers.A.betas[1][1]",
        "must be below 1, got 1",
    ),
    "pair of one": (
        one("{name: adam, betas: [[0.9, 0.999], «[0.9]]}"),
        "optimizers.A.betas[1]",
        "must have at least 2 items, got 1",
    ),
    "pair and number": (
        one("{name: adam, betas: [«0.9, [0.9, 0.999]]}"),
        "optimizers.A.betas[0]",
        "must be a list such as [0.9, 0.999], got 0.9",
    ),
    "too many settings": (
        one("«{name: sgd, lr: {log_grid: [1e-3, 1, 40]}, momentum: {log_grid: [0.1, 0.9, 40]}}"),
        "optimizers.A",
        "the grids make 1,600 settings; the limit is 1,000",
    ),
    "log_grid, no list": (
        one("{name: sgd, lr: {log_grid: «7}}"),
        "optimizers.A.lr.log_grid",
        "must be [low, high, points] such as [1e-3, 1, 7], got 7",
    ),
    "log_grid of two": (
        one("{name: sgd, lr: {log_grid: «[1e-3, 1]}}"),
        "optimizers.A.lr.log_grid",
        "must be [low, high, points] such as [1e-3, 1, 7], got [0.001, 1]",
    ),
    "log_grid without points": (
        one("{name: sgd, lr: {log_grid: [1e-3, 1, «0]}}"),
        "optimizers.A.lr.log_grid[2]",
        "must be at least 2, got 0",
    ),
    "log_grid of fractional points": (
        one("{name: sgd, lr: {log_grid: [1e-3, 1, «7.0]}}"),
        "optimizers.A.lr.log_grid[2]",
        "must be a whole number, got 7.0; write 7",
    ),
    "log_grid upside down": (
        one("{name: sgd, lr: {log_grid: «[1, 1e-3, 7]}}"),
        "optimizers.A.lr.log_grid",
        "low must be below high, got low 1 and high 0.001",
    ),
    "log_grid of one value": (
        one("{name: sgd, lr: {log_grid: «[1, 1, 7]}}"),
        "optimizers.A.lr.log_grid",
        "low must be below high, got low 1 and high 1",
    ),
    "log_grid from zero": (
        one("{name: sgd, weight_decay: {log_grid: [«0, 1, 7]}}"),
        "optimizers.A.weight_decay.log_grid[0]",
        "must be above 0, got 0",
    ),
    "log_grid of text": (
        one("{name: sgd, lr: {log_grid: [0.1, «'1', 7]}}"),
        "optimizers.A.lr.log_grid[1]",
        "must be a number, got the text '1'; write it without quotes, underscores or commas",
    ),
    "log_grid beyond the field": (
        one("{name: sgd, momentum: {log_grid: [0.5, «2, 4]}}"),
        "optimizers.A.momentum.log_grid[1]",
        "must be at most 1, got 2.0",
    ),
    "log_grid too dense": (
        one("{name: sgd, lr: {log_grid: «[1, 1.00000000001, 100]}}"),
        "optimizers.A.lr.log_grid",
        "100 points between 1 and 1.00000000001 are too close; take fewer",
    ),
    "log_grid misspelt": (
        one("{name: sgd, lr: {«loggrid: [1e-3, 1, 7]}}"),
        "optimizers.A.lr.loggrid",
        "unknown key; did you mean 'log_grid'?",
    ),
    "log_grid with another key": (
        one("{name: sgd, lr: {log_grid: [1e-3, 1, 7], «points: 7}}"),
        "optimizers.A.lr.points",
        "unknown key; known here: log_grid",
    ),
    "log_grid, empty": (
        one("{name: sgd, lr: «{}}"),
        "optimizers.A.lr",
        "must be a number, a list or {log_grid: [low, high, points]}, got a mapping",
    ),
    "log_grid of pairs": (
        one("{name: adam, betas: «{log_grid: [0.1, 0.9, 3]}}"),
        "optimizers.A.betas",
        "must be a list such as [0.9, 0.999], got a mapping",
    ),
}
