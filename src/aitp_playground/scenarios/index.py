"""What is in the scenarios directories. Blocking: the catalog calls it in a thread."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from aitp_playground.scenarios.findings import Finding
from aitp_playground.scenarios.folders import relative, subfolders
from aitp_playground.scenarios.loaded import LoadedScenario
from aitp_playground.scenarios.loader import Entry, load
from aitp_playground.scenarios.manifests import ManifestFile, Manifests, fresh
from aitp_playground.scenarios.models import ScenarioPack, StepSpec
from aitp_playground.scenarios.nodes import Broken
from aitp_playground.scenarios.shape import shaped
from aitp_playground.scenarios.source import read_document
from aitp_playground.scenarios.stamps import Stamp, settled_stamp, stamp

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Listing:
    """One look at everything. ``entries``: ref → what came of it, usable or not."""

    entries: dict[str, Entry] = field(default_factory=dict)
    packs: list[ScenarioPack] = field(default_factory=list)
    scenarios: list[LoadedScenario] = field(default_factory=list)
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _PackFile:
    pack: ScenarioPack | None
    findings: list[Finding]
    stamps: dict[Path, Stamp]


class Index:
    """The files as of the last look; a look replaces what the one before it found only when it is complete.

    ``beside``: directories whose manifests the scenarios may name too, and whose own files are not looked at.
    """

    def __init__(
        self, roots: Sequence[Path], step_types: Mapping[str, type[StepSpec]], beside: Sequence[Path] = ()
    ) -> None:
        self.roots = tuple(roots)
        self._entries: dict[str, Entry] = {}
        self._step_types = step_types
        self._manifests = Manifests(self.roots, beside)
        self._by_path: dict[Path, Entry] = {}
        self._packs: dict[Path, _PackFile] = {}

    def known(self, ref: str) -> Entry | None:
        """The entry of ``ref`` if it is known and nothing it depends on has changed."""
        entry = self._entries.get(ref)
        if entry is None or not fresh(entry.stamps):
            return None
        return entry

    def scan(self) -> Listing:
        """Look at every file, reading those that changed."""
        listing = Listing()
        self._by_path = {
            path: self._entry(path, root) for root in self.roots for path in _scenario_files(root, listing)
        }
        for entry in self._by_path.values():
            self._admit(entry, listing)
        listing.scenarios = [
            entry.scenario for _, entry in sorted(listing.entries.items()) if entry.scenario is not None
        ]
        for _, manifest in self._manifests.all(listing.errors):
            listing.errors += manifest.findings
        self._list_packs(listing)
        self._entries = listing.entries
        return listing

    def manifest_files(self) -> Iterator[tuple[Path, ManifestFile]]:
        """Every manifest file with its path."""
        return self._manifests.all([])

    def _entry(self, path: Path, root: Path) -> Entry:
        kept = self._by_path.get(path)
        if kept is None or not fresh(kept.stamps):
            kept = self._loaded(path, root)
            # The same address in an earlier root would win: notice when it comes into being.
            inner = path.relative_to(root)
            kept.stamps.update({earlier / inner: stamp(earlier / inner) for earlier in _before(root, self.roots)})
        return kept

    def _loaded(self, path: Path, root: Path) -> Entry:
        try:
            return load(path, root, self._step_types, self._manifests)
        except Exception:
            # A defect of ours; it must cost no more than the scenario that shows it.
            log.exception("scenario.not_loaded", path=str(path))
            pack, name, version = path.parts[-4:-1]
            finding = Finding(relative(path, root), 1, "", "could not be loaded; the log has the details")
            return Entry(ref=f"{pack}/{name}@{version}", path=path, root=root, errors=[finding])

    def _admit(self, entry: Entry, listing: Listing) -> None:
        other = listing.entries.get(entry.ref)
        if other is not None and other.root != entry.root:
            return
        listing.errors += entry.errors
        listing.warnings += entry.warnings
        if entry.scenario is not None:
            for findings in entry.scenario.broken.values():
                listing.errors += findings
        if other is None:
            listing.entries[entry.ref] = entry
        elif entry.scenario is not None:
            message = f"{entry.ref} is already the ref of {relative(other.path, other.root)}"
            listing.errors.append(entry.scenario.marks.finding(("metadata",), message))

    def _list_packs(self, listing: Listing) -> None:
        slugs: set[str] = set()
        for root in self.roots:
            for folder in subfolders(root, root, []) if os.path.lexists(root) else ():
                file = self._pack(folder / "pack.yaml", root)
                listing.errors += file.findings
                if file.pack is not None and file.pack.metadata.slug not in slugs:
                    slugs.add(file.pack.metadata.slug)
                    listing.packs.append(file.pack)
        listing.packs.sort(key=lambda pack: pack.metadata.slug)

    def slug(self, path: Path) -> str | None:
        """What the pack of this ``pack.yaml`` is called, as of the last look; None where it cannot be used."""
        file = self._packs.get(path)
        return file.pack.metadata.slug if file is not None and file.pack is not None else None

    def _pack(self, path: Path, root: Path) -> _PackFile:
        kept = self._packs.get(path)
        if kept is None or not fresh(kept.stamps):
            kept = self._packs[path] = _read_pack(path, root)
        return kept


def _read_pack(path: Path, root: Path) -> _PackFile:
    seen = settled_stamp(path)
    if seen is None:
        return _PackFile(None, [], {path: None})
    try:
        document = read_document(path, root)
    except Broken as broken:
        return _PackFile(None, [broken.finding], {path: seen, **broken.stamps})
    pack, findings = shaped(ScenarioPack, document.data, document.marks)
    return _PackFile(pack, findings, document.stamps)


def _scenario_files(root: Path, listing: Listing) -> Iterator[Path]:
    if not os.path.lexists(root):
        return
    for pack in subfolders(root, root, listing.errors):
        for scenario in subfolders(pack, root, listing.errors):
            for version in subfolders(scenario, root, listing.errors):
                path = version / "scenario.yaml"
                if os.path.lexists(path):
                    yield path
                elif os.path.lexists(path.with_suffix(".yml")):
                    place = relative(path.with_suffix(".yml"), root)
                    listing.warnings.append(Finding(place, 1, "", "is not read: name it scenario.yaml", "warning"))


def _before(root: Path, roots: Sequence[Path]) -> Sequence[Path]:
    return roots[: roots.index(root)]
