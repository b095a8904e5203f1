"""Agent manifests: ``_shared/agents/<name>.yaml``, in the scenario's own root or else in the others, in their order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aitp_playground import resources
from aitp_playground.scenarios.findings import Finding, Marks, meant
from aitp_playground.scenarios.folders import files
from aitp_playground.scenarios.models import AgentManifest
from aitp_playground.scenarios.nodes import Broken
from aitp_playground.scenarios.shape import shaped
from aitp_playground.scenarios.source import read_document
from aitp_playground.scenarios.stamps import Stamp, settled_stamp, stamp

MANIFEST_DIR = "_shared/agents"
_REF = re.compile(rf"{MANIFEST_DIR}/([a-z0-9][a-z0-9._-]*)")


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One manifest file: the manifest, or what is wrong with it."""

    manifest: AgentManifest | None
    findings: list[Finding]
    stamps: dict[Path, Stamp]
    marks: Marks | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a ref led to. ``message`` says why there is no ``manifest``; ``missing``: because no file is there."""

    manifest: AgentManifest | None = None
    message: str = ""
    missing: bool = False
    stamps: dict[Path, Stamp] = field(default_factory=dict)


class Manifests:
    """Reads manifests and keeps them until their files change."""

    def __init__(self, roots: Sequence[Path], beside: Sequence[Path] = ()) -> None:
        """``beside``: more directories in which a ref is looked up, after ``roots``."""
        self._roots = tuple(roots)
        self._searched = (*self._roots, *beside)
        self._kept: dict[Path, ManifestFile] = {}

    def find(self, ref: str, home: Path) -> Found:
        """The manifest that ``ref`` names for a scenario of the root ``home``."""
        name = _REF.fullmatch(ref)
        stamps: dict[Path, Stamp] = {}
        if name is None:
            hint = self._nearest(ref, stamps)
            return Found(message=f"{ref!r} names no manifest: write {MANIFEST_DIR}/<name>{hint}", stamps=stamps)
        for root in sorted(self._searched, key=lambda root: root != home):
            path = root / MANIFEST_DIR / f"{name[1]}.yaml"
            if stamp(path) is None:
                stamps[path] = None
                continue
            file = self.read(path, root)
            stamps.update(file.stamps)
            if file.manifest is None:
                first = file.findings[0]
                return Found(message=f"{ref} is broken: {first.file}:{first.line} {first.message}", stamps=stamps)
            return Found(file.manifest, stamps=stamps)
        if (resources.scenarios_dir() / f"{ref}.yaml").is_file():
            hint = f"; the shipped packs have it: add {resources.scenarios_dir()} to SCENARIOS_DIR"
        else:
            hint = self._nearest(ref, stamps)
        return Found(message=f"no manifest {ref!r} in any scenarios directory{hint}", missing=True, stamps=stamps)

    def _nearest(self, ref: str, stamps: dict[Path, Stamp]) -> str:
        """Names are compared, since all refs begin alike. ``stamps`` takes the directories that this hangs on."""
        folders = {root / MANIFEST_DIR: root for root in self._searched}
        stamps.update({folder: settled_stamp(folder) for folder in folders})
        names = {path.stem for folder, root in folders.items() for path in files(folder, root, {".yaml"}, [])}
        if close := meant(ref.rpartition("/")[2].removesuffix(".yaml"), names):
            return f"; did you mean '{MANIFEST_DIR}/{close}'?"
        return f"; there are {', '.join(sorted(names)[:12])}" if names else ""

    def read(self, path: Path, root: Path) -> ManifestFile:
        """The manifest file at ``path``."""
        kept = self._kept.get(path)
        if kept is None or not fresh(kept.stamps):
            kept = self._kept[path] = _read(path, root)
        return kept

    def all(self, findings: list[Finding]) -> Iterator[tuple[Path, ManifestFile]]:
        """Every manifest file of every root, with its path; not those beside. ``findings`` takes what else is wrong."""
        for root in self._roots:
            for path in files(root / MANIFEST_DIR, root, {".yaml"}, findings):
                yield path, self.read(path, root)


def fresh(stamps: dict[Path, Stamp]) -> bool:
    """Whether nothing of this has changed since it was read."""
    return all(stamp(path) == seen for path, seen in stamps.items())


def _read(path: Path, root: Path) -> ManifestFile:
    before = {path: settled_stamp(path)}
    try:
        document = read_document(path, root)
    except Broken as broken:
        return ManifestFile(None, [broken.finding], {**before, **broken.stamps})
    manifest, findings = shaped(AgentManifest, document.data, document.marks)
    return ManifestFile(manifest, findings, document.stamps, document.marks)
