"""The group of commands: known by name and summary, imported when called."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib import import_module

import click

from aitp_playground import __version__

#: Command name → its module in ``commands``, and its line in ``--help``.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run a scenario on real agents and watch what happens."),
    "serve": ("serve", "Serve the HTTP API until told to stop."),
    "control-plane": ("control_plane", "Run a Control Plane for development."),
    "agent": ("agent", "Run one agent on its own, for others to find and use."),
    "tail": ("tail", "Show what happens in all runs, as it happens."),
    "runs": ("runs", "List what was run, and how it ended."),
    "events": ("events", "Show the events of one run."),
    "narrate": ("narrate", "Tell one run as prose."),
    "diff": ("diff", "Say how two runs differ."),
    "cancel": ("cancel", "End a run that goes on."),
    "list": ("list_scenarios", "List the scenarios that can be run."),
    "show": ("show", "Show what a scenario does."),
    "dry-run": ("dry_run", "Say what a run would do, without starting anything."),
    "validate": ("validate", "Check that scenario files can be used."),
    "lint": ("lint", "Check scenario files for errors and doubtful spots."),
    "doctor": ("doctor", "Look whether everything that is needed is there."),
    "inspect": ("inspect", "Show what a token or a signed document says, and whether it holds."),
    "new": ("new", "Make a new scenario that works."),
    "schema": ("schema", "Print the JSON Schema of scenario files, for editors."),
    "openapi": ("openapi", "Print the OpenAPI document of the HTTP API."),
}


#: Those that keep a log on standard error; what goes wrong with them is a line of it.
LOGGED = frozenset({"serve", "control-plane", "agent"})


class LazyGroup(click.Group):
    """Imports a command's module when the command is called; its ``command`` is the command."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"aitp_playground.cli.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and (near := get_close_matches(args[0], COMMANDS, n=1)):
            ctx.fail(f"No such command {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="aitp-playground")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run AITP scenarios on real agents and see every handshake, grant and refusal.

    \b
    Start here:
      aitp-playground list
      aitp-playground run intra-org/research-and-write@1.0.0
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
