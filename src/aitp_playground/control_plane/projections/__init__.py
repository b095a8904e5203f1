"""Sessions, TCTs and delegations, as reported events tell them. Nothing here is verified."""
