"""A process that reports what lies in a store: ``python reporter_process.py DIRECTORY URL KEY``, until it is killed.

It makes the run itself, so that the run is its own, and says its id.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.integration.cp_client.ingesting import ended, events_of, new_run, reporting, stored, talk


async def main(directory: Path, url: str, key: str) -> None:
    async with stored(directory) as store, reporting(store, url, key) as reporter:
        run_id = await new_run(store, talk(700))
        print(run_id, flush=True)
        ended(reporter, await events_of(store, run_id))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
