"""What a layer does besides its product."""
