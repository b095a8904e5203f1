"""Real worker processes for tests: descriptors as in the launch contract, HTTP as in the docs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import aitp
from aiohttp import web
from aitp_verifier.crypto import PrivateKey
from aitp_verifier.jcs import canonicalize
from aitp_verifier.jws import encode_jws

from aitp_playground.events.vocabulary import validate
from aitp_playground.runs.intake.batches import telemetry_drafts

ROOT = Path(__file__).parents[3]
WORKERS = Path(__file__).parent / "workers"
WAIT = 300.0
DEMO_CAPS = ["demo.echo", "demo.who", "demo.picky", "demo.broken", "demo.mute"]


@dataclass
class Answer:
    """An HTTP answer, read."""

    status: int
    body: Any
    headers: dict[str, str] = field(repr=False)


def _faults(event: dict[str, Any]) -> list[str]:
    if "omitted_bytes" in event.get("payload", {}):
        return []  # in place of whatever there was
    ((_, draft),) = telemetry_drafts("agent", event["emitter_seq"], [event])
    try:
        validate(draft)
    except ValueError as fault:
        return [str(fault)]
    return []


class TelemetrySink:
    """A receiver that keeps what it took, and fails as told: ``failures`` holds statuses (or None to hang up), and
    ``refuse`` gives one for a body that it does not like."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.batches: list[dict[str, Any]] = []
        #: Fields that no row of the vocabulary declares: an ``expect`` could not name them.
        self.faults: list[str] = []
        self.tokens: set[str] = set()
        self.failures: list[int | None] = []
        self.refuse: Callable[[dict[str, Any]], int | None] = lambda _body: None
        self.lose_answers = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self._changed = asyncio.Condition()
        self._last: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/internal/telemetry", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/internal/telemetry"

    async def close(self) -> None:
        self.gate.set()
        assert self._runner
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.asked.set()
        await self.gate.wait()
        body = await request.json()
        token = request.headers["Authorization"]
        if self.failures:
            status = self.failures.pop(0)
            if status is None:
                assert request.transport
                request.transport.close()
                return web.Response()
            return web.Response(status=status)
        if refusal := self.refuse(body):
            return web.Response(status=refusal)
        async with self._changed:
            self.tokens.add(token)
            self.batches.append(body)
            for event in body["events"]:
                if event["emitter_seq"] > self._last.get(token, 0):
                    self._last[token] = event["emitter_seq"]
                    self.events.append(event)
                    self.faults += _faults(event)
            self._changed.notify_all()
        if self.lose_answers:
            self.lose_answers -= 1
            assert request.transport
            request.transport.close()
            return web.Response()
        return web.json_response({"accepted": len(body["events"]), "emitter_seq": body["emitter_seq"]})

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == event_type]

    async def wait_for(self, event_type: str, count: int = 1) -> list[dict[str, Any]]:
        async with asyncio.timeout(WAIT), self._changed:
            await self._changed.wait_for(lambda: len(self.of_type(event_type)) >= count)
        return self.of_type(event_type)


class WorkerProcess:
    """One launched worker."""

    def __init__(self, http: aiohttp.ClientSession, sink: TelemetrySink, agent_id: str, **changes: Any) -> None:
        self.http = http
        self.agent_id = agent_id
        self.seed = secrets.token_bytes(32)
        self.admin_token = secrets.token_urlsafe(24)
        self.telemetry_token = secrets.token_urlsafe(24)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.base_url = f"http://localhost:{self.port}"
        self.url = f"http://127.0.0.1:{self.port}"
        self.aid = ""
        self.document = bootstrap_document(self, sink.url) | changes
        self._process: asyncio.subprocess.Process | None = None
        self.lifeline = -1
        self.out = b""
        self.printed = asyncio.Event()
        self.err = b""
        self._readers: list[asyncio.Task[None]] = []
        self._ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def launch(self, script: str = "plain.py", *, document: bytes | None = None) -> None:
        bootstrap_read, bootstrap_write = os.pipe()
        lifeline_read, self.lifeline = os.pipe()
        os.write(bootstrap_write, json.dumps(self.document).encode() if document is None else document)
        os.close(bootstrap_write)
        fds = (bootstrap_read, self.listener.fileno(), lifeline_read)
        names = ("AITP_BOOTSTRAP_FD", "AITP_LISTEN_FD", "AITP_LIFELINE_FD")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKERS / script),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "agents")}
            | {name: str(fd) for name, fd in zip(names, fds, strict=True)},
            pass_fds=fds,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(bootstrap_read)
        os.close(lifeline_read)
        self._readers = [asyncio.create_task(self._read_out()), asyncio.create_task(self._read_err())]

    async def start(self, script: str = "plain.py") -> None:
        """Launch and wait for the ready line."""
        await self.launch(script)
        line = await asyncio.wait_for(asyncio.shield(self._ready), WAIT)
        assert line.startswith("AITP_AGENT_READY aid="), (line, self.err.decode())
        self.aid = line.split()[1].removeprefix("aid=")

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "not launched"
        return self._process

    async def ended(self) -> int:
        code = await asyncio.wait_for(self.process.wait(), WAIT)
        await asyncio.wait_for(asyncio.gather(*self._readers), WAIT)
        return code

    async def close(self) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self.ended()
        self.hang_up()
        self.listener.close()

    def hang_up(self) -> None:
        """Let go of the life-line."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1

    async def admin(self, path: str, body: Any, *, method: str = "POST", token: str | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {token or self.admin_token}"}
        return await self.request(method, f"/admin/{path}", json.dumps(body), headers)

    async def request(
        self, method: str, path: str, data: str | bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        body = data.encode() if isinstance(data, str) else data
        headers = ({} if body is None else {"Content-Type": "application/json"}) | (headers or {})
        async with self.http.request(
            method, self.url + path, data=body and io.BytesIO(body), headers=headers
        ) as response:
            raw = await response.read()
            with contextlib.suppress(ValueError):
                return Answer(response.status, json.loads(raw), dict(response.headers))
            return Answer(response.status, raw, dict(response.headers))

    async def _read_out(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            self.out += line
            if self._ready.done():
                self.printed.set()
            if not self._ready.done():
                self._ready.set_result(line.decode())
        if not self._ready.done():
            self._ready.set_result("")

    async def _read_err(self) -> None:
        assert self.process.stderr
        async for line in self.process.stderr:
            self.err += line


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bootstrap_document(worker: WorkerProcess, telemetry_url: str) -> dict[str, Any]:
    return {
        "v": 1,
        "run_id": "run-1",
        "agent_id": worker.agent_id,
        "org": "internal",
        "seed": b64(worker.seed),
        "signing_suite": "ed25519",
        "display_name": worker.agent_id.title(),
        "offered_caps": DEMO_CAPS,
        "ttl_secs": 7200,
        "identity_type": "pinned_key",
        "oidc": None,
        "port": worker.port,
        "base_url": worker.base_url,
        "did_web_host": None,
        "boundary": "intra_org",
        "admin_token_sha256": hashlib.sha256(worker.admin_token.encode()).hexdigest(),
        "telemetry": {"url": telemetry_url, "token": worker.telemetry_token},
        "cp": None,
        "revocation": {"fail_mode": "fail_open", "max_staleness_secs": 300, "poll_secs": 60},
        "llm": None,
    }


async def introduce(*workers: WorkerProcess | SdkPeer) -> None:
    """Tell each one about the others, as the service does."""
    for worker in workers:
        if isinstance(worker, SdkPeer):
            continue
        listed = [
            {
                "agent_id": other.agent_id,
                "aid": other.aid,
                "manifest_url": f"{other.base_url}/.well-known/aitp-manifest",
            }
            for other in workers
            if other is not worker
        ]
        answer = await worker.admin("peers", {"peers": listed}, method="PUT")
        assert answer.status == 200, answer
        assert answer.body["peers"] == len(listed)


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


class SdkPeer:
    """A peer that lives in the test: the bare SDK, free to misbehave."""

    def __init__(self, agent_id: str, caps: list[str] | None = None) -> None:
        self.agent_id = agent_id
        self.caps = caps or ["peer.thing"]
        self.seed = secrets.token_bytes(32)
        self.agent = aitp.AitpAgent.from_seed(self.seed)
        self.base_url = "http://localhost:1"
        self.handshake_path = "/aitp/handshake/"
        #: Where its manifest says its revocation list is.
        self.list_url: str | None = None
        self.build()

    def build(self) -> None:
        endpoint = self.base_url + self.handshake_path
        self.manifest = self.agent.build_manifest(
            self.agent_id, endpoint, self.caps, ttl_secs=7200, revocation_list_uri=self.list_url
        )

    @property
    def aid(self) -> str:
        return self.agent.aid

    def reissue(self, token: str, **changes: Any) -> str:
        """One of its own tokens with other claims, properly signed."""
        kind = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["typ"]
        return str(encode_jws(kind, claims_of(token) | changes, PrivateKey.ed25519_from_seed(self.seed), alg="EdDSA"))

    def altered(self, **changes: Any) -> str:
        """Its manifest with other members (None: without), properly signed."""
        body = {**json.loads(self.manifest)["manifest"], **changes}
        body = {name: value for name, value in body.items() if value is not None and name != "signature"}
        digest = hashlib.sha256(canonicalize(body)).digest()
        body["signature"] = b64(PrivateKey.ed25519_from_seed(self.seed).sign_digest(digest))
        return json.dumps({"manifest": body})

    def signed_again(self, message: str, **changes: Any) -> str:
        """A message of its own with another payload, properly signed under the id and the time that it had."""
        envelope = json.loads(message)
        return self.agent.sign_envelope(
            envelope["message_type"],
            json.dumps(envelope["payload"] | changes),
            message_id=envelope["message_id"],
            timestamp=envelope["timestamp"],
        )

    def revocation_list(self, *jtis: str, **dates: int) -> str:
        """Its signed list; with ``published_at`` or ``expires_at`` of the test's choosing."""
        signed = self.agent.sign_revocation_list([{"jti": jti} for jti in jtis])
        body = json.loads(signed)["revocation_list"] | dates
        digest = hashlib.sha256(canonicalize(body)).digest()
        signature = b64(PrivateKey.ed25519_from_seed(self.seed).sign_digest(digest))
        return json.dumps({"revocation_list": body, "signature": signature}) if dates else signed

    async def hello(self, worker: WorkerProcess, grants: list[str] | None = None) -> tuple[aitp.InitiatorSession, str]:
        """A session towards ``worker`` and its hello."""
        manifest = json.dumps((await worker.request("GET", "/.well-known/aitp-manifest")).body)
        session = self.agent.new_session(pinned_keys=[worker.aid])
        return session, session.build_hello(manifest, grants or ["demo.echo"])

    async def open(self, worker: WorkerProcess, grants: list[str] | None = None) -> tuple[Any, str, str]:
        """As far as the commit: session, commit, session id."""
        session, hello = await self.hello(worker, grants)
        answer = await worker.request("POST", "/aitp/handshake/hello", hello)
        assert answer.status == 200, answer
        session_id = answer.headers["X-Aitp-Session-Id"]
        return session, session.process_hello_ack(json.dumps(answer.body), session_id), session_id

    async def token_from(self, worker: WorkerProcess, grants: list[str] | None = None) -> str:
        """A whole handshake; the TCT the worker issued."""
        session, commit, session_id = await self.open(worker, grants)
        answer = await worker.request("POST", "/aitp/handshake/commit", commit, {"X-Aitp-Session-Id": session_id})
        assert answer.status == 200, answer
        token: str = json.loads(session.complete(json.dumps(answer.body), revoked_jtis=set()))["tct"]
        return token

    async def challenge(self, worker: WorkerProcess, token: str) -> str:
        """The payload of the worker's challenge for ``token``, whose envelope is the worker's."""
        answer = await worker.request("POST", "/aitp/pop/challenge", "{}", {"X-AITP-TCT": token})
        assert answer.status == 200, answer
        aitp.verify_envelope(json.dumps(answer.body), worker.aid)
        assert answer.body["message_type"] == "pop_challenge"
        return json.dumps(answer.body["payload"])

    async def proof(
        self,
        worker: WorkerProcess,
        token: str,
        signer: aitp.AitpAgent | None = None,
        *,
        bare: bool = False,
        header: str = "X-AITP-PoP-Response",
    ) -> dict[str, str]:
        """Headers for one call under ``token``: with the proof in an envelope, or ``bare`` as the SDK makes it."""
        agent = signer or self.agent
        response = agent.sign_pop_response(await self.challenge(worker, token))
        text = response if bare else agent.sign_envelope("pop_response", response)
        return {"X-AITP-TCT": token, header: b64(text.encode())}


def mint(issuer: SdkPeer, holder: SdkPeer, grants: list[str]) -> str:
    """A TCT ``issuer`` gives ``holder``, between the two of them."""
    session = holder.agent.new_session(pinned_keys=[issuer.aid])
    responder = issuer.agent.new_responder(pinned_keys=[holder.aid])
    ack, session_id = responder.process_hello(session.build_hello(issuer.manifest, grants))
    commit_ack, _ = responder.process_commit(session.process_hello_ack(ack, session_id), revoked_jtis=set())
    token: str = json.loads(session.complete(commit_ack, revoked_jtis=set()))["tct"]
    return token


class MaliciousResponder:
    """Serves an :class:`SdkPeer` over HTTP, honestly unless ``tamper(route, text)`` changes an answer."""

    def __init__(self, peer: SdkPeer, initiator_aid: str) -> None:
        self.peer = peer
        self.tamper: Callable[[str, str], str] = lambda _route, text: text
        #: What happens while its manifest is on its way.
        self.meanwhile: Callable[[], Awaitable[Any]] | None = None
        self.session_header: str | None = "X-Aitp-Session-Id"
        self.content_type = "application/json"
        self.hellos: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        #: Tokens that the worker issued, their vouchers, and their claims.
        self.tokens: list[str] = []
        self.vouchers: list[str] = []
        self.received: list[dict[str, Any]] = []
        #: What becomes of an answer, by ``ack`` or ``commit_ack``; the message before it is processed all the same.
        self.broken: dict[str, str] = {}
        self._at_commit = "/aitp/handshake/commit"
        self._initiator = initiator_aid
        self._open: dict[str, aitp.ResponderSession] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/.well-known/aitp-manifest", self._manifest)
        app.router.add_post("/{path:.*}", self._message)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.peer.base_url = f"http://localhost:{self._runner.addresses[0][1]}"
        self.peer.build()

    async def close(self) -> None:
        assert self._runner
        await self._runner.cleanup()

    async def _manifest(self, _request: web.Request) -> web.Response:
        if self.meanwhile is not None:
            await self.meanwhile()
        return web.Response(text=self.tamper("manifest", self.peer.manifest), content_type=self.content_type)

    def lay_out(self, layout: str) -> None:
        """Where the handshake's two messages are taken: nowhere else."""
        self.peer.handshake_path, self._at_commit = {
            "one url": ("/shake", "/shake"),
            "below a slash": ("/here/", "/here/commit"),
            "a hello beside its commit": ("/there/hello", "/there/commit"),
            "one url with a slash": ("/shake/", "/shake/"),
        }[layout]
        self.peer.build()

    async def _message(self, request: web.Request) -> web.Response:
        """Hello and commit, each at its own place, and an error at the place of the commit."""
        raw, path = await request.text(), self.peer.handshake_path
        kind = json.loads(raw)["message_type"]
        at_hello = path + "hello" if path.endswith("/") and self._at_commit != path else path
        if request.path != (at_hello if kind == "mutual_hello" else self._at_commit):
            raise web.HTTPNotFound
        if kind == "error":
            self.errors.append(json.loads(raw))
            return web.json_response({})
        answer = await (self._hello(raw) if kind == "mutual_hello" else self._commit(raw))
        return self._break(request, "ack" if kind == "mutual_hello" else "commit_ack", answer)

    def _break(self, request: web.Request, route: str, answer: web.Response) -> web.Response:
        how = self.broken.get(route)
        if how == "hang up":
            assert request.transport
            request.transport.abort()
        if how == "garbage":
            return web.json_response({"nothing": "of the kind"})
        if how == "refuse":
            error = {"code": "POLICY_VIOLATION", "reason": "no", "retryable": False}
            return web.Response(status=400, text=self.peer.agent.sign_envelope("error", json.dumps(error)))
        if how == "fail":
            return web.Response(status=500, text="Internal Server Error")
        return answer

    async def _hello(self, raw: str) -> web.Response:
        self.hellos.append(json.loads(raw))
        responder = self.peer.agent.new_responder(pinned_keys=[self._initiator])
        ack, session_id = responder.process_hello(raw)
        self._open[json.loads(ack)["payload"]["pop_nonce"]] = responder
        headers = {self.session_header: session_id} if self.session_header else {}
        return web.Response(text=self.tamper("ack", ack), headers=headers, content_type=self.content_type)

    async def _commit(self, raw: str) -> web.Response:
        responder = self._open.pop(json.loads(raw)["payload"]["pop_nonce_echo"])
        commit_ack, result = responder.process_commit(raw, revoked_jtis=set())
        self.tokens.append(json.loads(result)["tct"])
        self.vouchers.append(json.loads(result)["grant_voucher"])
        self.received.append(claims_of(self.tokens[-1]))
        return web.Response(text=self.tamper("commit_ack", commit_ack), content_type=self.content_type)


Make = Callable[..., WorkerProcess]
Start = Callable[..., Awaitable[WorkerProcess]]
Pair = tuple[WorkerProcess, WorkerProcess]
