"""What comes to a run from outside: agents' telemetry and the Control Plane's deliveries."""
