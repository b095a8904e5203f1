"""Events: reading what was reported, storing it, history and stream."""
