"""What a shell completes: refs, templates, runs. Whatever goes wrong here completes nothing, and says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from aitp_playground.scenarios.catalog import Catalog

#: Runs that are offered, the newest.
MOST_RUNS = 50
_REF = re.compile(r"[^/@\s]+/[^/@\s]+@[^/@\s]+")


def refs(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Every scenario that can be run, with what it shows."""
    with contextlib.suppress(Exception):
        scenarios = asyncio.run(_catalog().scenarios())[0]
        found = ((one.ref, one.scenario.metadata.summary) for one in scenarios)
        return [CompletionItem(ref, help=summary) for ref, summary in found if ref.startswith(incomplete)]
    return []


def templates(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The variants of the scenario that the command line names so far."""
    with contextlib.suppress(Exception):
        # An option that still lacks its value keeps click from reading what stands before it.
        named = ctx.params.get("ref") or next(word for word in os.environ["COMP_WORDS"].split() if _REF.fullmatch(word))
        loaded = asyncio.run(_catalog().scenario(named))
        names = [(str(one["name"]), str(one["summary"])) for one in loaded.describe_templates()]
        return [CompletionItem(name, help=summary) for name, summary in names if name.startswith(incomplete)]
    return []


def runs(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest runs in this machine's database, which is only read."""
    with contextlib.suppress(Exception):
        # Imported here, as below: commands are imported to find out what they complete.
        from aitp_playground.config import Settings
        from aitp_playground.store.peek import newest_runs

        found = newest_runs(Path(Settings.load().database), incomplete, MOST_RUNS)
        return [CompletionItem(run_id, help=f"{status} {ref}") for run_id, status, ref in found]
    return []


def runs_and_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The same, and files."""
    return [*runs(ctx, param, incomplete), CompletionItem(incomplete, type="file")]


def files(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The shell's own."""
    return [CompletionItem(incomplete, type="file")]


def json_or_file(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """``@FILE``: the shell's own would have to stand alone."""
    with contextlib.suppress(Exception):
        if not incomplete.startswith("@"):
            return []
        folder, _, begun = incomplete[1:].rpartition("/")
        found = sorted(os.scandir(folder or ("/" if incomplete[1:2] == "/" else ".")), key=lambda entry: entry.name)
        before = incomplete[: len(incomplete) - len(begun)]
        named = (entry for entry in found if entry.name.startswith(begun) and (begun or entry.name[0] != "."))
        return [CompletionItem(f"{before}{entry.name}{'/' if entry.is_dir() else ''}") for entry in named]
    return []


def _catalog() -> Catalog:
    from aitp_playground.config import Settings
    from aitp_playground.scenarios.catalog import Catalog
    from aitp_playground.steps import STEP_TYPES

    return Catalog(Settings.load().scenario_roots, STEP_TYPES)
