"""Conducting a run: its agents, the trust between them, its steps."""
