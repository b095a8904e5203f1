"""Who may talk to the service: Host and Origin checks against DNS rebinding, then bearer keys. No body is read here."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from urllib.parse import urlsplit

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler, Middleware

from aitp_playground.api.routing import template, template_of_path
from aitp_playground.authorities import canonical, host_of, origin_host
from aitp_playground.config import LOOPBACK_HOSTS, Settings
from aitp_playground.errors import Forbidden, Unauthorized
from aitp_playground.observability.refusals import Refusals

WEBHOOK = "/webhooks/cp/{run_id}"
#: What says how to ask is the same for everybody, and holds no data.
CONTRACT = frozenset({"/openapi.json", "/docs", "/docs/docs.css", "/docs/docs.js"})
#: What agents ask for and the webhook prove their callers by tokens and signatures of their own; the page asks for the
#: key.
KEYLESS = CONTRACT | {"/healthz", "/readyz", "/dashboard", "/internal/telemetry", "/internal/oidc-token", WEBHOOK}
#: A Control Plane calls under whatever name it knows, and is no browser: its signature counts.
ANY_HOST = frozenset({WEBHOOK})
#: Load balancers ask these in HTTP/1.0, which has no Host; browsers, whom the check is about, always send one.
PROBES = frozenset({"/healthz", "/readyz"})
WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised, not bound

#: Who asks; set once the door is passed.
CALLER = web.RequestKey("caller", str)
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


class Door:
    """The checks of one process. A wildcard bind also answers to the address a connection really came in on."""

    def __init__(self, settings: Settings) -> None:
        # Browsers send internationalised names in their ASCII form (RFC 5890).
        advertised = (urlsplit(settings.playground_base_url).hostname or "").encode("idna").decode()
        names = {*LOOPBACK_HOSTS, settings.host, advertised}
        self._hosts = frozenset(canonical(name) for name in names if name)
        self._wildcard = settings.host in WILDCARDS
        self._keys = tuple(sha256(key).digest() for key in settings.api_keys)

    def check_host(self, request: web.Request) -> None:
        """Raises Forbidden unless Host, an absolute request target and Origin all name this service."""
        allowed = self._hosts | self._arrived_at(request)
        if not self._names_us(request, allowed):
            raise Forbidden(
                "the Host header does not name this service; use the address it is bound to, or set PLAYGROUND_BASE_URL"
            )
        if any(origin_host(origin) not in allowed for origin in request.headers.getall(hdrs.ORIGIN, [])):
            raise Forbidden("requests from pages of another origin are refused")

    def check_key(self, request: web.Request) -> str:
        """Who asks: ``keyless`` where no keys are set, else ``key:`` and the beginning of the key's SHA-256.

        Raises Unauthorized unless one of the keys is presented, in constant time for any number of keys.
        """
        if not self._keys:
            return "keyless"
        presented = bearer(request)
        if presented is None:
            raise Unauthorized("send one of PLAYGROUND_API_KEYS as 'Authorization: Bearer <key>'")
        digest = sha256(presented.encode("utf-8", "surrogateescape")).digest()
        if not _any([hmac.compare_digest(digest, key) for key in self._keys]):
            raise Unauthorized("the bearer key is not one of PLAYGROUND_API_KEYS")
        return f"key:{digest.hex()[:8]}"

    def _names_us(self, request: web.Request, allowed: frozenset[str]) -> bool:
        hosts = request.headers.getall(hdrs.HOST, [])
        if len(hosts) != 1 or host_of(hosts[0]) not in allowed:
            return False
        try:
            target = request.url.raw_host
        except ValueError:
            return False
        return canonical(target or "") in allowed

    def _arrived_at(self, request: web.Request) -> frozenset[str]:
        if not self._wildcard or request.transport is None:
            return frozenset()
        address = request.transport.get_extra_info("sockname")
        return frozenset({canonical(address[0])}) if isinstance(address, tuple) else frozenset()


def _is_probe(request: web.Request, route: str) -> bool:
    told = hdrs.HOST in request.headers or hdrs.ORIGIN in request.headers
    return route in PROBES and request.version < HttpVersion11 and not told


def _any(results: Iterable[bool]) -> bool:
    """Looks at every result, however early one is true."""
    found = False
    for result in results:
        found |= result
    return found


def caller(request: web.Request) -> dict[str, str]:
    """Who asked, for a log line: ``by`` (see :meth:`Door.check_key`) and ``client``, an address."""
    return {"by": request.get(CALLER, "keyless"), "client": client_address(request)}


def client_address(request: web.Request) -> str:
    """The address that the connection came from; of a proxy in front it is the proxy's."""
    return request.remote or "unknown"


def bearer(request: web.Request) -> str | None:
    """The token of the one ``Authorization: Bearer`` header (RFC 6750, section 2.1), None without exactly one."""
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    match = _BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
    return match[1] if match else None


def access(settings: Settings) -> Middleware:
    """The middleware. An address that matches no route is behind the key too."""
    door, refusals = Door(settings), Refusals()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = template(request)
        try:
            if route not in ANY_HOST and not _is_probe(request, route):
                door.check_host(request)
            # Which methods there are is no secret where nobody needs a key.
            if route not in KEYLESS and await template_of_path(request) not in KEYLESS:
                request[CALLER] = door.check_key(request)
            return await handler(request)
        except (Unauthorized, Forbidden) as refusal:
            refusals.note(
                status=refusal.status,
                code=refusal.code,
                method=request.method,
                path=request.path,
                client=client_address(request),
                reason=refusal.message,
            )
            raise

    return guard
