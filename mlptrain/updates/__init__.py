"""How weights change: optimizers, and the chain that a step runs through. Learning rates live here."""
