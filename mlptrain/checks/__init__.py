"""What can be verified: this machine, a training whose outcome is known, the gradients of a configuration."""
