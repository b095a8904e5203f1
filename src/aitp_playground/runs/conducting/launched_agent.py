"""One launched agent as the run sees it: its address, its AID and its admin side."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from typing import Any

import aiohttp
import orjson

from aitp_playground import strict_json
from aitp_playground.errors import AgentCallError
from aitp_playground.net import agent_host, read_bounded
from aitp_playground.observability import trace_context
from aitp_playground.runs.concurrency import READING
from aitp_playground.runs.conducting import step_marks

#: Seconds, for requests outside of a step; within one, the step's own time-out is shorter or was asked for.
ADMIN_TIMEOUT = 600.0
#: An admin answer carries at most a capability's result.
MAX_ANSWER = 4 * 1024 * 1024
#: Bytes beyond which an answer is read in a thread: many small values would hold the loop.
LARGE_ANSWER = 32 * 1024
#: What an agent says about an error goes into the log several times over.
MAX_ERROR = 4096


class LaunchedAgent:
    """Implements :class:`~aitp_playground.steps.base.AgentHandle`. ``aid`` is what the launch channel told."""

    def __init__(self, agent_id: str, port: int, admin_token: str, session: aiohttp.ClientSession) -> None:
        self.agent_id = agent_id
        self.port = port
        self.aid = ""
        self.base_url = f"http://localhost:{port}"
        self.manifest_url = f"{self.base_url}/.well-known/aitp-manifest"
        self.emitter_seq = 0
        self._session = session
        self._origin = f"http://{agent_host()}:{port}"
        self._headers = {"Authorization": f"Bearer {admin_token}", "Host": f"localhost:{port}"}

    async def post(self, route: str, body: Mapping[str, Any], *, timeout: float | None = None) -> dict[str, Any]:
        """``POST /admin/<route>``."""
        return await self._call("POST", route, body, timeout or ADMIN_TIMEOUT)

    async def put(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace ``/admin/<route>``."""
        return await self._call("PUT", route, body, ADMIN_TIMEOUT)

    async def _call(self, method: str, route: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        url = f"{self._origin}/admin/{route}"
        # To ask for what was done is no part of it.
        trace = trace_context.headers() if route != "flush" else {}
        try:
            async with self._session.request(
                method,
                url,
                data=io.BytesIO(orjson.dumps(body)),  # aiohttp warns of large bodies given as bytes
                headers={**self._headers, **step_marks.headers(), **trace, "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
            ) as response:
                raw = await read_bounded(response, MAX_ANSWER)
                status = response.status
        except TimeoutError:
            raise self._unreachable(route, f"did not answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as failure:
            raise self._unreachable(route, f"could not be reached ({type(failure).__name__})") from failure
        try:
            read = partial(strict_json.loads, raw)
            answer = await READING.do(read) if len(raw) > LARGE_ANSWER else read()
        except strict_json.NotExact as fault:
            raise self._unreachable(route, f"gave no usable JSON: {fault} (status {status})") from None
        if not isinstance(answer, dict):
            raise self._unreachable(route, f"gave no JSON object (status {status})")
        seq = answer.get("emitter_seq")
        if isinstance(seq, int):
            self.emitter_seq = max(self.emitter_seq, seq)
        if status != 200:
            raise self._refused(route, status, answer.get("error"))
        return answer

    def _refused(self, route: str, status: int, error: Any) -> AgentCallError:
        error = error if isinstance(error, dict) else {}
        details = error.get("details")
        if not _is_modest(details):
            details = None
        code = str(error.get("code", "unknown"))
        if code == "peer_failed" and isinstance(details, dict):
            code = str(details.get("class", code))
        message = f"{self.agent_id}: {error.get('message', f'{route} answered {status}')}"[:MAX_ERROR]
        return AgentCallError(message, refusal=code[:100], status=status, details=details)

    def _unreachable(self, route: str, what: str) -> AgentCallError:
        return AgentCallError(f"agent {self.agent_id} {what} at {route}", refusal="agent_unreachable")


def _is_modest(details: Any) -> bool:
    """Whether this is fit for the log: not large, and no deeper than can be encoded."""
    try:
        return len(orjson.dumps(details)) <= MAX_ERROR
    except orjson.JSONEncodeError:
        return False


async def flush(agent: LaunchedAgent, seconds: float) -> bool:
    """Have an agent's telemetry acknowledged; False when it could not hand it in within ``seconds``."""
    try:
        await agent.post("flush", {}, timeout=seconds)
    except AgentCallError:
        return False
    return True
