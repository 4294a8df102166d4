"""What the YAML file of a comparison may say."""
