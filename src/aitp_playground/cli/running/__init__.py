"""``run``: one scenario, in this process or on a server."""
