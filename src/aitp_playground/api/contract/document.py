"""The OpenAPI 3.1 document of the service, made from its routes and from what their handlers say of themselves."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs
from aiohttp.typedefs import Handler

from aitp_playground import __version__
from aitp_playground.api.access import ANY_HOST, KEYLESS
from aitp_playground.api.answers import Error
from aitp_playground.api.contract.operations import JSON, Answer, Operation, Secured, Tag, operation_of
from aitp_playground.api.contract.schemas import Schemas
from aitp_playground.api.query import Parameter, known_to
from aitp_playground.errors import (
    EncodingUnknown,
    Forbidden,
    InvalidRequest,
    MalformedRequest,
    PayloadTooLarge,
    PlaygroundError,
    Unauthorized,
)
from aitp_playground.scenarios.file_schema import told

API_KEY = Secured(
    "apiKey",
    {"type": "http", "scheme": "bearer", "description": "One of PLAYGROUND_API_KEYS, where there are any."},
)
_ABOUT = """\
A workbench for AITP, the Agent Identity & Trust Protocol: scenarios are run with real agents, every event kept.

- A body is JSON that can be read in one way: UTF-8, no repeated key, no NaN or infinity, no integer beyond 64 \
bits, at most 200 levels.
- A query parameter that an operation does not have, or that is given twice, is refused (422).
- `HEAD` is answered wherever `GET` is, and `OPTIONS` everywhere (204, with `Allow`). Another method is 405, another \
path 404, both as an `Error`.
- What is refused before it is a request, on any path, is an `Error` too: 400 for what is not HTTP/1.1 or too large a \
head, 408 for a head that does not arrive in time."""
_ERROR_HEADERS = {
    HTTPStatus.UNAUTHORIZED: (hdrs.WWW_AUTHENTICATE, "RFC 6750, section 3.", {"type": "string"}),
    HTTPStatus.SERVICE_UNAVAILABLE: (hdrs.RETRY_AFTER, "Seconds.", {"type": "integer", "minimum": 0}),
}
#: What OpenAPI 3.2 calls ``itemSchema``, of one frame of a stream; 3.1 has no word for it.
ITEM = "x-itemSchema"
_INTERNAL = "An internal error, which `details.reference` finds in the service's log."


@dataclass(frozen=True)
class Route:
    """One method of one path, and who answers."""

    method: str
    path: str
    handler: Handler
    tag: Tag


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The document. Raises LookupError for a handler of which nothing is said, or not the parameters of its path."""
    return _Maker(routes).document()


class _Maker:
    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(route, operation_of(route.handler)) for route in routes]
        self._schemas = Schemas([*dict.fromkeys(self._types())])
        self._schemes = {secured.name: dict(secured.scheme) for secured in self._secured()}
        self._responses: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        for route, operation in self._routes:
            paths[route.path][route.method.lower()] = self._operation(route, operation)
        tags = dict.fromkeys(route.tag for route, _ in self._routes)
        return {
            "openapi": "3.1.1",
            "info": {
                "title": "aitp-playground",
                "summary": "Runs AITP scenarios with real agents.",
                "description": _ABOUT,
                "version": __version__,
                "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/", "description": "Where this document was read."}],
            "tags": [{"name": tag.name, "description": tag.about} for tag in tags],
            "paths": dict(paths),
            "components": {
                "schemas": self._schemas.components,
                "responses": dict(sorted(self._responses.items())),
                "securitySchemes": self._schemes,
            },
        }

    def _types(self) -> Iterator[tuple[Any, bool]]:
        yield Error, False
        for _, operation in self._routes:
            if operation.body is not None:
                yield operation.body.model, True
            for answer in operation.answers:
                yield from ((found, False) for found in (answer.body, answer.frames) if found is not None)

    def _secured(self) -> Iterator[Secured]:
        yield API_KEY
        yield from (operation.secured for _, operation in self._routes if operation.secured is not None)

    # -- one operation -------------------------------------------------------------------------------------------------

    def _operation(self, route: Route, operation: Operation) -> dict[str, Any]:
        placeholders = re.findall(r"\{(\w+)\}", route.path)
        if [part.name for part in operation.path] != placeholders:
            raise LookupError(f"{operation.id} does not say what {placeholders} of its path are")
        parameters = [
            *(_parameter("path", part.name, part.about, part.schema, required=True) for part in operation.path),
            *(_given("query", parameter) for parameter in known_to(route.handler)),
            *(_given("header", parameter) for parameter in operation.headers),
        ]
        return {
            "tags": [route.tag.name],
            "operationId": operation.id,
            "summary": operation.summary,
            "description": told(inspect.getdoc(route.handler) or ""),
            **({"parameters": parameters} if parameters else {}),
            **self._request_body(operation),
            "responses": self._answers(route, operation),
            "security": _security(route.path, operation),
        }

    def _request_body(self, operation: Operation) -> dict[str, Any]:
        body = operation.body
        if body is None:
            return {}
        return {
            "requestBody": {
                "description": f"At most {body.limit:,} bytes, as they are sent and unpacked (`gzip`, `deflate`).",
                "required": not body.optional,
                "content": {JSON: {"schema": self._schemas.of(body.model, taken=True)}},
            }
        }

    def _answers(self, route: Route, operation: Operation) -> dict[str, Any]:
        answers = {str(int(answer.status)): self._answer(answer) for answer in operation.answers}
        kinds: defaultdict[int, list[type[PlaygroundError]]] = defaultdict(list)
        for kind in dict.fromkeys([*_met_by_any(route.path, operation), *operation.raises]):
            kinds[kind.status].append(kind)
        return {**answers, **{str(status): self._refused(status, kinds[status]) for status in sorted(kinds)}}

    def _answer(self, answer: Answer) -> dict[str, Any]:
        made: dict[str, Any] = {"description": answer.about}
        if answer.headers:
            made["headers"] = {
                header.name: {
                    "description": header.about,
                    "required": header.always,
                    "schema": {"type": "string"},
                }
                for header in answer.headers
            }
        if answer.frames is not None:
            shapes = {"schema": {"type": "string"}, ITEM: _frame(self._schemas.of(answer.frames))}
            made["content"] = {answer.content_type: shapes}
        elif answer.body is not None:
            made["content"] = {answer.content_type: {"schema": self._schemas.of(answer.body)}}
        if answer.leads_to:
            made["links"] = {
                name: {"operationId": name, "parameters": {to: f"$response.body#{at}" for to, at in given.items()}}
                for name, given in answer.leads_to.items()
            }
        return made

    def _refused(self, status: int, kinds: Sequence[type[PlaygroundError]]) -> dict[str, Any]:
        """Shared by all operations that are refused for the same reasons."""
        name = "Or".join(sorted(kind.__name__ for kind in kinds))
        if name not in self._responses:
            lines = [f"`{kind.code}`: {_meaning(kind)}" for kind in kinds]
            response: dict[str, Any] = {
                "description": lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines),
                "content": {JSON: {"schema": self._schemas.of(Error)}},
            }
            if status in _ERROR_HEADERS:
                header, about, schema = _ERROR_HEADERS[HTTPStatus(status)]
                response["headers"] = {header: {"description": about, "required": True, "schema": schema}}
            self._responses[name] = response
        return {"$ref": f"#/components/responses/{name}"}


def _frame(data: dict[str, Any]) -> dict[str, Any]:
    """What a reader of Server-Sent Events gets of one frame."""
    return {
        "type": "object",
        "description": "One frame of the stream. Without `data` it only says, by its `id`, how far the reader is.",
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "description": "For `Last-Event-ID`."},
            "event": {"const": "message", "description": "Not written: it is what stands for nothing."},
            "data": {"type": "string", "contentMediaType": JSON, "contentSchema": data},
        },
    }


def _met_by_any(path: str, operation: Operation) -> Iterator[type[PlaygroundError]]:
    """The errors that do not depend on what the operation does."""
    yield MalformedRequest
    if path not in KEYLESS or operation.secured is not None:
        yield Unauthorized
    if path not in ANY_HOST:
        yield Forbidden
    if operation.body is not None:
        yield from (PayloadTooLarge, EncodingUnknown)
    yield from (InvalidRequest, PlaygroundError)


def _meaning(kind: type[PlaygroundError]) -> str:
    return _INTERNAL if kind is PlaygroundError else " ".join(told(kind.__doc__ or "").split())


def _security(path: str, operation: Operation) -> list[dict[str, list[str]]]:
    """An empty requirement: without keys of its own a service asks for none."""
    if operation.secured is not None:
        return [{operation.secured.name: []}]
    return [] if path in KEYLESS else [{API_KEY.name: []}, {}]


def _given(place: str, parameter: Parameter[Any]) -> dict[str, Any]:
    default = {} if parameter.default is None else {"default": parameter.default}
    return _parameter(place, parameter.name, parameter.about, {**parameter.schema, **default}, required=False)


def _parameter(place: str, name: str, about: str, schema: Any, *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "description": about, "required": required, "schema": dict(schema)}
