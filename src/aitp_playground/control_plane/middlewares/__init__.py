"""What every request passes before its handler: request ids, keys, origins, limits, idempotency, error answers."""
