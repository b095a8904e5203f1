"""The embedded development Control Plane: registry, event store, revocation and webhooks in one loopback process.

It answers as a Control Plane does, on SQLite, so that every scenario backed by one runs on a laptop. It is for
development and tests: webhooks to loopback addresses are allowed, and it can be told to misbehave.
"""
