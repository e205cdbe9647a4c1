"""Transcribe on GPUs rented at Modal."""
