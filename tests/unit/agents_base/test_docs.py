"""What the agents' page shows is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

from base.process.bootstrap import parse_bootstrap
from base.refusals import RefusalCode

PAGE = (Path(__file__).parents[3] / "docs" / "agents.md").read_text()
SEED = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"the page has no {language} block"
    return found[1]


def test_bootstrap_document_of_the_page_is_accepted() -> None:
    document = json.loads(block("json"))
    document |= {"seed": SEED, "admin_token_sha256": "0" * 64}
    assert parse_bootstrap(json.dumps(document).encode()).agent_id == "writer"


async def test_worker_of_the_page_works() -> None:
    names: dict[str, Any] = {"__name__": "example"}
    exec(block("python"), names)
    context = type("Context", (), {"display_name": "Greeter"})()
    answer = await names["worker"].functions["demo.greet"]({"name": "you"}, context)
    assert answer == {"greeting": "Hello you, this is Greeter."}


def test_page_lists_every_refusal_code() -> None:
    section = PAGE.split("### Refusals")[1].split("\n#")[0]
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == list(get_args(RefusalCode))
