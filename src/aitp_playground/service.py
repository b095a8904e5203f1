"""One playground in one process: everything from the store to the listening HTTP server, opened and closed in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from aitp_playground import api
from aitp_playground.actors import Restart, Supervisor
from aitp_playground.bounded_server import Limits
from aitp_playground.config import Settings
from aitp_playground.cp_client.client import CpClient
from aitp_playground.cp_client.leftovers import Leftovers
from aitp_playground.cp_client.reporting.reporter import Reporter, open_reporter
from aitp_playground.cp_client.reporting.run_report import Means
from aitp_playground.errors import ConfigurationError
from aitp_playground.hosting.keys import installation_secret
from aitp_playground.hosting.launcher import AgentLauncher
from aitp_playground.hosting.privacy import UNQUOTED
from aitp_playground.listening import Address, listen, raise_open_files, serving
from aitp_playground.net import client_session
from aitp_playground.observability.disk import DiskWatch
from aitp_playground.observability.fed import Directory
from aitp_playground.observability.loop_lag import LoopLag, LoopWatch
from aitp_playground.observability.metrics import Metrics
from aitp_playground.observability.tracing import NOT_INSTALLED, Tracing, endpoint_of, exporter
from aitp_playground.runs.board import AgentBoard
from aitp_playground.runs.chronicle import Chronicle
from aitp_playground.runs.concurrency import together
from aitp_playground.runs.directory import RunDirectory
from aitp_playground.runs.log import Observer
from aitp_playground.runs.services import RunServices
from aitp_playground.runs.tokens import TelemetryTokens
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.steps import STEP_TYPES
from aitp_playground.store.sqlite import SqliteRunStore
from aitp_playground.trust import TrustOrchestrator

log = structlog.get_logger(__name__)

#: How long actors may take to end when the process does; what they had handed over is committed anyway.
CLOSE_TIMEOUT = 10.0
#: Streams and long answers have the same patience with readers that do not read. Of connections there may be four times
#: as many as event streams; a share of the process's open files is the other bound, and soon the lower one.
LIMITS = Limits(stalled_secs=api.STALL, connections=4 * api.StreamOptions().limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Playground:
    """A running playground. ``url`` is where its HTTP server listens; ``services`` what its runs share."""

    url: str
    directory: RunDirectory
    catalog: Catalog
    metrics: Metrics
    services: RunServices


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
    async with contextlib.AsyncExitStack() as stack:
        if missing := settings.missing_model_package:
            log.warning("language_model.not_installed", hint=missing)
        if (tracing := await _tracing()) is not None:
            stack.push_async_callback(tracing.close)
        launcher = launcher or AgentLauncher.from_settings(settings)
        stack.push_async_callback(launcher.close)
        raise_open_files()
        address = await _listen(settings)
        stack.callback(address.close)
        secret = installation_secret(settings.state_dir)
        store = SqliteRunStore(
            settings.database,
            state_dir=settings.state_dir,
            outbox=bool(settings.cp_base_url),
            reserve_bytes=settings.run_history_reserve_bytes,
        )
        stack.push_async_callback(store.close)
        http = await stack.enter_async_context(client_session())
        cp = CpClient(settings, http)
        stack.push_async_callback(cp.close)
        # The fork server imports what workers share on another core while the store opens its file here.
        await together([launcher.start(), store.open()])

        metrics = Metrics(step_types=STEP_TYPES)
        _feed_store(metrics, store)
        metrics.feed("cp_breaker_open", lambda: cp.state == "open")
        await stack.enter_async_context(_watched(metrics, settings))
        reporter: Reporter | None = None
        if cp.enabled:
            means = Means(client=cp, store=store, metrics=metrics, settle=settings.cp_ingest_settle_secs)
            reporter = await stack.enter_async_context(open_reporter(means, sweep=recover))
            _feed_reports(metrics, reporter)
        leftovers = Leftovers(cp, store, settings, settings.playground_base_url or address.url)

        trust_supervisor, run_supervisor = Supervisor(), Supervisor()
        stack.push_async_callback(trust_supervisor.close, CLOSE_TIMEOUT)
        stack.push_async_callback(run_supervisor.close, CLOSE_TIMEOUT)
        insecure = frozenset(settings.aitp_didweb_insecure_hosts)
        trust = trust_supervisor.spawn(
            lambda: TrustOrchestrator(http, cp, insecure), name="trust", restart=Restart.ON_FAILURE
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
            base_url=address.url,
            reporting=reporter,
            leftovers=leftovers,
            tracing=tracing,
        )
        catalog = Catalog(settings.scenario_roots, STEP_TYPES)
        chronicle = Chronicle(store)
        stack.push_async_callback(chronicle.close)
        watching: list[Observer] = [lambda event, _: metrics.observe_event(event), leftovers.observe, *observers]
        watching.append(lambda *_: chronicle.wake())
        if reporter is not None:
            watching.append(reporter.observe)
        if tracing is not None:
            watching.append(tracing.observe)
        directory = RunDirectory(catalog, services, run_supervisor, observers=watching)
        _feed_runs(metrics, directory, services)

        # Agents post to the server while runs drain, so it is closed after they have ended.
        backend = api.Backend(
            settings=settings, catalog=catalog, directory=directory, metrics=metrics, cp=cp, chronicle=chronicle
        )
        logging.getLogger("aiohttp.server").addFilter(UNQUOTED)
        await stack.enter_async_context(
            serving(
                api.application(backend),
                address,
                api.refusal_text,
                LIMITS,
                shutdown_timeout=2.0,
                auto_decompress=False,
            )
        )
        stack.push_async_callback(directory.drain, settings.shutdown_grace_secs)
        await directory.recover(adopt_pending=recover)
        leftovers.start(note=directory.append_late)
        stack.push_async_callback(leftovers.close)
        yield Playground(url=address.url, directory=directory, catalog=catalog, metrics=metrics, services=services)


async def _tracing() -> Tracing | None:
    """None where nobody wants traces, or none can be exported: that is no reason not to serve."""
    if (endpoint := endpoint_of()) is None:
        return None
    try:
        found = await asyncio.to_thread(exporter, endpoint)
    except ConfigurationError as failure:
        log.warning("tracing.misconfigured", error=failure.message)
        return None
    if found is None:
        log.warning("tracing.not_installed", hint=NOT_INSTALLED)
        return None
    return Tracing(found)


async def _listen(settings: Settings) -> Address:
    try:
        return await listen(settings.host, settings.port)
    except OSError as failure:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {failure.strerror}; set HOST and PORT to a free address"
        ) from failure


@contextlib.asynccontextmanager
async def _watched(metrics: Metrics, settings: Settings) -> AsyncIterator[None]:
    """While the loop and the disks are looked at."""
    async with contextlib.AsyncExitStack() as stack:
        lag, supervisor = LoopLag(), Supervisor()
        stack.push_async_callback(supervisor.close, CLOSE_TIMEOUT)
        supervisor.spawn(lambda: LoopWatch(lag), name="loop-watch", restart=Restart.ON_FAILURE)
        metrics.feed("loop_lag_seconds", lambda: lag.seconds)
        for name, directory in _directories(settings).items():
            disk = DiskWatch(directory)
            disk.start()
            stack.push_async_callback(disk.close)
            metrics.feed("disk_free_bytes", disk.free, name)
            metrics.feed("disk_size_bytes", disk.size, name)
        yield


def _directories(settings: Settings) -> dict[Directory, Path]:
    found: dict[Directory, Path] = {"state": settings.state_dir}
    if settings.database != ":memory:":
        history = Path(settings.database).expanduser().absolute().parent
        if history != settings.state_dir.absolute():
            found["history"] = history
    return found


def _feed_store(metrics: Metrics, store: SqliteRunStore) -> None:
    metrics.feed("store_queued_events", lambda: store.pressure[0])
    metrics.feed("store_last_commit_seconds", lambda: store.pressure[1])
    metrics.feed("store_writable", lambda: store.failures.writable)


def _feed_reports(metrics: Metrics, reporter: Reporter) -> None:
    metrics.feed("cp_ingest_runs_waiting", reporter.backlog.__len__)
    metrics.feed("cp_ingest_lag_seconds", lambda: reporter.backlog.lag)


def _feed_runs(metrics: Metrics, directory: RunDirectory, services: RunServices) -> None:
    metrics.feed("runs_running", lambda: directory.load[0])
    metrics.feed("runs_pending", lambda: directory.load[1])
    metrics.feed("runs_running_limit", lambda: directory.admission.limits[0])
    metrics.feed("runs_pending_limit", lambda: directory.admission.limits[1])
    metrics.feed("agents_live", lambda: sum(row.status == "ready" for row in services.board.rows()))
