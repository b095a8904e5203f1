"""The pages on settings, commands and the log say what the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import click
import pytest

from aitp_playground.api import RESOURCES
from aitp_playground.api.access import KEYLESS
from aitp_playground.cli import exits
from aitp_playground.cli.group import COMMANDS, cli
from aitp_playground.config import Settings
from aitp_playground.control_plane import app as control_plane
from tests.support import settings_reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src/aitp_playground"


def rows(page: str) -> list[list[str]]:
    """The cells of every row of a page's tables but the heads."""
    lines = (DOCS / page).read_text().splitlines()
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
        if line.startswith("| ") and not line.startswith("| ---")
    ]


# -- settings ----------------------------------------------------------------------------------------------------------


def test_the_tables_of_the_settings_are_made_from_the_code() -> None:
    text = (DOCS / "settings.md").read_text()
    assert settings_reference.page(text) == text, "write it: make docs"


def test_every_setting_is_on_the_page_and_says_what_it_takes_and_what_it_is_for() -> None:
    told = {cells[0].strip("`"): cells[2:] for cells in rows("settings.md") if cells[0].startswith("`")}
    assert list(told) == [name.upper() for name in Settings.model_fields]
    assert [name for name, cells in told.items() if not all(cells)] == []


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_a_default_that_another_page_repeats_is_the_same(page: str) -> None:
    defaults = {name.upper(): settings_reference.default(field) for name, field in Settings.model_fields.items()}
    for cells in rows(page):
        name = cells[0].strip("`")
        if name in defaults and len(cells) == 3 and cells[1] and name != "PLAYGROUND_BASE_URL":
            assert cells[1] == defaults[name], name


# -- commands ----------------------------------------------------------------------------------------------------------


def section(command: str) -> str:
    return (DOCS / "cli.md").read_text().partition(f"\n## {command}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_on_the_page_with_its_arguments_and_options(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    told = dict(re.findall(r"^\| (`--?[^|]*?`)(?: [^`].*?)? \| (.*) \|$", section(name), re.MULTILINE))
    options = [param for param in command.params if isinstance(param, click.Option)]
    meant = {
        ", ".join(f"`{opt}`" for opt in [*option.opts, *option.secondary_opts]): " ".join((option.help or "").split())
        for option in options
    }
    assert {names: text.replace("\\|", "|") for names, text in told.items()} == meant
    usage = section(name).strip().splitlines()[0].strip()
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    words = [argument.metavar or argument.human_readable_name.upper() for argument in arguments]
    assert usage == " ".join(["aitp-playground", name, "[OPTIONS]", *words])
    assert COMMANDS[name][1] in section(name)


def test_every_exit_code_is_on_the_page() -> None:
    told = {cells[0] for cells in rows("cli.md")}
    codes = {
        value for name, value in vars(exits).items() if re.fullmatch(r"[A-Z][A-Z_]+", name) and isinstance(value, int)
    }
    assert {str(code) for code in codes} | {"128 + n"} == told & ({*map(str, range(256))} | {"128 + n"})


# -- routes ------------------------------------------------------------------------------------------------------------


def test_every_route_is_on_the_page_and_says_whether_it_wants_a_key() -> None:
    told = {name: cells[2] for cells in rows("api.md") for name in re.findall(r"`([A-Z]+ /[^`]*)`", cells[0])}
    routes = {f"{route.method} {route.path}": route.path for resource in RESOURCES for route in resource.ROUTES}
    assert told.keys() == routes.keys()
    assert {name for name, text in told.items() if text.startswith("no key")} == {
        name for name, path in routes.items() if path in KEYLESS
    }


#: Of agents, and what is meant by it is not one route.
_OF_AGENTS = re.compile(r"/(?:aitp|\.well-known|capabilities|admin)\b.*|.*…")


def plain(route: str) -> str:
    """Whatever its placeholders are called."""
    return re.sub(r"\{[^}]*\}|<[^>]*>", "{}", route)


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), ROOT / "README.md"], ids=lambda page: page.name)
def test_a_route_that_a_page_names_is_there(page: Path) -> None:
    ours = [route for resource in RESOURCES for route in resource.ROUTES]
    there = {plain(f"{route.method} {route.path}") for route in (*ours, *control_plane.ROUTES)}
    named = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) (/[^` ?]*))", page.read_text())
    assert {route for route, path in named if not _OF_AGENTS.fullmatch(path) and plain(route) not in there} == set()


# -- the log -----------------------------------------------------------------------------------------------------------

OURS = ["cli", "observability", "api"]


def logged(rooms: Iterable[str]) -> set[str]:
    """The events that these rooms log: the first argument of a call of a logger's method."""
    found = set()
    for file in (file for room in rooms for file in (SOURCE / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"debug", "info", "warning", "error", "exception"}
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", str(node.args[0].value))
            ):
                found.add(str(node.args[0].value))
    return found


def test_every_service_event_of_the_service_itself_is_on_the_page() -> None:
    told = {name for cells in rows("logging.md") for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", cells[0])}
    assert logged(OURS) - told == set()


def test_every_service_event_of_the_page_is_logged_somewhere() -> None:
    told = {name for cells in rows("logging.md") for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", cells[0])}
    made_otherwise = {"command.failed", "log.lines_dropped", "cp_ingest.event_sanitised", "cp_ingest.event_stub"}
    assert told - logged([""]) == made_otherwise
