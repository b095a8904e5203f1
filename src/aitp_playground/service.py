"""One playground in one process: everything from the store to the listening HTTP server, opened and closed in order."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from aiohttp import web

from aitp_playground.actors import Restart, Supervisor
from aitp_playground.api import Services
from aitp_playground.app import build_api
from aitp_playground.config import Settings
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.leftovers import Leftovers
from aitp_playground.cp_client.reporting.reporter import Reporter, open_reporter
from aitp_playground.cp_client.reporting.run_report import Means
from aitp_playground.errors import ConfigurationError
from aitp_playground.hosting.keys import installation_secret
from aitp_playground.hosting.launcher import AgentLauncher
from aitp_playground.hosting.privacy import UNQUOTED
from aitp_playground.net import client_session, served_at
from aitp_playground.observability.metrics import Metrics
from aitp_playground.runs.board import AgentBoard
from aitp_playground.runs.concurrency import together
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.log import Observer
from aitp_playground.runs.services import RunServices
from aitp_playground.runs.tokens import TelemetryTokens
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.steps import STEP_TYPES
from aitp_playground.store.sqlite import SqliteRunStore
from aitp_playground.trust import TrustOrchestrator

#: How long actors may take to end when the process does; what they had handed over is committed anyway.
CLOSE_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Playground:
    """A running playground. ``url`` is where its HTTP server listens; ``services`` what its runs share."""

    url: str
    directory: RunDirectory
    catalog: Catalog
    metrics: Metrics
    services: RunServices


class _Address:
    """The URL of our server, known once it listens. Agents send their telemetry there."""

    url = ""

    def __call__(self) -> str:
        return self.url


@contextlib.asynccontextmanager
async def playground(
    settings: Settings,
    *,
    observers: Sequence[Observer] = (),
    recover: bool = True,
    launcher: AgentLauncher | None = None,
) -> AsyncIterator[Playground]:
    """Open everything, listen, recover what an earlier process left behind; on exit drain and close in reverse.

    ``recover=False`` leaves runs that wait for a server to a server. ``launcher``: one that may be starting already;
    it is closed here. Raises the errors of :mod:`aitp_playground.errors`.
    """
    metrics = Metrics(step_types=STEP_TYPES)
    address = _Address()
    async with contextlib.AsyncExitStack() as stack:
        launcher = launcher or AgentLauncher.from_settings(settings)
        secret = installation_secret(settings.state_dir)
        store = SqliteRunStore(settings.database, state_dir=settings.state_dir, outbox=bool(settings.cp_base_url))
        stack.push_async_callback(store.close)
        http = await stack.enter_async_context(client_session())
        reporter: Reporter | None = None
        cp = CpClient(settings, http, on_state=lambda state: reporter.breaker_changed(state) if reporter else None)
        stack.push_async_callback(cp.close)
        stack.push_async_callback(launcher.close)
        # The fork server imports what workers share on another core while the store opens its file here.
        await together([launcher.start(), store.open()])
        if cp.enabled:
            means = Means(client=cp, store=store, metrics=metrics, settle=settings.cp_ingest_settle_secs)
            reporter = await stack.enter_async_context(open_reporter(means, sweep=recover))
        trust_supervisor, run_supervisor = Supervisor(), Supervisor()
        stack.push_async_callback(trust_supervisor.close, CLOSE_TIMEOUT)
        stack.push_async_callback(run_supervisor.close, CLOSE_TIMEOUT)
        insecure = frozenset(settings.aitp_didweb_insecure_hosts)
        trust = trust_supervisor.spawn(
            lambda: TrustOrchestrator(http, cp, insecure), name="trust", restart=Restart.ON_FAILURE
        )
        leftovers = Leftovers(
            cp,
            store,
            settings,
            lambda: settings.playground_base_url or address.url,
            note=lambda run_id, entry: directory.append_late(run_id, entry),
        )
        services = RunServices(
            settings=settings,
            store=store,
            launcher=launcher,
            trust=trust,
            cp=cp,
            http=http,
            secret=secret,
            metrics=metrics,
            board=AgentBoard(),
            tokens=TelemetryTokens(),
            base_url=address,
            reporting=reporter,
            leftovers=leftovers,
        )
        catalog = Catalog(settings.scenario_roots, STEP_TYPES)
        watching: list[Observer] = [lambda event, _: metrics.observe_event(event), leftovers.observe, *observers]
        if reporter is not None:
            watching.append(reporter.observe)
            metrics.feed("cp_ingest_runs_waiting", reporter.backlog.__len__)
            metrics.feed("cp_ingest_lag_seconds", lambda: reporter.backlog.lag)
        directory = RunDirectory(catalog, services, run_supervisor, observers=watching)
        _feed(metrics, directory, services)
        metrics.feed("store_queued_events", lambda: store.pressure[0])
        metrics.feed("store_last_commit_seconds", lambda: store.pressure[1])
        api = Services(settings=settings, catalog=catalog, directory=directory, metrics=metrics, cp=cp)
        address.url = await _listen(stack, settings, api)
        stack.push_async_callback(directory.drain, settings.shutdown_grace_secs)
        await directory.recover(adopt_pending=recover)
        leftovers.start()
        stack.push_async_callback(leftovers.close)
        yield Playground(url=address.url, directory=directory, catalog=catalog, metrics=metrics, services=services)


async def _listen(stack: contextlib.AsyncExitStack, settings: Settings, services: Services) -> str:
    """Start the HTTP server; its URL. Agents post to it while runs drain, so it is closed after they have ended."""
    logging.getLogger("aiohttp.server").addFilter(UNQUOTED)
    runner = web.AppRunner(build_api(services), access_log=None, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, settings.host, settings.port, reuse_address=True)
    try:
        await site.start()
    except OSError as failure:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {failure.strerror}; set HOST and PORT to a free address"
        ) from failure
    return served_at(settings.host, runner.addresses)


def _feed(metrics: Metrics, directory: RunDirectory, services: RunServices) -> None:
    metrics.feed("runs_running", lambda: directory.load[0])
    metrics.feed("runs_pending", lambda: directory.load[1])
    metrics.feed("agents_live", lambda: sum(row.status == "ready" for row in services.board.rows()))
