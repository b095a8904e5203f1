"""Where an agent with an OIDC identity asks for its ID tokens. Its secret, not the body, says who it is."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from aitp_playground.api.access import bearer
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.bodies import Body, JsonBody
from aitp_playground.api.contract.operations import FOR_AGENTS, Answer, Secured, operation
from aitp_playground.errors import Unauthorized
from aitp_playground.runs.id_tokens import PATH

TAG = FOR_AGENTS
SECRET = Secured(
    "idTokenSecret",
    {"type": "http", "scheme": "bearer", "description": "The secret of an agent with an OIDC identity."},
)
_Text = Annotated[str, Field(min_length=1, max_length=300)]


class IdTokenRequest(Body):
    """``nonce`` is of the message that the token is for; ``audience`` the AID of its receiver."""

    aid: _Text
    audience: _Text
    nonce: _Text


class IdToken(TypedDict):
    """A JWT (RFC 7519)."""

    id_token: str


_REQUEST = JsonBody(IdTokenRequest)


@operation(
    "issueIdToken", "Issue an ID token for one message", Answer("The token.", IdToken), body=_REQUEST, secured=SECRET
)
async def give_id_token(request: web.Request) -> web.Response:
    """A JWT, good for two minutes: for the agent's own AID, to a peer that it was introduced to."""
    secret = bearer(request)
    if secret is None:
        raise Unauthorized("send the agent's secret as 'Authorization: Bearer <secret>'")
    wanted = await _REQUEST.read(request)
    given = request.app[BACKEND].directory.id_tokens.issue(secret, wanted.aid, wanted.audience, wanted.nonce)
    return answer(given, headers={"Cache-Control": "no-store"})


ROUTES = [web.post(PATH, give_id_token)]
