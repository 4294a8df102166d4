"""The engine, its optimizers, evaluation, checkpoints, and what a run looks like from inside."""
