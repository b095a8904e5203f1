"""``make bench``: every figure the project promises, measured in one go. Names as arguments choose some."""

from __future__ import annotations

import asyncio
import sys

from tests.bench import (
    bench_control_plane,
    bench_dead_cp,
    bench_events,
    bench_every,
    bench_everything,
    bench_floods,
    bench_runs,
    bench_streams,
)
from tests.bench.report import machine

BENCHES = {
    "runs": bench_runs,
    "every": bench_every,
    "everything": bench_everything,
    "events": bench_events,
    "streams": bench_streams,
    "control_plane": bench_control_plane,
    "dead_cp": bench_dead_cp,
    "floods": bench_floods,
}


def main() -> int:
    chosen = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in chosen if name not in BENCHES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    print(machine())
    for name in chosen:
        print(f"{name}:")
        for figure in asyncio.run(BENCHES[name].figures()):
            print(f"  {figure.line()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
