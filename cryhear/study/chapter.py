"""A chapter's two ends: `open_chapter` checks parameters and finds what came before; `Run.close` records.

A notebook holds everything in between. Run by the study, a chapter writes into its own folder of the
run; run alone with other parameters, into ``variants/`` beside it, so nothing published by the study
is ever replaced by an experiment.
"""

from __future__ import annotations

import hashlib
import html
import json
import math
import os
import re
import time
import types
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryhear import params
from cryhear.errors import LedgerError, MissingArtefactError, NotAskedError, ParameterError
from cryhear.files import atomic, read_json, read_table, sha256_of, write_json, write_table
from cryhear.study.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from cryhear.embedding.tables import StudySet

CHAPTERS: dict[str, tuple[str, ...]] = {
    "01_audit": (),
    "02_preprocessing": (),
    "03_embedding": (),
    "04_exploration": ("01_audit",),
    "05_classical": (),
    "06_mlp": (),
    "07_crossvalidation": (),
    "08_evaluation": ("05_classical", "06_mlp", "07_crossvalidation"),
    "09_leakage": (),
    "10_controls": ("09_leakage",),
    "11_robustness": (),
    "12_recording": (),
    "13_relabelled": (),
    "14_literature": ("09_leakage",),
}
"""Every chapter in the book's order, with the chapters whose files it reads."""

LONGEST = "10_controls"
"""The last chapter of the longest way through them: what it reads is begun first."""

READ_MODEL = ("12_recording",)
"""Chapters that ask the model the study leaves behind."""

ABSENT = "(not to be had from this study)"
"""Stands in the place of a number that a study's recordings do not allow."""

NOT_CONCLUDED = "(A conclusion is left out here: this run has not all the numbers it needs.)"
"""Stands in the place of a sentence whose predicate needs a number that is not to be had."""

NOT_DRAWN = "Not drawn: this run has no values for it"
"""Stands in the place of such a figure."""

WRITTEN = {
    "auc": "AUC", "ece": "ECE", "f1": "F1", "sd": "SD", "std": "SD", "se": "SE", "pca": "PCA",
    "s": "(s)", "hz": "(Hz)", "dbfs": "(dBFS)",
}  # fmt: skip
"""How words of a column's name are written in a table's head, where it is not as they are."""

VERSIONED = (
    "cryhear",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "torch",
    "umap-learn",
    "matplotlib",
)
"""Packages whose versions a ledger names: those that can move a number."""


def open_chapter(chapter: str, namespace: dict[str, Any]) -> Run:
    """Check a notebook's parameters, find the run it belongs to, and give it its tools.

    Parameters
    ----------
    chapter : str
        Its name with its number, ``04_exploration``.
    namespace : dict
        The notebook's ``globals()`` straight after the parameters cell: every plain name in it is
        a parameter, so one that was injected under a misspelt name is found.

    Raises
    ------
    ParameterError
        If a parameter is unknown, mistyped or out of range.
    MissingArtefactError
        If the run, or a chapter that must come first, is not there yet.
    NotAskedError
        If the study's recordings do not allow the chapter's question.
    """
    from matplotlib import rcParams

    from cryhear.figures.style import RC

    if chapter not in CHAPTERS:
        raise ParameterError(
            f"chapter {chapter!r} is unknown; expected one of {', '.join(CHAPTERS)}"
        )
    model = params.chapter_model(chapter)
    parameters = params.check(_parameters_in(namespace), model, where=f"chapter {chapter}")
    folder = _run_folder(parameters.study, chapter)
    study = params.load(folder / "params.json")
    for earlier in CHAPTERS[chapter]:
        if not (folder / earlier / "ledger.json").exists():
            raise MissingArtefactError(
                f"chapter {chapter} reads what {earlier} found, and {folder / earlier} has no ledger. "
                f"Run {earlier} first: papermill notebooks/{earlier}.ipynb out.ipynb "
                f"-p study {folder.as_posix()}"
            )
        if refused := read_json(folder / earlier / "ledger.json").get("refused"):
            raise NotAskedError(
                f"This chapter starts from what chapter {int(earlier.split('_')[0])} finds, which could "
                f"not be asked of this study. {refused}"
            )
    card = folder / "model" / "card.json"
    if chapter in READ_MODEL and card.exists() and (refused := read_json(card).get("refused")):
        raise NotAskedError(f"This chapter asks the model that a study leaves behind. {refused}")
    run = Run(chapter, parameters, study, folder)
    _check_question(run)
    # Figures that a chapter draws itself look like the library's; the powers of ten on their axes stay
    # mathematics, and `run.figure` sees to names with dollar signs.
    rcParams.update({name: value for name, value in RC.items() if name != "text.parse_math"})
    return run


def _check_question(run: Run) -> None:
    """Refuse a chapter that this study's recordings do not allow; say where nobody knows who cried."""
    from cryhear.corpus import manifest, questions

    chosen = run.parameters
    if not hasattr(chosen, "labels"):
        return  # it speaks of no infant
    if run.chapter not in questions.COMPARING and not run.derived.has_manifest():
        return  # the chapter says what is missing where it reads it
    of_set = getattr(chosen, "sets", [getattr(chosen, "set", "")])[0]
    rows = manifest.select(run.derived.manifest(), set=of_set, labels=chosen.labels)
    used = rows[rows["status"] == "used"]
    why = questions.refusal(used, run.chapter, getattr(chosen, "folds", questions.FOLDS))
    if why:
        raise NotAskedError(why)
    if unnamed := questions.unnamed(used):
        print(unnamed)  # the first thing that the chapter's page shows


def _run_folder(given: str, chapter: str) -> Path:
    """The run a chapter belongs to; goes to the project's folder, on which all paths of a run build.

    Jupyter starts a notebook in the notebook's own folder, Papermill in the one it is called from.
    """
    here = Path.cwd()
    above = [p for p in (here, *here.parents) if _is_project(p)]
    found = [base / given for base in (here, *above[:1])]  # an absolute path stays what it is
    runs = [folder for folder in found if (folder / "params.json").exists()]
    if not runs:
        looked = " or ".join(dict.fromkeys(str(folder) for folder in found))
        raise MissingArtefactError(
            f"{looked} holds no run (no params.json); chapter {chapter} starts from one. Run "
            "`make report` first, or set `study` in the parameters cell to the full path of a "
            "finished run's folder."
        )
    run = Path(os.path.abspath(runs[0]))
    if project := next((p for p in run.parents if _is_project(p)), None):
        if project != here:
            os.chdir(project)
        return run.relative_to(project)
    return runs[0]


def _is_project(folder: Path) -> bool:
    return (folder / "Snakefile").is_file() and (folder / "notebooks").is_dir()


class Run:
    """What a chapter works with; made by `open_chapter`.

    Attributes
    ----------
    parameters : cryhear.params.Chapter
        The chapter's own parameters, checked.
    study : cryhear.params.Study
        The study the run belongs to.
    derived : cryhear.embedding.tables.Derived
        The tables the study starts from.
    folder : pathlib.Path
        Where this chapter writes.
    """

    def __init__(
        self, chapter: str, parameters: params.Chapter, study: params.Study, folder: Path
    ) -> None:
        from cryhear.embedding.tables import (
            Derived,  # loads pandas, which a plan of the chapters needs not
        )

        self.chapter = chapter
        self.parameters: Any = parameters
        self.study = study
        self.run_folder = folder
        self.derived = Derived(study.source.derived or folder / "derived")
        self.folder = folder / chapter
        chosen = parameters.model_dump(mode="json")
        if {**chosen, "study": ""} != {**study.chapter_parameters(chapter), "study": ""}:
            digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]
            self.folder = folder / "variants" / f"{chapter}-{digest}"
            print(f"These parameters are not the study's own: this run is kept in {self.folder}")
        self.ledger = Ledger(chapter, parameters={k: v for k, v in chosen.items() if k != "study"})
        self._started = time.perf_counter()

    @property
    def seed(self) -> int:
        """The chapter's random seed."""
        return int(self.parameters.seed)

    def load(
        self,
        representation: str | None = None,
        set: str | None = None,
        labels: str | None = None,
    ) -> StudySet:
        """Labelled recordings of a set with their mean embeddings.

        What is not given is taken from the chapter's parameters.
        """
        wanted = self.parameters
        return self.derived.study_set(
            set_name=set or wanted.set,
            labels=labels or wanted.labels,
            representation=representation or wanted.representation,
        )

    def read(self, chapter: str, name: str) -> pd.DataFrame:
        """Read a table another chapter of this run wrote."""
        path = self.run_folder / chapter / f"{name}.parquet"
        if not path.exists():
            raise MissingArtefactError(
                f"{path} is not there; chapter {chapter} writes it. Run that chapter first."
            )
        self.ledger.inputs[f"{chapter}/{name}.parquet"] = sha256_of(path)
        return read_table(path)

    def write(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Write a table for the chapters downstream, and return it."""
        write_table(self.folder / f"{name}.parquet", table)
        return table

    def number(self, key: str, value: Any, unit: str, **details: Any) -> None:
        """Record one number; see `cryhear.study.ledger.Ledger.number`."""
        self.ledger.number(key, value, unit, **details)

    def record(self, values: Any, unit: str = "text", **details: Any) -> None:
        """Record a dict or table of numbers; see `cryhear.study.ledger.Ledger.record`."""
        self.ledger.record(values, unit, **details)

    def interval(self, key: str, row: Any, unit: str, **details: Any) -> None:
        """Record a row's value with its interval; see `cryhear.study.ledger.Ledger.interval`."""
        self.ledger.interval(key, row, unit, **details)

    def quote(self, key: str) -> str:
        """The ``{num}`` role of a number; see `cryhear.study.ledger.Ledger.quote`."""
        return self.ledger.quote(key)

    def absent(self, *keys: str) -> None:
        """Record, for each of `keys` that has no number, text that says so: prose may still name it."""
        for key in keys:
            if key not in self.ledger.numbers:
                self.number(key, ABSENT, "text")

    def conclude(
        self,
        key: str,
        holds: bool,
        if_true: str,
        if_false: str,
        of: Iterable[str] = (),
        beside: Iterable[str] = (),
    ) -> None:
        """Record the sentence that fits the outcome; see `cryhear.study.ledger.Ledger.conclude`.

        Where a number of `of` is not to be had from this study (`absent`), neither sentence is known to
        hold, and `NOT_CONCLUDED` is recorded.
        """
        of = list(of)
        if any(self.ledger.numbers.get(name, {}).get("value") == ABSENT for name in of):
            self.number(key, NOT_CONCLUDED, "text")
            return
        self.ledger.conclude(key, holds, if_true, if_false, of, beside)

    def figure(
        self,
        name: str,
        figure: Figure | None,
        *given: Any,
        alt: str = "",
        dense: bool = False,
        **named: Any,
    ) -> None:
        """Save a figure with the table behind it, record both, and show it.

        The caption stands in the chapter's text, in a directive ``{figure} name``, which also says where
        in the book the picture stands (`cryhear.study.execute.clean`).

        Parameters
        ----------
        name : str
            Unique in the chapter; the book refers to it as ``fig-<chapter>-<name>``.
        figure : matplotlib.figure.Figure or None
            None where the study's recordings do not allow it: words stand in its place.
        table : pandas.DataFrame
            The values drawn; offered for download as CSV.
        alt : str
            What a reader who cannot see the figure needs to know.
        dense : bool, default False
            Save as PNG: for images and scatters of thousands of points.
        """
        order = ("caption", "alt", "table") if given and isinstance(given[0], str) else ("table",)
        parts = {"alt": alt, **named, **dict(zip(order, given, strict=False))}
        if "table" not in parts or not parts["alt"]:
            raise LedgerError(
                f"figure {name!r} of {self.chapter} lacks its table or its alternative text; expected "
                "run.figure(name, figure, table, alt=...)"
            )
        alt, table = parts["alt"], parts["table"]
        from matplotlib import rc_context

        from cryhear.figures.style import RC, blank

        self._free(name, self.ledger.tables, "table")
        if figure is None:
            figure, alt = blank(NOT_DRAWN), NOT_DRAWN
        suffix = "png" if dense else "svg"
        path = self.folder / "figures" / f"{name}.{suffix}"
        metadata = {"Date": None} if suffix == "svg" else {"Software": None}
        _as_written(figure)
        # Also a figure of plain Matplotlib gets the same bytes from the same table.
        with atomic(path) as temporary, rc_context({"svg.hashsalt": RC["svg.hashsalt"]}):
            figure.savefig(
                temporary, format=suffix, metadata=metadata, dpi=160, bbox_inches="tight"
            )
        self._csv(name, table)
        self.ledger.figures[name] = {
            "file": f"figures/{name}.{suffix}",
            **({"caption": " ".join(parts["caption"].split())} if "caption" in parts else {}),
            "alt": " ".join(alt.split()),
            "table": f"tables/{name}.csv",
            "n": len(table),
        }
        _show(path, name)

    def table(self, name: str, table: pd.DataFrame, caption: str) -> Any:
        """Record a table with its caption, offer it as CSV, and return it styled for the page."""
        self._free(name, self.ledger.figures, "figure")
        self._csv(name, table)
        self.ledger.tables[name] = {
            "file": f"tables/{name}.csv",
            "caption": caption,
            "n": len(table),
        }
        shown = table.style.format(_cell, escape="html", na_rep="").hide(axis="index")
        # A style's element ids are random unless named, and would change the page at every run.
        shown = shown.format_index(_heading, escape="html", axis="columns").set_uuid(name)
        return shown.set_caption(html.escape(caption, quote=False))

    def close(self) -> None:
        """Write the ledger (last, so that a ledger means a finished chapter) and the timing beside it."""
        for package in VERSIONED:
            try:
                self.ledger.versions[package] = version(package)
            except PackageNotFoundError:
                continue
        self.ledger.inputs.update(self.derived.read_hashes())
        write_json(self.folder / "timings.json", {"seconds": time.perf_counter() - self._started})
        self.ledger.write(self.folder / "ledger.json")

    def _free(self, name: str, taken: Mapping[str, Any], kind: str) -> None:
        # Both are offered as tables/<name>.csv: the second would stand behind the first.
        if name in taken:
            raise LedgerError(
                f"chapter {self.chapter} records {name!r} as a {kind} and once more; expected a name for "
                "each, since the table of either is a file of that name. Rename one of them."
            )

    def _csv(self, name: str, table: pd.DataFrame) -> None:
        with atomic(self.folder / "tables" / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")


def _heading(column: Any) -> str:
    """A column's name for people: ``duration_s`` as 'duration (s)'."""
    return " ".join(WRITTEN.get(word, word) for word in str(column).split("_"))


def _cell(value: Any) -> Any:
    """A table's cell for people: numbers to three significant figures, names of codes, settings."""
    if isinstance(value, str):
        return _text_cell(value)
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    if value == round(value) or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _text_cell(text: str) -> str:
    """A name or settings as people write them; pandas has escaped the text before it comes here."""
    from cryhear.corpus.labels import display_name

    if re.fullmatch("[a-z][a-z0-9]*([_-][a-z0-9]+)*", text):
        return display_name(text)
    try:
        settings = json.loads(html.unescape(text)) if text.startswith("{") else None
    except ValueError:
        return text
    if not isinstance(settings, dict):
        return text
    return html.escape(", ".join(f"{name} {_cell(value)}" for name, value in settings.items()))


def _as_written(figure: Figure) -> None:
    """Set names with dollar signs as they are: matplotlib would typeset what stands between two."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        # Matplotlib's own labels of a logarithmic axis are mathematics on purpose.
        if "$" in text.get_text() and r"\mathdefault" not in text.get_text():
            text.set_parse_math(False)


def _show(path: Path, name: str) -> None:
    from IPython.display import SVG, Image, display

    picture = SVG(filename=path) if path.suffix == ".svg" else Image(filename=path)
    # The name lets the book replace this output by a numbered figure with caption and alt text.
    display(picture, metadata={"cryhear": {"figure": name}})


def _parameters_in(namespace: dict[str, Any]) -> dict[str, Any]:
    hidden = {"In", "Out", "exit", "quit", "open", "get_ipython"}
    # What a user's own start-up files left there before the first cell.
    shell = namespace.get("get_ipython", lambda: None)()
    before = getattr(shell, "user_ns_hidden", {})
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_")
        and name not in hidden
        and not isinstance(value, types.ModuleType)
        and before.get(name, _parameters_in) is not value
    }
