"""The page that shows the contract: everything is on it, as text, and nothing comes from elsewhere."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from aitp_playground import api
from aitp_playground.api.contract.page import page
from tests.support.contract import Contract

from .conftest import Client

DOCUMENT: dict[str, Any] = json.loads(api.openapi())
OPERATIONS = [*Contract(DOCUMENT).operations()]
VOID = {"meta", "link", "input"}
HOSTILE = "<img src=x onerror=alert(1)>\"'&<script>alert(2)</script>"


class Read(HTMLParser):
    """What a browser would make of the page, as far as it matters here. A tag that is not closed is a fault."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.ids: list[str] = []
        self._open: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        if named.get("id"):
            self.ids.append(str(named["id"]))
        if tag not in VOID:
            self._open.append((tag, named.get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            if name is not None:
                self.texts.setdefault(name, []).append(data)

    def text(self, name: str) -> str:
        return "".join(self.texts[name])


READ = Read(page(DOCUMENT))


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_an_operation_is_on_the_page_with_what_it_takes_and_answers(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    shown = READ.text(operation["operationId"])
    assert f"{method} {path}" in shown
    for word in (operation["summary"], "curl ", *operation["responses"]):
        assert word in shown
    for parameter in operation.get("parameters", []):
        assert parameter["name"] in shown
        assert parameter["description"].replace("`", "") in shown


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_a_type_is_on_the_page_with_its_fields(name: str) -> None:
    shown = READ.text(f"type-{name}")
    assert all(field in shown for field in DOCUMENT["components"]["schemas"][name].get("properties", {}))


def test_every_link_leads_somewhere_on_the_page_or_to_the_document() -> None:
    assert len(READ.ids) == len(set(READ.ids))
    for tag, attributes in READ.tags:
        if tag == "a":
            target = str(attributes["href"])
            assert target == "/openapi.json" or target.removeprefix("#") in READ.ids, target


def test_nothing_comes_from_another_host_and_nothing_is_inline() -> None:
    asked = [value for _, attributes in READ.tags for name, value in attributes.items() if name in {"src", "href"}]
    assert {value for value in asked if not str(value).startswith("#")} == {
        "/docs/docs.css",
        "/docs/docs.js",
        "/openapi.json",
    }
    for tag, attributes in READ.tags:
        assert tag != "style"
        assert tag != "script" or attributes.get("src"), "no script in the page"
        assert not [name for name in attributes if name.startswith("on") or name == "style"]


async def test_a_browser_is_told_to_load_nothing_else(client: Client) -> None:
    response = await client.get("/docs")
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert (policy.pop("script-src"), policy.pop("style-src")) == ("'self'", "'self'")
    assert set(policy.values()) == {"'none'"}
    script, style = await client.get("/docs/docs.js"), await client.get("/docs/docs.css")
    assert (script.content_type, style.content_type) == ("text/javascript", "text/css")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", await script.text())
    assert not re.search(r"url\(|@import", await style.text())


def test_text_is_text_wherever_it_stands() -> None:
    hostile = copy.deepcopy(DOCUMENT)
    hostile["info"] |= {"title": HOSTILE, "summary": HOSTILE, "description": f"{HOSTILE}\n- {HOSTILE} `{HOSTILE}`"}
    for tag in hostile["tags"]:
        tag["description"] = HOSTILE
    for methods in hostile["paths"].values():
        for operation in methods.values():
            operation |= {"summary": HOSTILE, "description": HOSTILE, "operationId": operation["operationId"] + HOSTILE}
            for parameter in operation.get("parameters", []):
                parameter |= {"name": HOSTILE, "description": HOSTILE}
                parameter["schema"] |= {"default": HOSTILE, "pattern": HOSTILE}
    hostile["paths"][f"/{HOSTILE}"] = hostile["paths"].pop("/runs")
    for schema in hostile["components"]["schemas"].values():
        schema["description"] = HOSTILE
    for answer in hostile["components"]["responses"].values():
        answer["description"] = HOSTILE
    read = Read(page(hostile))
    assert {tag for tag, _ in read.tags} <= {tag for tag, _ in READ.tags}
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    assert [tag for tag, _ in read.tags].count("script") == 1
