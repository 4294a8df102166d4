"""How weights change: optimizers."""
