"""The registry of agents: joining, discovery, expiry."""
