"""Measurements of what the design claims. Each module is a program: `python -m benchmarks.NAME --help`."""
