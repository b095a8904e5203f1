"""The Control Plane client.

``client`` has the calls, ``calls`` makes them degrade, ``transport`` does one exchange, ``breaker`` decides whether to
try, ``pins`` and ``revocations`` say which revocation list is believed, ``reasons`` names what can go wrong.
"""

from aitp_playground.cp_client.batches import Batch, Ingested
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.reasons import REASONS, Outcome, Reason

__all__ = ["REASONS", "Batch", "CpClient", "Ingested", "Outcome", "Reason"]
