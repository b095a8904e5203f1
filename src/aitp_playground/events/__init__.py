"""Run events: what they are, which there are, how they are written down."""
