"""``inspect``: what a signed thing of the protocol is, what it says, and whether it holds."""
