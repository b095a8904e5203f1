"""The contract as a page: made of the OpenAPI document alone, whole without its script."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from aitp_playground.api.contract import types
from aitp_playground.api.contract.document import ITEM
from aitp_playground.api.contract.markup import Html, code, el, joined, line, prose, table, text
from aitp_playground.api.contract.types import in_words
from aitp_playground.config import Settings

Object = Mapping[str, Any]
#: What the script puts this server's own address in place of.
_BASE = f"http://127.0.0.1:{Settings.model_fields['port'].default}"
_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>API of aitp-playground</title>
<link rel="stylesheet" href="/docs/docs.css">
<script src="/docs/docs.js" defer></script>
</head>
<body>
"""


def page(described: Object) -> str:
    """The whole page."""
    operations = list(_operations(described))
    schemas = described["components"]["schemas"]
    return joined(
        [
            Html(_HEAD),
            el("a", text("Skip to the operations"), class_="skip", href="#operations"),
            _banner(described["info"]),
            el(
                "div",
                _contents(described["tags"], operations),
                el(
                    "main",
                    _introduction(described),
                    *(_group(described, tag, operations) for tag in described["tags"]),
                    el("section", el("h2", text("Types")), *(types.described(*named) for named in schemas.items())),
                    id="operations",
                ),
                class_="columns",
            ),
            Html("</body>\n</html>\n"),
        ]
    )


def _operations(described: Object) -> Iterator[tuple[str, str, Object]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _banner(info: Object) -> Html:
    return el(
        "header",
        el("h1", text(info["title"]), " ", el("small", text(info["version"]))),
        el("p", text(info["summary"]), " ", el("a", text("openapi.json"), href="/openapi.json")),
    )


def _contents(tags: list[Object], operations: list[tuple[str, str, Object]]) -> Html:
    def entry(method: str, path: str, operation: Object) -> Html:
        link = el("a", _badge(method), " ", code(path), href=f"#{operation['operationId']}")
        return el("li", link, data_words=_words(method, path, operation))

    groups = [
        el(
            "section",
            el("h2", text(tag["name"])),
            el("ul", *(entry(*one) for one in operations if tag["name"] in one[2]["tags"])),
        )
        for tag in tags
    ]
    asked = el(
        "label",
        text("Filter"),
        Html('<input id="filter" type="search" autocomplete="off" spellcheck="false">'),
        id="asked",
        hidden="",
    )
    return el("nav", asked, el("p", id="found", role="status"), *groups, aria_label="Operations")


def _words(method: str, path: str, operation: Object) -> str:
    return f"{method} {path} {operation['operationId']} {operation['summary']}".lower()


def _badge(method: str) -> Html:
    return el("b", text(method), class_=f"method {method.lower()}")


def _introduction(described: Object) -> Html:
    schemes = [
        el("li", el("b", text(name)), ": ", line(scheme.get("description", "")))
        for name, scheme in described["components"]["securitySchemes"].items()
    ]
    return el(
        "section",
        prose(described["info"]["description"]),
        el("h2", text("Who may ask")),
        el("ul", *schemes),
    )


def _group(described: Object, tag: Object, operations: list[tuple[str, str, Object]]) -> Html:
    return el(
        "section",
        el("h2", text(tag["name"])),
        el("p", line(tag["description"])),
        *(_operation(described, *one) for one in operations if tag["name"] in one[2]["tags"]),
    )


def _operation(described: Object, method: str, path: str, operation: Object) -> Html:
    parts = [
        el("h3", el("a", _badge(method), " ", code(path), href=f"#{operation['operationId']}")),
        el("p", el("b", text(operation["summary"])), " ", el("small", text(operation["operationId"]))),
        prose(operation["description"]),
        el("p", _allowed(operation)),
    ]
    if "parameters" in operation:
        parts.append(_parameters(operation["parameters"]))
    if "requestBody" in operation:
        parts.append(_body(operation["requestBody"]))
    parts.append(_answers(described, operation["responses"]))
    parts.append(el("pre", _curl(described, method, path, operation), tabindex="0", aria_label="Example"))
    return el("article", *parts, id=operation["operationId"], data_words=_words(method, path, operation))


def _allowed(operation: Object) -> Html:
    wanted = [name for way in operation["security"] for name in way]
    if not wanted:
        return text("Needs no key.")
    optional = " where keys are set" if {} in operation["security"] else ""
    return joined([text("Needs "), joined([code(name) for name in wanted], " or "), text(f"{optional}.")])


def _parameters(parameters: list[Object]) -> Html:
    rows = []
    for parameter in parameters:
        schema = parameter["schema"]
        default = [text(", "), code(json.dumps(schema["default"])), text(" by default")] if "default" in schema else []
        rows.append(
            (
                joined([code(parameter["name"]), el("small", text(f" {parameter['in']}"))]),
                joined([in_words(schema), *default]),
                line(parameter["description"]),
            )
        )
    return table(("Parameter", "Type", "Meaning"), rows, "Parameters")


def _body(body: Object) -> Html:
    (media, content), *_ = body["content"].items()
    optional = "" if body["required"] else ", optional"
    about = joined([text("Body: "), in_words(content["schema"]), text(f" as {media}{optional}. ")])
    return el("p", about, line(body["description"]))


def _answers(described: Object, answers: Object) -> Html:
    rows = []
    for status, given in answers.items():
        answer = given
        if "$ref" in given:
            answer = described["components"]["responses"][given["$ref"].rpartition("/")[2]]
        content = [
            joined([_content(media), el("small", text(f" {name}"))])
            for name, media in answer.get("content", {}).items()
        ]
        headers = [
            el("p", code(name), ": ", line(header["description"])) for name, header in answer.get("headers", {}).items()
        ]
        body = joined(content) if content else text("no body")
        rows.append((code(status), joined([prose(answer["description"]), *headers]), body))
    return table(("Status", "When", "Body"), rows, "Answers")


def _content(media: Object) -> Html:
    if ITEM not in media:
        return in_words(media["schema"])
    return joined([text("frames, data: "), in_words(media[ITEM]["properties"]["data"]["contentSchema"])])


def _curl(described: Object, method: str, path: str, operation: Object) -> Html:
    words = ["curl"]
    media = {name for answer in operation["responses"].values() for name in answer.get("content", {})}
    if "text/event-stream" in media:
        words.append("-N")
    if method != "GET":
        words += ["-X", method]
    for name in (name for way in operation["security"] for name in way):
        scheme = described["components"]["securitySchemes"][name]
        words += ["-H", f"{scheme['name']}: sha256=$MAC" if "name" in scheme else "Authorization: Bearer $KEY"]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(_example(described, schema))]
    address = path.replace("{", "$").replace("}", "").replace("$pack/$versioned", "intra-org/trust-gate@1.0.0")
    before = " ".join(word if word.startswith("-") or word == "curl" else _quoted(word) for word in words)
    return joined([text(f"{before} '"), el("span", text(_BASE), class_="base"), text(f"{address}'")])


def _quoted(word: str) -> str:
    """For a shell, in which the names of variables are still to be replaced."""
    return f'"{word}"' if "$" in word else shlex.quote(word)


def _example(described: Object, schema: Object) -> Any:
    """Something that fits, with what must be there and nothing else."""
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("type") == "object":
        return {name: _example(described, schema["properties"][name]) for name in schema.get("required", [])}
    if "enum" in schema:
        return schema["enum"][0]
    return {"integer": schema.get("minimum", 0), "array": [], "string": "…"}.get(schema.get("type", ""), {})
