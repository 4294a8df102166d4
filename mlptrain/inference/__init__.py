"""What a trained network is used for: evaluation, prediction, a ``torch.nn.Module``."""
