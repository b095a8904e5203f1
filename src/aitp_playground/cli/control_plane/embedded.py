"""A development Control Plane beside this process: started, found out about, and gone when we are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import SecretStr

from aitp_playground.cli.process.parent import LIFELINE
from aitp_playground.config import Settings
from aitp_playground.errors import ConfigurationError
from aitp_playground.hosting.child_process import Child
from aitp_playground.hosting.handover import Lifeline
from aitp_playground.observability.redaction import SECRETS

START_SECONDS = 30.0
STOP_SECONDS = 5.0


@contextlib.asynccontextmanager
async def embedded_control_plane(settings: Settings, *, keep: bool) -> AsyncIterator[Settings]:
    """The settings to use it with, in place of whatever Control Plane they named.

    ``keep`` has it keep what it is told in STATE_DIR; otherwise that is in its memory alone, so that nothing is left
    behind however we end. Raises ConfigurationError when it does not start; it has said why on stderr by then.
    """
    key = secrets.token_urlsafe(32)
    SECRETS.add(key)
    lifeline = Lifeline()
    reader, stdout = os.pipe()
    try:
        child = _spawn(settings, key, keep=keep, lifeline=lifeline.reader, stdout=stdout)
    except BaseException:
        os.close(reader)
        lifeline.close()
        raise
    finally:
        os.close(stdout)
    try:
        told = await _announcement(reader, child)
        yield settings.model_copy(
            update={"cp_base_url": told["CP_BASE_URL"], "cp_aid": told["CP_AID"], "cp_api_key": SecretStr(key)}
        )
    finally:
        try:
            await _stop(child)
        finally:
            lifeline.close()


def _spawn(settings: Settings, key: str, *, keep: bool, lifeline: int, stdout: int) -> Child:
    # -P: the working directory is the user's, and nothing in it is ours to import.
    argv = [sys.executable, "-P", "-m", "aitp_playground", "control-plane", "--port", "0"]
    level = settings.log_level if keep or "log_level" in settings.model_fields_set else "WARNING"
    env = {**os.environ, "CP_API_KEY": key, "STATE_DIR": str(settings.state_dir), "LOG_LEVEL": level}
    try:
        return Child(
            argv if keep else [*argv, "--db", ":memory:"],
            env={**env, LIFELINE: str(lifeline)},
            cwd=Path.cwd(),
            stdout=stdout,
            stderr=2,
            pass_fds=(lifeline,),
        )
    except OSError as failure:
        raise ConfigurationError(f"the embedded Control Plane cannot be started: {failure.strerror}") from failure


async def _announcement(descriptor: int, child: Child) -> dict[str, str]:
    """What it prints once it listens: ``CP_BASE_URL`` and ``CP_AID``. The descriptor is closed."""
    stream = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", buffering=0)
    )
    told: dict[str, str] = {}
    try:
        async with asyncio.timeout(START_SECONDS):
            while not told.keys() >= {"CP_BASE_URL", "CP_AID"}:
                line = (await stream.readline()).decode()
                if not line:
                    raise ConfigurationError(f"the embedded Control Plane ended with code {await child.exited}")
                name, _, value = line.strip().partition("=")
                told[name] = value
    except TimeoutError:
        raise ConfigurationError(f"the embedded Control Plane was not ready within {START_SECONDS:g} s") from None
    finally:
        transport.close()
    return told


async def _stop(child: Child) -> None:
    child.signal(signal.SIGTERM)
    try:
        await asyncio.wait((child.exited,), timeout=STOP_SECONDS)
    finally:
        child.signal(signal.SIGKILL)
        await asyncio.wait((child.exited,))
