"""The Control Plane's identity, what it signs, and whom it believes."""
