"""Pictures and page of a search, drawn from its summary."""
