"""What people and machines see of a run from outside: prose, log lines, metrics."""
