"""The plain worker with a budget for what nobody has proven that no test uses up: for tests that send much of it."""

from functools import partial

from plain import worker

from base.protocol import envelopes
from base.protocol.budgets import Strangers

envelopes.Strangers = partial(Strangers, 1_000_000, 1_000_000)  # type: ignore[misc, assignment]

if __name__ == "__main__":
    worker.run()
