"""What a web console shows: figures, the audit log, health and metrics."""
