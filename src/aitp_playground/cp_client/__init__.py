"""The Control Plane client.

``client`` has the calls, grouped in ``calls``; ``degrading`` makes them degrade, ``transport`` does one exchange,
``breaker`` decides whether to try, ``issuer_pin`` and ``revocation_lists`` say which revocation list is believed,
``reasons`` names what can go wrong, ``reporting`` tells the Control Plane what happened in each run.
"""

from aitp_playground.cp_client.batches import Batch, BatchFate
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import REASONS, Outcome, Reason

__all__ = ["REASONS", "Batch", "BatchFate", "CpClient", "Outcome", "Reason"]
