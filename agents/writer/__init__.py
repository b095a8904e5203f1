"""A worker that composes articles."""


def preload() -> None:
    """What every writer would do first, done once ahead of all forks."""
    from writer import compose  # noqa: F401 - imported when asked to
