"""The shipped researcher on an SDK that lacks one name."""

from __future__ import annotations

import aitp

from researcher.main import worker

if __name__ == "__main__":
    del aitp.AitpAgent.build_renewal_request
    worker.run()
