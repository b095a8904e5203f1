"""Reporting runs to the Control Plane in the background, each event exactly once."""
