"""The examples of docs/scenarios.md are scenarios that load."""

from __future__ import annotations

import re
from pathlib import Path

from aitp_playground.resources import scenarios_dir
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.steps import STEP_TYPES

PAGE = Path(__file__).parents[3] / "docs" / "scenarios.md"
EXAMPLE = re.compile(r"```yaml\n# scenarios/(\S+)\n(.*?)```", re.DOTALL)


async def test_the_examples_load_beside_the_shipped_agents(tmp_path: Path) -> None:
    for name, text in EXAMPLE.findall(PAGE.read_text(encoding="utf-8")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    catalog = Catalog([tmp_path, scenarios_dir()], STEP_TYPES)
    assert (await catalog.scenarios())[1] == []
    assert (await catalog.resolve("my-pack/knock@1.0.0", "open-house")).scenario.spec.trust.eager
    assert "my-pack" in {pack.metadata.slug for pack in await catalog.packs()}


def test_every_step_type_that_exists_is_named_once() -> None:
    named = re.findall(r"\[`(\w+)`\]\(steps\.md#(\w+)\)", PAGE.read_text(encoding="utf-8"))
    assert sorted(named) == sorted((name, name) for name in STEP_TYPES)
