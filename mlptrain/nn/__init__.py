"""The mathematics of multi-layer perceptrons: forward pass, losses, initial weights and derivatives.

``network`` has the layers and ``ops`` what follows their products; ``losses`` what is minimised; ``initialisation`` the
weights to start from; ``parameters`` the tensors they live in; ``engines`` the gradients of a step; ``functions`` what
no configuration names: softmax and the losses on probabilities, with their derivatives.
"""
