"""The actor kernel."""
