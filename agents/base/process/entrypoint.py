"""Runs a worker's entrypoint as ``python -m`` would: in a forked child, or alone as
``python -m base.process.entrypoint``.

A job is JSON: ``{"agent_id", "entrypoint": [type, value], "path": [dir…], "cwd", "env": {name: value}}``. It holds no
secret. Run alone, the job is the only argument, ``env`` lists names (the values are in the environment already), and
``parent`` is the process id whose death must end this process.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from base.process import linux

#: The contract's descriptors, in the order in which their names are listed.
DESCRIPTORS = ("AITP_BOOTSTRAP_FD", "AITP_LISTEN_FD", "AITP_LIFELINE_FD")

_AGENTS_DIR = Path(__file__).resolve().parents[2]
#: Seconds; the clock of a file may be some way behind ours.
_YOUNG = 3.0
#: Package -> its files and when each was changed, as they were preloaded.
_preloaded: dict[str, dict[str, int]] = {}


@dataclass(frozen=True)
class Job:
    """What to run. ``kind`` is ``python_module`` or ``python_file`` (then ``value`` is absolute)."""

    agent_id: str
    kind: str
    value: str
    path: tuple[str, ...]
    cwd: str
    env: dict[str, str]


def parse_job(document: Any) -> Job:
    """Read a job whose ``env`` holds values."""
    kind, value = document["entrypoint"]
    return Job(document["agent_id"], kind, value, tuple(document["path"]), document["cwd"], document["env"])


def remember_preloaded(packages: Iterable[str]) -> None:
    """Note when the files of these packages were changed: a child must not run code that is older than its file."""
    for package in packages:
        _preloaded[package] = {file: os.stat(file).st_mtime_ns for file in _files(_AGENTS_DIR / package)}  # noqa: PTH116


def reset_signals() -> None:
    """Undo what a parent did to dispositions and mask, both of which outlive exec: a worker starts like any Python
    program, whoever started the service."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def run(job: Job) -> NoReturn:
    """Run the entrypoint and end the process with its code; a traceback on stderr means 1."""
    code = 1
    try:
        _prepare(job)
        if job.kind == "python_module":
            runpy.run_module(job.value, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(job.value, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = _exit_code(end.code)
    except BaseException:  # noqa: BLE001 - the top of the process: whatever it is becomes a traceback and a code
        traceback.print_exc()
    finally:
        _finish(code)


def _prepare(job: Job) -> None:
    linux.set_name(f"aitp:{job.agent_id}")
    for name in os.environ.keys() - job.env.keys():
        del os.environ[name]
    os.environ.update(job.env)
    time.tzset()
    for name in DESCRIPTORS:
        os.set_inheritable(int(job.env[name]), False)
    for stream in (sys.stdout, sys.stderr):
        # A ready line must leave the process when it is printed, and no text may be unprintable.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    os.chdir(job.cwd)
    sys.path[:] = [*job.path, *sys.path]
    sys.argv = [job.value]
    _refresh(job.path)
    sys.dont_write_bytecode |= _in_the_making(job)


def _refresh(path: Sequence[str]) -> None:
    """Forget what would hide the code on disk: a package of that name earlier on the path, or changed files."""
    for entry in path:
        sys.path_importer_cache.pop(entry, None)
    ours = {"base", *_preloaded}
    stale = {package for package in ours if not _is_ours(package, path) or _changed(package)}
    if "base" in stale:  # the others hold on to what they imported from it
        stale = ours
    if stale:
        for module in [name for name in sys.modules if name.partition(".")[0] in stale]:
            del sys.modules[module]


def _is_ours(package: str, path: Sequence[str]) -> bool:
    first = next((entry for entry in map(Path, path) if (entry / package / "__init__.py").exists()), None)
    return first is not None and first.resolve() == _AGENTS_DIR


def _changed(package: str) -> bool:
    try:
        return any(os.stat(file).st_mtime_ns != stamp for file, stamp in _preloaded.get(package, {}).items())  # noqa: PTH116
    except OSError:
        return True


def _in_the_making(job: Job) -> bool:
    """Whether a source beside the entrypoint was changed just now.

    The interpreter holds bytecode against its source by size and whole seconds: of a file that is written again within
    the second, what was compiled before would be run. So nothing compiled is left of a file so young.
    """
    package = job.value.partition(".")[0]
    homes = [Path(entry, package) for entry in job.path] if job.kind == "python_module" else [Path(job.value).parent]
    home = next((home for home in homes if home.is_dir()), None)
    if home is None:
        return False
    young = time.time() - _YOUNG
    try:
        return any(file.name.endswith(".py") and file.stat().st_mtime > young for file in os.scandir(home))
    except OSError:  # it is being changed at this moment
        return True


def _files(package: Path) -> Iterator[str]:
    """The package's files and directories: a directory changes when something is added to it."""
    for directory, names, files in os.walk(package):
        names[:] = [name for name in names if name != "__pycache__"]
        yield directory
        yield from (os.path.join(directory, name) for name in files)  # noqa: PTH118 - read by stat alone


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)  # noqa: T201 - what the interpreter does with exit("message")
    return 1


def _finish(code: int) -> NoReturn:
    """Join threads, run exit handlers, flush, and leave without tearing down a heap that is mostly shared."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)


def main() -> NoReturn:
    """Run the job of the command line in this process."""
    linux.keep_private()
    reset_signals()
    document = json.loads(sys.argv[1])
    linux.die_with(document["parent"])
    del sys.path[0]  # the directory of this package: the job says where modules come from
    names = document["env"]
    run(parse_job(document | {"env": {name: os.environ[name] for name in names}}))


if __name__ == "__main__":
    main()
