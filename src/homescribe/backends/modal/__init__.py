"""Rented GPUs on Modal."""
