"""The package's surface."""

from __future__ import annotations

import subprocess
import sys

from aitp_playground import actors


def test_the_public_names_are_these_in_order() -> None:
    assert actors.__all__ == [
        "Actor",
        "ActorError",
        "ActorRef",
        "ActorStopped",
        "AskTimeout",
        "ChildTasks",
        "Lane",
        "MailboxFull",
        "Restart",
        "Supervisor",
    ]
    assert all(hasattr(actors, name) for name in actors.__all__)


def test_the_kernel_can_be_imported_alone_and_brings_no_web_framework() -> None:
    code = (
        "import sys, aitp_playground.actors; "
        "ours = {m for m in sys.modules if m.startswith('aitp_playground')}; "
        "assert 'aiohttp' not in sys.modules; "
        "assert all(m == 'aitp_playground' or m.startswith('aitp_playground.actors') for m in ours), ours"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=300)
