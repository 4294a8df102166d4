"""A trained network behind HTTP: what comes in, what is answered, and the page where it can be tried."""
