"""Data sources: what is known of a data set before it is read, and reading it. Nothing here loads torch."""
