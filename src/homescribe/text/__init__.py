"""Text for people and from strangers: dates, display, sanitizing, scripts."""
