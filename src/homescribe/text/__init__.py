"""Text for people and from strangers: display, sanitizing, scripts."""
