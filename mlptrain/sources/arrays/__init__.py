"""Data of the user's own that are arrays: archives of them, IDX files, folders of images."""
