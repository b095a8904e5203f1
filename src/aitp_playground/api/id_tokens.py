"""Where an agent with an OIDC identity asks for its ID tokens. Its secret, not the body, says who it is."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from aitp_playground.api.access import bearer
from aitp_playground.api.answers import answer
from aitp_playground.api.backend import BACKEND
from aitp_playground.api.bodies import Body, read_model
from aitp_playground.errors import Unauthorized
from aitp_playground.runs.id_tokens import PATH

_Text = Annotated[str, Field(min_length=1, max_length=300)]


class Wanted(Body):
    """``nonce`` is of the message that the token is for; ``audience`` the AID of its receiver."""

    aid: _Text
    audience: _Text
    nonce: _Text


async def give_id_token(request: web.Request) -> web.Response:
    """``{"id_token"}``, a JWT good for two minutes."""
    secret = bearer(request)
    if secret is None:
        raise Unauthorized("send the agent's secret as 'Authorization: Bearer <secret>'")
    wanted = await read_model(request, Wanted)
    given = request.app[BACKEND].directory.id_tokens.issue(secret, wanted.aid, wanted.audience, wanted.nonce)
    return answer(given, headers={"Cache-Control": "no-store"})


ROUTES = [web.post(PATH, give_id_token)]
