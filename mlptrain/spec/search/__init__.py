"""What the YAML file of a search may say."""
