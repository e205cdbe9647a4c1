"""Transcribe on a Ray cluster: your own machines."""
