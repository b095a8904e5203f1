"""A worker that searches a corpus."""


def preload() -> None:
    """What every researcher would do first, done once ahead of all forks."""
    from researcher import report, search  # noqa: F401 - imported when asked to

    search.index()
