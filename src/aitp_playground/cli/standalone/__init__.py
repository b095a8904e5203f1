"""``agent``: one agent without a run."""
