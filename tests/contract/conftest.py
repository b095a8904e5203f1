"""Which Control Plane is asked: the one of ``--cp-url`` and ``--cp-key``, or a development one of our own."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from tests.contract import differences
from tests.contract.embedded import QUICK, Embedded, embedded
from tests.contract.receiver import Receiver
from tests.contract.wire import ControlPlane


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cp-url", help="Run the contract suite against the Control Plane at this URL.")
    parser.addoption("--cp-key", default="", help="An API key of that Control Plane.")


def _remote(config: pytest.Config) -> str | None:
    """The URL of a Control Plane that is not ours; None also when the options were never registered."""
    url: str | None = config.getoption("--cp-url", default=None)
    return url


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    url = _remote(config)
    differences.mark(
        config, items, "embedded" if url is None or _misbehaves(url, config.getoption("--cp-key")) else "other"
    )


def _misbehaves(url: str, key: str) -> bool:
    """Whether a development Control Plane is behind somebody else's URL: only they have switches."""
    asked = urllib.request.Request(url.rstrip("/") + "/dev/switches", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(asked, timeout=300):
            return True
    except urllib.error.HTTPError as refused:
        if refused.code == 401:
            raise pytest.UsageError(f"{url} does not take the key of --cp-key") from refused
        return False
    except OSError as failure:
        raise pytest.UsageError(f"no Control Plane answers at {url}: {failure}") from failure


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded | None]:
    """Our own Control Plane, one for all tests of this process; None when another is to be asked."""
    if _remote(request.config) is not None:
        yield None
        return
    with embedded(tmp_path_factory.mktemp("control-plane") / "cp.db") as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
def cp(request: pytest.FixtureRequest, shared: Embedded | None, http: aiohttp.ClientSession) -> ControlPlane:
    """The Control Plane under test. Others use it at the same time: a test looks at what it made itself."""
    if shared is not None:
        return ControlPlane(http, shared.url, shared.key, own=True)
    return ControlPlane(http, str(_remote(request.config)), request.config.getoption("--cp-key"), own=False)


@pytest.fixture
def own_cp(request: pytest.FixtureRequest, tmp_path: Path, http: aiohttp.ClientSession) -> Iterator[ControlPlane]:
    """One for this test alone, which it may break for good; there is none of somebody else's."""
    if _remote(request.config) is not None:
        pytest.skip("would harm a Control Plane that others use, or take minutes there")
    with embedded(tmp_path / "cp.db", *QUICK) as running:
        yield ControlPlane(http, running.url, running.key, own=True)


@pytest.fixture
def calm_cp(request: pytest.FixtureRequest, tmp_path: Path, http: aiohttp.ClientSession) -> Iterator[ControlPlane]:
    """One for this test alone that keeps the real waits: what comes later does not come during the test."""
    if _remote(request.config) is not None:
        pytest.skip("counts what nobody else may add to")
    with embedded(tmp_path / "calm.db") as running:
        yield ControlPlane(http, running.url, running.key, own=True)


@pytest.fixture
def hasty_cp(request: pytest.FixtureRequest, tmp_path: Path, http: aiohttp.ClientSession) -> Iterator[ControlPlane]:
    """One whose waits are short, so that a test need not sit them out; somebody else's takes its time."""
    if (url := _remote(request.config)) is not None:
        yield ControlPlane(http, url, request.config.getoption("--cp-key"), own=False)
        return
    with embedded(tmp_path / "cp.db", *QUICK) as running:
        yield ControlPlane(http, running.url, running.key, own=True)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as listening:
        yield listening


@pytest.fixture
def unique() -> str:
    """A name nobody else uses."""
    return uuid4().hex
