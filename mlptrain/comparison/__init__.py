"""An honest comparison of optimizers: trials paired by seed, tuned on validation data, judged by exact tests."""
