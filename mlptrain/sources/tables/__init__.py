"""Tables in files: from a path to typed columns, with what was detected said in words."""
