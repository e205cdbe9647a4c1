"""What transcription costs: published prices, a plan, and the spending cap."""
