"""Export formats, and the files they are written to."""
