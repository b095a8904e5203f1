"""The catalog: every pack and scenario of the scenarios directories, read again when a file changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from aitp_playground.errors import AgentManifestNotFound, PlaygroundError
from aitp_playground.scenarios import kept
from aitp_playground.scenarios.findings import Finding
from aitp_playground.scenarios.index import Index, Listing
from aitp_playground.scenarios.loaded import LoadedScenario, invalid
from aitp_playground.scenarios.loader import Entry
from aitp_playground.scenarios.models import ResolvedScenario, ScenarioPack, StepSpec
from aitp_playground.scenarios.unknown_refs import unknown_ref

T = TypeVar("T")


class Catalog:
    """Finds scenarios in ``roots``; the first root that has a ref wins. ``step_types``: step type name → its model.

    All file work happens in a thread, one look at a time; callers that come before a look has begun share it, so each
    sees at least the files as they were when it asked. A look at an unchanged scenario costs a few ``stat`` calls.
    """

    def __init__(self, roots: Sequence[Path], step_types: Mapping[str, type[StepSpec]]) -> None:
        self._index = Index([Path(root) for root in roots], step_types)
        self._gate = asyncio.Lock()
        self._thread_gate = threading.Lock()
        self._turn = 0
        self._step_types = step_types
        self._kept: dict[tuple[str, str | None], tuple[LoadedScenario, ResolvedScenario, str, bytes]] = {}
        self._latest: dict[Hashable, tuple[int, Any]] = {}

    async def packs(self) -> list[ScenarioPack]:
        """The packs, by slug."""
        return (await self._listing()).packs

    async def scenarios(self) -> tuple[list[LoadedScenario], list[Finding]]:
        """Every usable scenario by ref, and the errors of the others, of templates, packs and manifests."""
        listing = await self._listing()
        return listing.scenarios, listing.errors

    async def warnings(self) -> list[Finding]:
        """What was passed over on the way (a file of another kind among the templates)."""
        return (await self._listing()).warnings

    async def scenario(self, ref: str) -> LoadedScenario:
        """Raises ScenarioNotFound, AgentManifestNotFound, RegistryInvalid."""
        entry = await self._look(ref, lambda: self._index.known(ref))
        if entry is None:
            entries = (await self._listing()).entries
            if (entry := entries.get(ref)) is None:
                raise unknown_ref(ref, entries)
        if entry.scenario is None:
            raise _unusable(entry)
        return entry.scenario

    async def resolve(self, ref: str, template: str | None = None) -> ResolvedScenario:
        """What a run needs. Raises ScenarioNotFound, TemplateNotFound, AgentManifestNotFound, RegistryInvalid."""
        return _resolved(await self.scenario(ref), template)

    async def kept(self, ref: str, template: str | None = None) -> tuple[ResolvedScenario, str, bytes]:
        """:meth:`resolve`, with its digest and the document to keep; see :mod:`aitp_playground.scenarios.kept`."""
        loaded = await self.scenario(ref)
        known = self._kept.get((ref, template))
        if known is None or known[0] is not loaded:
            known = self._kept[ref, template] = loaded, *await asyncio.to_thread(_document, loaded, template)
        return known[1:]

    def restored(self, body: bytes) -> ResolvedScenario:
        """What a run was started from, out of what :meth:`kept` gave. Raises RegistryInvalid."""
        return kept.restored(body, self._step_types)

    async def _listing(self) -> Listing:
        return await self._look(None, self._index.scan)

    async def _look(self, key: Hashable, work: Callable[[], T]) -> T:
        arrived = self._turn
        async with self._gate:
            began, value = self._latest.get(key, (-1, None))
            if began > arrived:
                return cast("T", value)
            self._turn += 1
            turn = self._turn
            fresh = await asyncio.to_thread(self._alone, work)
            if fresh is not None:  # nothing is kept for refs that a caller made up
                self._latest[key] = (turn, fresh)
            return fresh

    def _alone(self, work: Callable[[], T]) -> T:
        # A cancelled caller gives the gate back while its thread is still at work.
        with self._thread_gate:
            return work()


def _resolved(loaded: LoadedScenario, template: str | None) -> ResolvedScenario:
    chosen = loaded if template is None else loaded.template(template)
    return ResolvedScenario.model_construct(
        ref=loaded.ref,
        template=template,
        scenario=chosen.scenario if isinstance(chosen, LoadedScenario) else chosen.merged,
        manifests=chosen.manifests,
        agents_root=loaded.agents_root,
    )


def _document(loaded: LoadedScenario, template: str | None) -> tuple[ResolvedScenario, str, bytes]:
    chosen = loaded if template is None else loaded.template(template)
    resolved = _resolved(loaded, template)
    document = kept.document_of(resolved, chosen.marks, chosen.sources)
    return resolved, kept.digest_of(document), kept.encode(document)


def _unusable(entry: Entry) -> PlaygroundError:
    if all(finding in entry.missing for finding in entry.errors):
        first = entry.missing[0]
        return AgentManifestNotFound(
            f"{first.file}:{first.line} {first.message}", details=[finding.as_detail() for finding in entry.missing]
        )
    return invalid(entry.errors)
