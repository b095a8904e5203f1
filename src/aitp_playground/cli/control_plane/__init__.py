"""The development Control Plane beside a command, what it holds about runs, and the demonstration of both."""
