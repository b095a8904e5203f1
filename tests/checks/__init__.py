"""Checks of the source as a whole that no tool at hand makes: import circles, and files that outgrow a screenful.

``python -m tests.checks`` is part of ``make check``. Each check has a list of today's exceptions that may only shrink:
one that is no longer needed is reported too.
"""
