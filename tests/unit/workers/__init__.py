"""The shipped workers, without their processes."""
