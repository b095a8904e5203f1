"""Finding the scenario that a command names."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from aitp_playground.errors import ScenarioNotFound
from aitp_playground.scenarios.catalog import Catalog
from aitp_playground.scenarios.loaded import LoadedScenario


async def find(catalog: Catalog, ref: str) -> LoadedScenario:
    """The scenario; an unknown ref is answered with the nearest ones.

    Raises ScenarioNotFound, AgentManifestNotFound, RegistryInvalid.
    """
    try:
        return await catalog.scenario(ref)
    except ScenarioNotFound:
        scenarios, _ = await catalog.scenarios()
        raise unknown(ref, [scenario.ref for scenario in scenarios]) from None


def unknown(ref: str, known: Sequence[str]) -> ScenarioNotFound:
    """The error for a ref that is none of ``known``, with the nearest of them."""
    near = get_close_matches(ref, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "aitp-playground list shows what there is"
    return ScenarioNotFound(f"no scenario {ref[:200]!r}; {hint}")
