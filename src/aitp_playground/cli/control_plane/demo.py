"""``python -m aitp_playground.cli.control_plane.demo``: every scenario that uses a Control Plane, on one of its own.

Beside it an analyzer runs on its own, enrolled, for the scenario that looks for one in the registry. The exit code is 0
when every run succeeded and proved what it claims, and the Control Plane holds what each is there to bring about.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from aitp_playground import resources
from aitp_playground.cli.control_plane.contents import Contents, content_lines, contents_of_runs
from aitp_playground.cli.control_plane.embedded import embedded_control_plane
from aitp_playground.cli.exits import CANCELLED, FAILED, SUCCESS, exit_code_of, explain
from aitp_playground.cli.process.parent import LIFELINE
from aitp_playground.cli.process.settings import load_settings
from aitp_playground.cli.process.signals import Interrupts
from aitp_playground.cli.terminal.announcements import Announcements
from aitp_playground.cli.terminal.patience import lost, written
from aitp_playground.config import Settings
from aitp_playground.errors import PlaygroundError
from aitp_playground.events.codec import decode
from aitp_playground.hosting.handover import Lifeline
from aitp_playground.hosting.privacy import keep_private
from aitp_playground.hosting.signals import clean_signals
from aitp_playground.observability.logging import configure
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.requests import NewRun, RunView
from aitp_playground.scenarios.manifests import MANIFEST_DIR
from aitp_playground.service import playground

ANALYZER: Final = f"{MANIFEST_DIR}/analyzer.yaml"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 5.0

#: Each scenario, and what the Control Plane must hold for it afterwards.
DEMOS: Final[dict[str, Callable[[Contents], Sequence[object]]]] = {
    "intra-org/external-enrollment@1.0.0": lambda seen: seen.registered,
    "intra-org/revocation-via-cp@1.0.0": lambda seen: seen.revocations,
    "intra-org/revocation-via-cp@1.1.0": lambda seen: seen.revocations,
    "intra-org/webhook-subscription@1.0.0": lambda seen: seen.deliveries,
    "intra-org/cp-trust-anchor-provisioning@1.0.0": lambda seen: seen.pinned,
    "intra-org/cp-delegation-tree@1.0.0": lambda seen: seen.delegations,
    "cross-org/federated-analysis@1.0.0": lambda seen: seen.sessions,
}
FEDERATED: Final = "cross-org/federated-analysis@1.0.0"


async def demonstrate() -> int:
    """The exit code. Raises the errors of :mod:`aitp_playground.errors`."""
    with tempfile.TemporaryDirectory(prefix="aitp-demo-") as state, Interrupts() as interrupts:
        # Its own state: a demonstration neither shows nor keeps what is somebody's.
        shipped = str(resources.scenarios_dir())
        settings = load_settings(
            host="127.0.0.1", port=0, state_dir=Path(state), run_history_db="", scenarios_dir=shipped
        )
        clean_signals()
        keep_private()
        logs = configure("WARNING", settings.log_format)
        announcements = Announcements()
        try:
            work = asyncio.create_task(_demonstrate(settings, announcements.say), name="demo")
            asked = asyncio.create_task(interrupts.asked.wait(), name="asked")
            await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            work.cancel()
            await asyncio.wait({work, asked})
            code = CANCELLED if work.cancelled() else work.result()
        finally:
            await written(announcements.sink, interrupts)
            await asyncio.to_thread(logs.close)
    if code == SUCCESS and (failure := lost(announcements.sink)) is not None:
        raise failure
    return code


async def _demonstrate(settings: Settings, say: Callable[[str], None]) -> int:
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(embedded_control_plane(settings, keep=False))
        stranger = await stack.enter_async_context(_standalone(settings))
        running = await stack.enter_async_context(playground(settings))
        views = [await _run(running.directory, ref, say) for ref in DEMOS]
        seen = await contents_of_runs(settings, running.directory, [view.row.header.run_id for view in views])
    faults = 0
    for view, contents in zip(views, seen, strict=True):
        say("")
        for line in content_lines([contents]):
            say(line)
        for fault in faults_of(view, contents, stranger):
            faults += 1
            say(f"  FAILED: {fault}")
    say("")
    say(f"{len(views)} scenarios, " + (f"{faults} claims failed" if faults else "every claim holds"))
    return FAILED if faults else SUCCESS


async def _run(directory: RunDirectory, ref: str, say: Callable[[str], None]) -> RunView:
    say(f"running {ref}")
    submitted = await directory.submit(NewRun(scenario_ref=ref))
    run_id = submitted.row.header.run_id
    async for _ in directory.stream(run_id):
        pass
    return await directory.view(run_id)


def faults_of(view: RunView, seen: Contents, stranger: str) -> list[str]:
    """What is not as it should be; ``stranger``: the AID of the analyzer in the registry."""
    faults = []
    if view.row.summary.status != "success":
        faults.append(f"the run ended as {view.row.summary.status}: {view.error}")
    elif view.proof != "proven":
        faults.append("the run did not get to try all it claims")
    if not seen.arrived:
        faults.append("the Control Plane has not got the whole log")
    if not DEMOS[seen.ref](seen):
        faults.append("the Control Plane does not hold what this scenario is about")
    if seen.ref == FEDERATED and not _met(view, stranger):
        faults.append("the analyzer in the registry was not the one that was used")
    return faults


def _met(view: RunView, stranger: str) -> bool:
    """Whether a handshake with that AID was completed."""
    completed = [event for event in map(decode, (e.body for e in view.events)) if event.type == "handshake.complete"]
    return any(stranger in (event.get("aid_a"), event.get("aid_b")) for event in completed)


@asynccontextmanager
async def _standalone(settings: Settings) -> AsyncIterator[str]:
    """The analyzer of another organisation, with a state and so a key of its own; its AID once it is enrolled."""
    lifeline = Lifeline()
    env = {
        **os.environ,
        LIFELINE: str(lifeline.reader),
        "CP_BASE_URL": settings.cp_base_url,
        "CP_AID": settings.cp_aid,
        "CP_API_KEY": settings.cp_api_key.get_secret_value(),
        "STATE_DIR": str(settings.state_dir / "elsewhere"),
        "LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "aitp_playground", "agent", str(resources.scenarios_dir() / ANALYZER)),
        *("--enroll", "--accept", "any-verified"),
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        pass_fds=(lifeline.reader,),
    )
    try:
        yield await _enrolled(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        finally:
            lifeline.close()


async def _enrolled(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    aid = ""
    try:
        async with asyncio.timeout(START_SECONDS):
            async for line in process.stdout:
                text = line.decode().strip()
                aid = text.removeprefix("AID=") if text.startswith("AID=") else aid
                if text.startswith("enrolled"):
                    return aid
    except TimeoutError:
        raise PlaygroundError(f"the analyzer was not enrolled within {START_SECONDS:g} s") from None
    raise PlaygroundError("the analyzer ended before it was enrolled")


def main() -> int:
    """Entry point of the module."""
    try:
        return asyncio.run(demonstrate())
    except PlaygroundError as failure:
        explain(failure)
        return exit_code_of(failure)


if __name__ == "__main__":
    sys.exit(main())
