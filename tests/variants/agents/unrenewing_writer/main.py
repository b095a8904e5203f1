"""The shipped writer on an SDK that lacks one name."""

from __future__ import annotations

import aitp

from writer.main import worker

if __name__ == "__main__":
    del aitp.AitpAgent.process_renewal_request
    worker.run()
