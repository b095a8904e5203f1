"""A run is a trace: one root, spans nested as the calls were, over all its processes, at a receiver of OTLP."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from aitp_playground.errors import InvalidRequest
from aitp_playground.observability.spans import handed_in
from aitp_playground.runs.requests import NewRun
from aitp_playground.service import Playground
from tests.support.controls import SHIPPED
from tests.support.otlp import Received, Receiver, receiving_traces
from tests.support.playground import VARIANTS, follow, playground_at, run

pytestmark = pytest.mark.asyncio(loop_scope="module")

GATE = "intra-org/trust-gate@1.0.0"
ELSEWHERE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving_traces() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        scenarios = f"{VARIANTS / 'scenarios'}:{SHIPPED}"
        async with playground_at(tmp_path_factory.mktemp("traced"), scenarios_dir=scenarios) as running:
            yield running


def below(spans: list[Received], parent: Received) -> list[Received]:
    return sorted((span for span in spans if span.parent_id == parent.span_id), key=lambda span: span.start)


def the(spans: list[Received], name: str, service: str) -> Received:
    [found] = [span for span in spans if (span.name, span.service) == (name, service)]
    return found


async def under_way(running: Playground) -> str:
    """A run whose only step takes longer than anybody waits here."""
    asked = NewRun(scenario_ref="lifecycle/act@1.0.0", inputs={"act": "sleep", "seconds": 25})
    run_id = (await running.directory.submit(asked)).row.header.run_id
    async for batch in running.directory.stream(run_id):
        if any(entry.type == "step.started" for entry in batch):
            break
    return run_id


async def test_spans_are_nested_as_the_calls_were_across_processes(traced: Playground, receiver: Receiver) -> None:
    outcome = await run(traced, GATE)
    spans = await receiver.trace(outcome.run_id)
    ids = {span.span_id for span in spans}
    [root] = [span for span in spans if span.parent_id not in ids]
    assert (root.parent_id, root.name, root.service) == ("", f"run {GATE}", "aitp-playground")
    assert root.attributes["aitp.run.status"] == "success"
    steps = [span for span in below(spans, root) if span.name.startswith("step ")]
    assert [span.name.removeprefix("step ") for span in steps] == [
        event.get("step_id") for event in outcome.of("step.started")
    ]
    shake = the(spans, "step establish_trust", "aitp-playground")
    [command] = below(spans, shake)
    assert (command.name, command.kind, command.service) == ("POST /admin/initiate-handshake", "server", "caller")
    messages = [span for span in below(spans, command) if span.name == "POST"]
    for message, at_the_peer in zip(messages, ("hello", "commit"), strict=True):
        assert (message.kind, message.service) == ("client", "caller")
        [served] = below(spans, message)
        assert (served.kind, served.service) == ("server", "writer")
        assert served.name == f"POST /aitp/handshake/{at_the_peer}"
        assert served.attributes["http.route"] == "/aitp/handshake/{message}"
    # While it answers the hello, the writer looks at the caller's list.
    [hello] = below(spans, messages[0])
    [look] = below(spans, hello)
    assert look.attributes["url.full"].endswith("/.well-known/aitp-revocation-list")
    [shown] = below(spans, look)
    assert (shown.service, shown.attributes["http.response.status_code"]) == ("caller", 200)


async def test_a_span_lies_within_the_one_that_it_was_made_for(traced: Playground, receiver: Receiver) -> None:
    outcome = await run(traced, GATE)
    spans = await receiver.trace(outcome.run_id)
    known = {span.span_id: span for span in spans}
    for span in spans:
        assert span.start <= span.end
        if parent := known.get(span.parent_id):
            # Clocks of different processes are read one after the other.
            assert span.start >= parent.start - 5_000_000, (span, parent)


async def test_a_span_says_who_where_and_what_became_of_it(traced: Playground, receiver: Receiver) -> None:
    outcome = await run(traced, GATE)
    spans = await receiver.trace(outcome.run_id)
    probe = the(spans, "step probe_no_tct", "aitp-playground")
    assert {name for name, _ in probe.events} >= {"capability.denied", "step.access_denied"}
    [(_, denied)] = [event for event in probe.events if event[0] == "capability.denied"]
    assert (denied["aitp.agent_id"], denied["aitp.code"]) == ("writer", "tct_missing")
    [command] = below(spans, probe)
    [call] = below(spans, command)
    [served] = below(spans, call)
    assert (call.error, call.attributes["http.response.status_code"]) == ("403", 403)
    assert (served.error, served.attributes["http.response.status_code"]) == (None, 403)
    assert served.attributes["aitp.capability"] == "write.content"
    aids = {event.get("agent_id"): event.get("aid") for event in outcome.of("agent.ready")}
    assert served.attributes["gen_ai.agent.name"] == served.service == "writer"
    assert served.attributes["gen_ai.agent.id"] == aids["writer"]
    assert (call.attributes["server.address"], call.attributes["http.request.method"]) == ("localhost", "POST")
    assert all(span.attributes["aitp.run.id"] == outcome.run_id for span in spans if "step " not in span.name)


async def test_what_fails_and_what_is_cut_off_is_an_error(traced: Playground, receiver: Receiver) -> None:
    failed = await run(traced, GATE, fault_injection={"peer_offline": ["writer"]})
    assert failed.status == "failed"
    spans = await receiver.trace(failed.run_id)
    [root] = [span for span in spans if not span.parent_id]
    assert root.error is not None
    assert failed.failed_step is not None
    assert the(spans, f"step {failed.failed_step}", "aitp-playground").error is not None


async def test_a_step_in_progress_ends_with_a_cancelled_run(traced: Playground, receiver: Receiver) -> None:
    run_id = await under_way(traced)
    await traced.directory.cancel(run_id)
    outcome = await follow(traced, run_id)
    assert outcome.status == "cancelled"
    spans = await receiver.trace(run_id)
    [step] = [span for span in spans if span.name.startswith("step ")]
    assert step.error == "the run was cancelled"


async def test_a_run_that_was_asked_for_in_another_trace_links_to_it(traced: Playground, receiver: Receiver) -> None:
    async with aiohttp.ClientSession() as http:
        for parent in (ELSEWHERE, "00-nonsense"):
            body = {"scenario_ref": GATE}
            async with http.post(f"{traced.url}/runs", json=body, headers={"traceparent": parent}) as answer:
                run_id = (await answer.json())["run_id"]
            await follow(traced, run_id)
            [root] = [span for span in await receiver.trace(run_id) if not span.parent_id]
            told = ELSEWHERE.split("-")
            assert root.trace_id == run_id.replace("-", "")
            assert root.links == ([(told[1], told[2])] if parent == ELSEWHERE else [])


async def test_a_stranger_makes_no_spans(traced: Playground, receiver: Receiver) -> None:
    """Another trace is nothing to an agent, nor is one that nobody samples."""
    run_id = await under_way(traced)
    [row] = [row for row in traced.services.board.rows() if row.run_id == run_id]
    async with aiohttp.ClientSession() as http:
        for parent in (ELSEWHERE, f"00-{run_id.replace('-', '')}-00f067aa0ba902b7-00", "junk", "0" * 9_000):
            url = f"http://127.0.0.1:{row.port}/.well-known/aitp-manifest"
            headers = {"traceparent": parent, "Host": f"localhost:{row.port}"}
            async with http.get(url, headers=headers) as answer:
                assert answer.status in (200, 400)
    await traced.directory.cancel(run_id)
    await follow(traced, run_id)
    spans = await receiver.trace(run_id)
    assert [span for span in spans if "aitp-manifest" in span.name and span.kind == "server"] == []


async def test_a_receiver_that_is_away_or_refuses_costs_no_run_anything(tmp_path: Path) -> None:
    async with receiving_traces() as broken:
        broken.status = 500
        for endpoint in (broken.url, "http://127.0.0.1:9"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{endpoint}/v1/traces")
                patch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
                async with playground_at(tmp_path / str(hash(endpoint)), scenarios_dir=str(SHIPPED)) as running:
                    assert (await run(running, GATE)).view.proof == "proven"


async def test_what_is_not_sampled_is_not_exported_and_makes_no_spans(receiver: Receiver, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        patch.setenv("OTEL_TRACES_SAMPLER", "always_off")
        async with playground_at(tmp_path, scenarios_dir=str(SHIPPED)) as running:
            outcome = await run(running, GATE)
    assert [span for span in receiver.spans if span.trace_id == outcome.run_id.replace("-", "")] == []


LOADED = """
import asyncio, json, sys, tempfile
from pathlib import Path
if len(sys.argv) > 1:
    sys.modules["opentelemetry"] = None
from tests.support.controls import SHIPPED
from tests.support.playground import playground_at, run
async def main():
    async with playground_at(Path(tempfile.mkdtemp()), scenarios_dir=str(SHIPPED)) as running:
        outcome = await run(running, "intra-org/trust-gate@1.0.0")
        print(json.dumps([outcome.view.proof, [name for name in sys.modules if name.startswith("opentelemetry")]]))
asyncio.run(main())
"""


@pytest.mark.parametrize("asked", [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
async def test_unless_it_is_asked_for_no_module_of_opentelemetry_is_loaded(
    asked: dict[str, str], receiver: Receiver
) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url} if asked else {}
    done = await asyncio.to_thread(_process, {**endpoint, **asked})
    proof, loaded = json.loads(done.stdout.splitlines()[-1])
    assert (proof, loaded) == ("proven", [])


async def test_without_the_extra_runs_go_on_and_the_log_says_what_is_missing(receiver: Receiver) -> None:
    done = await asyncio.to_thread(_process, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, "without")
    assert json.loads(done.stdout.splitlines()[-1])[0] == "proven"
    assert "tracing.not_installed" in done.stdout + done.stderr


def _process(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        env={**kept, **env},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


async def test_every_line_about_a_run_and_every_report_of_it_bears_the_trace(tmp_path: Path) -> None:
    """The lines are tested with the log; here, what leaves for a Control Plane."""
    seen: list[tuple[str, str, object]] = []

    async def take(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        seen.append((request.path, request.headers.get("traceparent", ""), body))
        return web.json_response({}, status=503)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    async with TestServer(app) as server:
        url = str(server.make_url("/")).rstrip("/")
        async with playground_at(tmp_path, scenarios_dir=str(SHIPPED), cp_base_url=url, cp_api_key="k") as running:
            outcome = await run(running, "intra-org/cp-delegation-tree@1.0.0")
    trace = outcome.run_id.replace("-", "")
    reports = [(header, body) for path, header, body in seen if "ingest" in path or "events" in path]
    assert reports
    for header, body in reports:
        assert header.split("-")[1] == trace
        told = body if isinstance(body, list) else [body]
        assert all(trace in json.dumps(event) for event in told)


async def test_spans_are_handed_in_in_bounds_and_checked(traced: Playground, receiver: Receiver) -> None:
    run_id = await under_way(traced)
    good = {"name": "x", "kind": "server", "span_id": "1" * 16, "parent_id": "2" * 16, "start": 1, "end": 2}
    tracing = traced.services.tracing
    assert tracing is not None
    for wrong, said in [
        ({**good, "kind": "odd"}, "kind"),
        ({**good, "name": 7}, "name"),
        ({**good, "span_id": "0" * 16}, "span_id"),
        ({**good, "parent_id": "x"}, "parent_id"),
        ({**good, "start": 3}, "start"),
        ({**good, "end": 1 << 64}, "start"),
        ({**good, "attributes": {str(n): n for n in range(100)}}, "attributes"),
    ]:
        with pytest.raises(InvalidRequest, match=rf"spans\[1\].*{said}"):
            handed_in(run_id, "worker", [good, wrong])
    with pytest.raises(InvalidRequest, match="at most 1000 spans"):
        handed_in(run_id, "worker", [good] * 1001)
    boast = {**good, "attributes": {"gen_ai.agent.name": "researcher", "aitp.run.id": "r"}}
    tracing.take(run_id, handed_in(run_id, "worker", [boast]))
    await traced.directory.cancel(run_id)
    await follow(traced, run_id)
    spans = await receiver.trace(run_id)
    [told] = [span for span in spans if span.name == "x"]
    assert (told.service, told.attributes["gen_ai.agent.name"]) == ("worker", "worker"), "as its token says"
    assert told.attributes["aitp.run.id"] == run_id
