"""Shared settings.

Hypothesis looks for inputs, not for slow machines: no deadline, and no complaint about the time it takes to make
a value. In CI the inputs are the same ones every time, so that a red run can be had again.
"""

import os
import signal

from hypothesis import HealthCheck, settings

from tests.support.requirements import pytest_addoption, pytest_collection_modifyitems, pytest_configure

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_configure"]

#: Hundreds of databases are made; those that are to keep a reserve say so.
os.environ.setdefault("RUN_HISTORY_RESERVE_BYTES", "0")

# A shell that starts this in the background has it ignore the terminal's interrupt, and with it each command that a
# test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("patient"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "patient")
