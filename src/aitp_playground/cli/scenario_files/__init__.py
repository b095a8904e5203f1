"""Scenario files for the commands that read or make them."""
