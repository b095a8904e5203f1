"""How the Control Plane speaks: JSON, times, queries, bodies, refusals."""
