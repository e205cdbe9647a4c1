"""Export formats: one module for each kind of file, the names of the files, and writing them to disk."""
