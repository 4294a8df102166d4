"""An optimizer of one's own: the sign of a running mean of the gradients."""

import torch


class SignMomentum(torch.optim.Optimizer):
    def __init__(self, params, lr=0.001, momentum=0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                p.sub_(group["lr"] * mean.sign())
