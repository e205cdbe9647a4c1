"""What happens when an item or a run is finished: the user's own commands, and requests to a webhook.

Nothing here can fail an item or a run: what goes wrong becomes a warning at the end.
"""
