"""Prices of rented machines, the plan of a run, and its spending cap."""
