"""What this process inherited of signals. A mask and ignored signals outlive exec; signal(7)."""

from __future__ import annotations

import signal

#: Ignored on purpose by whoever starts a command: nohup(1), a shell that puts it into the background, and Python.
_KEPT = frozenset({"SIGHUP", "SIGINT", "SIGQUIT", "SIGPIPE", "SIGXFSZ", "SIGTSTP", "SIGTTIN", "SIGTTOU"})


def clean_signals() -> None:
    """Block no signal, and ignore none but those that it is a convention to ignore.

    A parent that ignores SIGCHLD takes the exit codes of our children away, one that blocks or ignores SIGTERM the way
    to end us. Meant for the beginning of a command, in its main thread, before handlers are set.
    """
    for number in signal.valid_signals():
        if getattr(number, "name", "") not in _KEPT and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
