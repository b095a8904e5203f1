"""The worker whose module ``LACKING_WORKER`` of its environment names, on an SDK without the name in ``LACKING``."""

from __future__ import annotations

import os
import runpy
from functools import reduce

import aitp

if __name__ == "__main__":
    *holders, hidden = os.environ["LACKING"].split(".")
    delattr(reduce(getattr, holders, aitp), hidden)
    runpy.run_module(os.environ["LACKING_WORKER"], run_name="__main__", alter_sys=True)
