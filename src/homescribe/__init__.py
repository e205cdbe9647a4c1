"""Whole channels, playlists, podcasts and folders as text to search, read along and export."""

__version__ = "0.1.0"
