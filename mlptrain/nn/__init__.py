"""The mathematics of multi-layer perceptrons: forward pass, losses, initial weights and derivatives by hand.

``activations``, ``losses`` and ``initialisation`` hold one table each from a name to what it means; ``network`` the
layers and their parameters in one flat tensor; ``backward`` the gradient by hand that training uses; ``functions`` the
functions that no configuration names, softmax and the losses on probabilities, with their derivatives.
"""
