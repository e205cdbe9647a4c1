"""Text for people and from strangers: display, clean-up, scripts."""
