"""A worker that acts out its bootstrap document: ``{"act": name, …}``. It needs nothing but the launch contract."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

AID = "aid:pubkey:scripted"


def ready(port: int | None = None) -> None:
    listener = socket.socket(fileno=int(os.environ["AITP_LISTEN_FD"]))
    actual = listener.getsockname()[1]
    listener.detach()
    print(f"AITP_AGENT_READY aid={AID} port={actual if port is None else port}")


def until_told_to_end() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    ready()
    signal.sigwait({signal.SIGTERM})
    sys.exit(0)


def exit_early() -> None:
    print("no key, no service", file=sys.stderr)
    sys.exit(script["code"])


def raise_error() -> None:
    raise ValueError("the corpus is missing")


def die_by_signal() -> None:
    ready()
    os.kill(os.getpid(), script["signal"])


def stay_silent() -> None:
    signal.pause()


def say() -> None:
    """Write the given pieces to stdout one by one, then serve."""
    for piece in script["pieces"]:
        os.write(1, piece.encode("latin-1"))
        time.sleep(0.01)
    until_told_to_end()


def announce() -> None:
    print(script["line"])
    signal.pause()


def announce_wrong_port() -> None:
    ready(port=1)
    signal.pause()


def chatter() -> None:
    for descriptor in (1, 2):
        for _ in range(64):
            os.write(descriptor, b"x" * 65535 + b"\n")
    os.write(2, b"the last word")
    until_told_to_end()


def ignore_term() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready()
    while True:
        signal.pause()


def start_helper() -> None:
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(json.dumps({"helper": helper.pid}))
    until_told_to_end()


def report() -> None:
    facts = {
        "environ": dict(os.environ),
        "initial_environ": initial_environment(),
        "argv": sys.argv,
        "cmdline": Path("/proc/self/cmdline").read_text(),
        "cwd": str(Path.cwd()),
        "path": sys.path,
        "main": __name__,
        "session": os.getsid(0),
        "pid": os.getpid(),
        "random": random.random(),
        "descriptors": open_descriptors(),
        "inheritable": [n for n in open_descriptors() if n > 2 and os.get_inheritable(n)],
        "stdin": str(Path("/proc/self/fd/0").readlink()),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "ignored": sorted(n for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN),
        "term": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "preloaded": sorted(name for name in ("aiohttp",) if name in sys.modules),
    }
    print(json.dumps(facts))
    until_told_to_end()


def initial_environment() -> list[str]:
    try:
        return Path("/proc/self/environ").read_text().split("\0")[:-1]
    except PermissionError:  # a worker is closed even to its own user; what nobody can read tells nobody anything
        return []


def open_descriptors() -> list[int]:
    found = []
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        try:
            os.fstat(number)
        except OSError:  # the one that listed them
            continue
        found.append(number)
    return sorted(found)


with os.fdopen(int(os.environ["AITP_BOOTSTRAP_FD"]), "rb") as bootstrap:
    script = json.load(bootstrap)
globals()[script["act"]]()
