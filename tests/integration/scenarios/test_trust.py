"""Who holds which token of whom, as the API tells it of any moment of a run, is what the agents' own books hold."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from aitp_playground.control_plane.options import Options
from aitp_playground.control_plane.server import control_plane
from aitp_playground.events.vocabulary import STEP_ENDS, TERMINAL_TYPES
from tests.integration.scenarios.test_proofs import CONTROLS, PROOFS, WITH_CP
from tests.support.books import Book, Booked, Document, booked, of_changes, of_records
from tests.support.controls import Control
from tests.support.playground import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Nobody has a token in them.
ALONE = {"intra-org/spki-pinning@1.0.0", "intra-org/external-enrollment@1.0.0"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Booked]:
    async with booked(tmp_path_factory.mktemp("books"), CONTROLS) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def with_cp(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Booked]:
    async with control_plane(Options(time_scale=0.01, api_keys=("books-key",))) as cp:
        given = {"cp_base_url": cp.url, "cp_api_key": cp.key, "cp_aid": cp.aid}
        async with booked(tmp_path_factory.mktemp("books-with-cp"), CONTROLS, **given) as found:
            yield found


def hold_to_the_books(outcome: Outcome, records: list[Document], changes: list[Document]) -> None:
    """Between steps to the letter; within one, up to what the agent has done already and is about to tell."""
    compared = 0
    for seq, books in of_records(records, outcome.events):
        told, event = of_changes(changes, seq), outcome.events[seq - 1]
        settled = event.type in STEP_ENDS or event.type in TERMINAL_TYPES
        for agent, book in books.items():
            compared += bool(settled and (book.held or book.issued))
            of_log = told.get(agent, Book())
            if settled or of_log == book:
                assert of_log == book, f"{agent} after event {seq}, {event.type}"
                continue
            to_come = [change for change in changes if change["seq"] > seq and change["agent"] == agent]
            assert tokens(book) - tokens(of_log) <= {(change["op"], change.get("jti")) for change in to_come}
            if tokens(of_log) - tokens(book):
                assert {"rotated", "dropped"} & {change["op"] for change in to_come}
    assert compared or outcome.view.row.header.scenario_ref in ALONE or not changes


def tokens(book: Book) -> set[tuple[str, str | None]]:
    told = {"held": book.held, "issued": book.issued, "revoked": book.revoked, "denied": book.denied}
    return {(op, jti) for op, jtis in told.items() for jti in jtis}


@pytest.mark.parametrize(("ref", "template"), [*PROOFS, *((ref, None) for ref in sorted(WITH_CP))])
async def test_the_trust_of_every_moment_is_what_the_books_hold(alone: Booked, ref: str, template: str | None) -> None:
    hold_to_the_books(*await alone.run(ref, template))


@pytest.mark.parametrize("ref", sorted(WITH_CP))
async def test_it_is_beside_a_control_plane(with_cp: Booked, ref: str) -> None:
    hold_to_the_books(*await with_cp.run(ref))


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
async def test_it_is_in_a_run_that_fails(alone: Booked, control: Control) -> None:
    hold_to_the_books(*await alone.run(alone.refs[control.name]))
