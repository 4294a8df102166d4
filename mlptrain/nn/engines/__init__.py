"""What makes the gradients of a step."""
