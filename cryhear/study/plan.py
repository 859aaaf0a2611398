"""What a study consists of: its chapters, and the files and parameters each of them depends on.

The Snakefile asks `Plan`; Snakemake decides from its answers what must run again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryhear import params, progress
from cryhear.corpus.folders import walk
from cryhear.errors import StudyError
from cryhear.files import existing, read_json, write_json
from cryhear.pieces import package_digest
from cryhear.study.chapter import CHAPTERS, READ_MODEL

PACKAGE = Path(__file__).parents[1]
GATE = Path("data/gate")
"""The shipped cry gate and what clip-wise preparation changes: read by the model and its chapter."""

CLOCKS_APART_S = 2.0
"""How far a file server's clock may be ahead."""


@dataclass(frozen=True)
class Plan:
    """What the Snakefile needs to know of a study: its chapters and the files each depends on."""

    study: params.Study
    chapters: tuple[str, ...]

    @classmethod
    def of(cls, path: str | os.PathLike[str], overrides: dict[str, Any] | None = None) -> Plan:
        """Check a study's parameters and plan it.

        Raises
        ------
        ParameterError
            If a parameter is unknown, mistyped or out of range.
        StudyError
            If a chapter it names or a folder it starts from is not there.
        """
        study = params.load(path, overrides)
        _check_source(study)
        return cls(study, chapters_of(study))

    def check(self) -> None:
        """Look at every file the study depends on, before Snakemake does.

        Raises
        ------
        StudyError
            If one is dated ahead of the clock, or has braces in its path.
        """
        for chapter in self.chapters:
            self.chapter_inputs(chapter)
        self.model_inputs()
        self.book_inputs()

    def write(self) -> Plan:
        """Keep the study's parameters in its run's ``params.json``, which every job reads."""
        # Only what was set: a chapter inherits the shared keys it was not given itself.
        content = self.study.model_dump(mode="json", exclude_unset=True)
        if not self.params.exists() or read_json(self.params) != content:
            write_json(self.params, content)
        return self

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.study.folder

    @property
    def params(self) -> Path:
        """The run's resolved parameters."""
        return self.folder / "params.json"

    @property
    def made(self) -> list[str]:
        """Derived tables this study makes itself; empty if it starts from given ones."""
        if self.study.source.derived:
            return []
        names = ["manifest.parquet", "provenance.json"]
        kinds = ["clips", *(["variants"] if self.study.embed.variants else [])]
        names += [f"{kind}/{r}.parquet" for kind in kinds for r in self.study.representations]
        return [(self.study.derived / name).as_posix() for name in names]

    def shards(self) -> list[str]:
        """Pieces of the embedding that run side by side."""
        n = self.study.embed.shards
        kinds = ["clips", *(["variants"] if self.study.embed.variants else [])]
        folder = self.study.derived / "shards"
        return [
            (folder / kind / f"{representation}.{i}of{n}.parquet").as_posix()
            for kind in kinds
            for representation in self.study.representations
            for i in range(n)
        ]

    def chapter_inputs(self, chapter: str) -> list[str]:
        """Files a chapter depends on; none of them holds a time."""
        notebook = Path("notebooks") / f"{chapter}.ipynb"
        earlier = [
            self.folder / name / part
            for name in CHAPTERS[chapter]
            for part in ("ledger.json", "artefacts.json")
        ]
        tables = [Path(p) for p in self.made] or data_files(self.study.derived)
        model = [self.model, *data_files(GATE)] if chapter in READ_MODEL else []
        return _inputs(existing(notebook), *earlier, *tables, *model, *self._lock())

    @property
    def model(self) -> Path:
        """The card of the model the study leaves behind; written last, it stands for the bundle."""
        return self.folder / "model" / "card.json"

    def model_inputs(self) -> list[str]:
        """Files the model depends on."""
        tables = [Path(p) for p in self.made] or data_files(self.study.derived)
        return _inputs(*tables, *data_files(GATE), *self._lock())

    def _lock(self) -> list[Path]:
        return [p for p in (Path("requirements.lock"),) if p.exists()]

    def chapter_parameters(self, chapter: str) -> str:
        """The chapter's own parameters and the library's code: Snakemake runs it again when they change."""
        chosen = json.dumps(self.study.chapter_parameters(chapter), sort_keys=True)
        return f"{chosen} {package_digest()}"

    def part(self, *names: str) -> str:
        """Digest of parts of the study's parameters, for the rules that depend on them."""
        # Not the text: a folder's name may hold braces, which Snakemake takes for a wildcard.
        return hashlib.sha256(self.study.model_dump_json(include=set(names)).encode()).hexdigest()

    def listing(self) -> str:
        """Digest of the recordings' names, sizes and dates: a new recording changes it."""
        digest = hashlib.sha256()
        for root in self.study.source.roots:
            for path, problem in sorted(walk(Path(os.path.realpath(root)))):
                stat = os.lstat(path)
                line = f"{path}\0{problem}\0{stat.st_size}\0{stat.st_mtime_ns}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def book_inputs(self) -> list[str]:
        """Files the run's book depends on."""
        found = [self.folder / name / "artefacts.json" for name in self.chapters]
        pages = [p for name in ("*", "api/*", "_ext/*") for p in Path("book").glob(name)]
        found += [p for p in sorted(pages) if p.is_file()]
        found += [p for p in sorted(Path("book/_static").rglob("*")) if p.is_file()]
        found += sorted(Path("benchmarks/results").glob("*"))
        found += [Path("_config.yml"), Path("_toc.yml")]
        found += sorted(PACKAGE.rglob("*.py"))  # their docstrings are pages of the book
        return _inputs(*found)


def _inputs(*paths: Path) -> list[str]:
    """Paths as Snakemake takes them: from here where they are below, as here may hold braces."""
    here = Path.cwd()
    names = [p.relative_to(here) if p.is_relative_to(here) else p for p in paths]
    if braces := [str(p) for p in names if set("{}") & set(str(p))]:
        raise StudyError(
            f"{braces[0]} has braces in its path, which Snakemake takes for a wildcard; expected a "
            "path without them. Rename the folder or file."
        )
    _check_dates(names)
    return [p.as_posix() for p in names]


def _check_dates(paths: list[Path]) -> None:
    """Refuse files dated ahead of the clock: Snakemake fails a finished step that looks older than these."""
    latest = time.time() + CLOCKS_APART_S
    ahead = [p for p in paths if p.exists() and p.stat().st_mtime > latest]
    if ahead:
        dated = time.strftime("%Y-%m-%d %H:%M", time.localtime(ahead[0].stat().st_mtime))
        raise StudyError(
            f"{progress.counted(len(ahead), 'file')} are dated ahead of this machine's clock, as "
            f"{ahead[0]} ({dated}); expected dates that have been. Set the clock right, or give what "
            "is ahead the date of today: find . -newermt now -exec touch {} +"
        )


def chapters_of(study: params.Study) -> tuple[str, ...]:
    """The chapters a study runs, in order: those it names and those they read, or all there are."""
    if not Path("Snakefile").exists() or not Path("notebooks").is_dir():
        raise StudyError(
            f"{Path.cwd()} holds no Snakefile and notebooks; a study runs in the project's own folder. "
            "Go there, or clone the project first."
        )
    there = [name for name in CHAPTERS if (Path("notebooks") / f"{name}.ipynb").exists()]
    wanted = set(study.chapters or there)
    unknown = sorted(wanted - set(there))
    if unknown:
        raise StudyError(
            f"chapters names {', '.join(unknown)}; there are {', '.join(there) or 'none'}"
        )
    for name in reversed(CHAPTERS):
        if name in wanted:
            wanted.update(CHAPTERS[name])
    return tuple(name for name in CHAPTERS if name in wanted)


def data_files(folder: Path) -> list[Path]:
    """Tables and records of a folder of derived data."""
    return sorted(p for p in folder.rglob("*") if p.suffix in (".parquet", ".json"))


def _check_source(study: params.Study) -> None:
    source = study.source
    folders = [*source.roots, *source.other, *([source.derived] if source.derived else [])]
    missing = [name for name in folders if not Path(name).is_dir()]
    if missing:
        raise StudyError(
            f"study {study.name!r} starts from {', '.join(missing)}, which is not a folder here. "
            "Give a folder that exists under `source`."
        )
    if set("{}") & set(source.derived or ""):
        raise StudyError(
            f"source.derived is {source.derived}; expected a name without braces, which Snakemake "
            "takes for a wildcard. Rename the folder."
        )
    if source.synthetic is not None:
        from cryhear.corpus.synthetic import (
            SyntheticCorpus,  # loads SciPy, which no other study's plan needs
        )

        params.check(source.synthetic, SyntheticCorpus, "source.synthetic")
