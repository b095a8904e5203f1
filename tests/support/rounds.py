"""How often what depends on chance is tried: three times among the tests, as often as ``make soak`` says elsewhere."""

import os

ROUNDS = int(os.environ.get("ROUNDS", "3"))
