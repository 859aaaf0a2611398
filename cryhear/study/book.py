"""Stage, publish and build the book: prose from ``book/``, chapters from a run or from the published one.

Nothing is executed here. A staged folder holds the prose pages, the cleaned chapters with their
figures, tables and ledgers, a page that indexes every figure, and the two configuration files;
Jupyter Book builds it with every warning an error. ``publish`` puts a run's cleaned chapters under
``book/chapters``, which is what ``build`` takes when it is given no run.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import yaml

from cryhear import params, progress
from cryhear.errors import StudyError
from cryhear.files import existing, read_json, sha256_of, write_json, write_text
from cryhear.study import execute
from cryhear.study.chapter import CHAPTERS
from cryhear.study.plan import PACKAGE

PUBLISHED = Path("book/chapters")
MEASURED = Path("benchmarks")
BUILD = Path("_build")
TABLES = ("predictions*.parquet",)
"""Of a chapter's Parquet files, those that are published: what anyone can recompute scores from."""

SHARED = ("source", "set", "labels", "representations", "primary", "preprocess", "embed")
"""Parts of a study's parameters that every chapter's numbers depend on."""

GENERATED = "figure_index"
"""The page made while staging."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Commands under which a Chromium is found, for the PDF."""

PDF = "cryhear.pdf"

STRICT = ("-W", "-n", "--keep-going", "-q")


def build(run: str | os.PathLike[str] | None = None, out: str | os.PathLike[str] = BUILD) -> Path:
    """Build the book into `out`/html and return its first page; nothing is executed.

    Parameters
    ----------
    run : path-like, optional
        A finished run's folder; the published run by default.
    out : path-like
        Where to build; its folder ``html`` is replaced only when the build succeeded.

    Raises
    ------
    StudyError
        With every warning of the build: a missing number, reference, file or alternative text.
    """
    with tempfile.TemporaryDirectory(prefix="cryhear-book-") as folder:
        source = Path(folder) / "source"
        stage(run, source)
        _jupyter_book(source, Path(folder))
        _replace(Path(folder) / "_build" / "html", Path(out) / "html")
    return Path(out) / "html" / "index.html"


def one_page(run: str | os.PathLike[str] | None, folder: Path) -> Path:
    """Build the whole book as a single page below a new folder, and return that page."""
    stage(run, folder / "source")
    _jupyter_book(folder / "source", folder, "singlehtml")
    page = folder / "_build" / "singlehtml" / "intro.html"
    if not page.exists():
        raise StudyError(f"the builder made no {page.name}; the root of _toc.yml is another page")
    return page


def chromium() -> str | None:
    """Path of a Chromium, where one is found."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def pdf(run: str | os.PathLike[str] | None = None, out: str | os.PathLike[str] = BUILD) -> Path:
    """Print the whole book, as one page, to `out`/cryhear.pdf by a Chromium that reads from disk.

    The style sheet's print rules set the pages: no sidebars, figures and rows of tables uncut, and
    without the library's pages, which are for the screen. A PDF already there is replaced only when the
    new one is whole.

    Raises
    ------
    StudyError
        If no Chromium is found, the book cannot be built, or the browser prints nothing.
    """
    browser, target = chromium(), Path(out) / PDF
    if browser is None:
        raise StudyError(
            f"no Chromium was found (looked for {', '.join(BROWSERS)}); install one, or print "
            "_build/html from any browser"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pdf.") as folder:
        page, made = one_page(run, Path(folder)), Path(folder) / PDF
        settings = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
        settings += ["--generate-pdf-document-outline", f"--user-data-dir={folder}/browser"]
        command = [browser, *settings, f"--print-to-pdf={made}", page.resolve().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True)
        if not made.exists() or made.read_bytes()[:5] != b"%PDF-":
            said = " ".join(done.stderr.strip().splitlines()[-3:]) or "it gave no reason"
            raise StudyError(f"{browser} printed nothing: {said}")
        made.replace(target)
    return target


def publish(run: str | os.PathLike[str]) -> Path:
    """Put a run's cleaned chapters under ``book/chapters``, replacing what was published before."""
    with tempfile.TemporaryDirectory(prefix="cryhear-publish-") as folder:
        staged = Path(folder) / "chapters"
        if not copy_chapters(Path(run), staged):
            raise StudyError(
                f"{run} holds no finished chapter; run the study first "
                "(`make study PARAMS=params/published.yaml`)"
            )
        for chapter in sorted(staged.iterdir()):
            progress.LOG.debug("%s", chapter.name)
        _replace(staged, PUBLISHED)
    return PUBLISHED


def stage(run: str | os.PathLike[str] | None, folder: Path) -> list[str]:
    """Put everything the builder reads into one new folder; return the chapters it holds."""
    pages = shutil.ignore_patterns("chapters", "_build", ".*")
    shutil.copytree(existing("book"), folder, ignore=pages)
    source = Path(run) if run is not None else existing(PUBLISHED)
    chapters = copy_chapters(source, folder / "chapters")
    if not chapters:
        raise StudyError(f"{source} holds no finished chapter; run the study first (`make report`)")
    ledgers = {name: read_json(folder / "chapters" / name / "ledger.json") for name in chapters}
    for name in chapters:
        shutil.copyfile(
            Path("notebooks") / f"{name}.ipynb", folder / "chapters" / name / f"{name}.ipynb"
        )
    titles = {name: _title(folder / "chapters" / f"{name}.ipynb") for name in chapters}
    write_text(folder / f"{GENERATED}.md", figure_index(ledgers, titles, source))
    for name, text in library_pages().items():
        write_text(folder / "api" / f"{name}.md", text)
    skipped = [name for name in CHAPTERS if name not in chapters]
    write_text(folder / "_toc.yml", _dump(prune(_load("_toc.yml"), skipped)))
    refused = [name for name, ledger in ledgers.items() if "refused" in ledger]
    silent = [name.split("_", 1)[1] for name in (*skipped, *refused)]
    unknown = [*silent, *copy_measured(folder / "speed")]
    beside = asked_otherwise(source, chapters)
    config = _configure(_load("_config.yml"), folder, unknown, beside)
    write_text(folder / "_config.yml", _dump(config))
    return chapters


def asked_otherwise(source: Path, chapters: list[str]) -> dict[str, Path]:
    """Published ledgers of the chapters in which this run asks something else than the published one.

    A study of other recordings, representations, sets or models lacks some of the numbers and figures
    that the pages quote, and the pages say so in their place. Where a chapter asks what the published
    one asked, a number that is missing is a mistake, and stays one.
    """
    own, published = source / "params.json", PUBLISHED / "params.json"
    if source == PUBLISHED or not own.exists() or not published.exists():
        return {}
    study, theirs = params.load(own), params.load(published)
    found = {name: PUBLISHED / name / "ledger.json" for name in chapters}
    return {
        name: path
        for name, path in found.items()
        if path.exists() and _question(study, name) != _question(theirs, name)
    }


def _question(study: params.Study, chapter: str) -> dict[str, Any]:
    # What decides which numbers a chapter can record: neither how often it draws nor from which seed.
    chosen = study.chapter_parameters(chapter)
    kinds = {
        k: v for k, v in chosen.items() if isinstance(v, bool | str | list) and k != execute.STUDY
    }
    return {**kinds, **study.model_dump(mode="json", include=set(SHARED))}


def copy_chapters(source: Path, folder: Path) -> list[str]:
    """Copy the chapters of a run (cleaned) or of the published run (as they are) into `folder`."""
    done = []
    for name in CHAPTERS:
        if not (source / name / "ledger.json").exists():
            continue
        ledger = read_json(source / name / "ledger.json")
        target = folder / name
        for part in ("figures", "tables"):
            if (source / name / part).is_dir():
                shutil.copytree(source / name / part, target / part)
        for pattern in TABLES:
            for path in sorted((source / name).glob(pattern)):
                shutil.copyfile(path, target / path.name)
        write_json(target / "ledger.json", ledger)
        executed = source / name / "notebook.ipynb"
        if executed.exists():
            page = execute.clean(nbformat.read(executed, as_version=4), name, ledger)
        else:
            page = nbformat.read(existing(source / f"{name}.ipynb"), as_version=4)
        write_text(folder / f"{name}.ipynb", nbformat.writes(page) + "\n")
        done.append(name)
    if done:
        shutil.copyfile(existing(source / "params.json"), folder / "params.json")
    return done


def copy_measured(folder: Path) -> list[str]:
    """Copy what the measurements of speed found into `folder`; return those without results."""
    if (MEASURED / "results").is_dir():
        shutil.copytree(MEASURED / "results", folder)
    names = sorted(path.stem for path in MEASURED.glob("[a-z]*.py"))
    return [name for name in names if not (folder / f"{name}.json").exists()]


def check_published(study: params.Study) -> list[str]:
    """What of the published run is stale: chapters whose source, parameters or lock file changed.

    Returns
    -------
    list of str
        ``'04_exploration: parameters changed'``; empty if all is fresh.
    """
    stale = []
    for path in sorted(PUBLISHED.glob("[0-9]*.ipynb")):
        carried = nbformat.read(path, as_version=4).metadata.get("cryhear", {})
        source = Path("notebooks") / path.name
        if not source.exists():
            stale.append(f"{path.stem}: {source} is gone")
            continue
        current = execute.stamps(path.stem, study.chapter_parameters(path.stem))
        changed = [name for name, digest in current.items() if carried.get(name) != digest]
        if changed:
            stale.append(f"{path.stem}: {', '.join(changed)} changed since it was published")
    return stale


def prune(toc: dict[str, Any], skipped: list[str]) -> dict[str, Any]:
    """The table of contents without the chapters a run left out, and without parts that leaves empty."""
    gone = {f"chapters/{name}" for name in skipped}
    parts = []
    for part in toc["parts"]:
        kept = [entry for entry in part["chapters"] if entry.get("file") not in gone]
        if kept:
            parts.append({**part, "chapters": kept})
    return {**toc, "parts": parts}


def _title(notebook: Path) -> str:
    text = nbformat.read(notebook, as_version=4).cells[0].source
    return text.splitlines()[0].lstrip("# ")


def figure_index(ledgers: dict[str, dict[str, Any]], titles: dict[str, str], source: Path) -> str:
    """Markdown of the page that lists every figure with its table, inputs and how to make it again."""
    lines = [
        "# Every figure and where it came from",
        "",
        "Each figure of the book, by chapter, with the table that was drawn and the picture as a file. "
        "A chapter's parameters, its inputs and the command that makes its figures again from a "
        "finished run stand at its head.",
    ]
    study = source.as_posix() if source != PUBLISHED else "results/default"
    for chapter, ledger in ledgers.items():
        if ledger["figures"]:
            lines += ["", f"## {titles[chapter]}", "", *_chapter_entry(chapter, ledger, study)]
        for name, figure in ledger["figures"].items():
            lines += ["", *_figure_entry(chapter, name, figure)]
    return "\n".join(lines) + "\n"


def library_pages() -> dict[str, str]:
    """Markdown of the library's pages: one a package, a section a module, from the folders themselves."""
    rooms = {"ground": sorted(PACKAGE.glob("[a-z]*.py"))}
    for folder in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        rooms[folder.name] = [folder / "__init__.py", *sorted(folder.glob("[a-z]*.py"))]
    return {name: _library_page(name, paths) for name, paths in rooms.items()}


def _library_page(name: str, paths: list[Path]) -> str:
    lines = [f"# {'The ground floor' if name == 'ground' else f'`cryhear.{name}`'}"]
    for path in paths:
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        module = ".".join(("cryhear", *parts)).removesuffix(".__init__")
        lines += ["", f"## `{module}`", "", "```{eval-rst}", f".. automodule:: {module}", "```"]
    return "\n".join(lines) + "\n"


def _chapter_entry(chapter: str, ledger: dict[str, Any], study: str) -> list[str]:
    settings = ", ".join(f"`{k} = {json.dumps(v)}`" for k, v in ledger["parameters"].items())
    inputs = ", ".join(f"`{k}` {v[:8]}" for k, v in ledger["inputs"].items())
    return [
        f"- Chapter: {{doc}}`/chapters/{chapter}`",
        f"- Again: `papermill notebooks/{chapter}.ipynb out.ipynb -p study {study}`",
        f"- Parameters: {settings or 'none'}",
        f"- Inputs (SHA-256 begins): {inputs or 'none'}",
    ]


def _figure_entry(chapter: str, name: str, figure: dict[str, Any]) -> list[str]:
    place = f"chapters/{chapter}"
    kind = "vector (SVG)" if figure["file"].endswith(".svg") else "image (PNG)"
    files = f"{{download}}`table (CSV) <{place}/{figure['table']}>`"
    files += f" \N{MIDDLE DOT} {{download}}`{kind} <{place}/{figure['file']}>`"
    return [
        "::::{div} index-entry",
        f"```{{image}} {place}/{figure['file']}",
        ":class: thumbnail",
        f":alt: {' '.join(figure['alt'].split())}",
        "```",
        ":::{div}",
        f"**{{numref}}`{execute.figure_label(chapter, name)}`.** {figure['caption']}",
        "",
        files,
        ":::",
        "::::",
    ]


def _configure(
    config: dict[str, Any], folder: Path, unknown: list[str], beside: dict[str, Path]
) -> dict[str, Any]:
    config["html"]["extra_footer"] = provenance(folder / "chapters")
    config["html"]["announcement"] = banner(read_json(folder / "chapters" / "params.json"))
    settings = config["sphinx"]["config"]
    settings["cryhear_skipped"] = unknown
    # What a page may quote though this run has no such number.
    settings["cryhear_published"] = [path.absolute().as_posix() for path in beside.values()]
    return config


def banner(study: dict[str, Any]) -> str:
    """What stands over every page where the recordings are not Donate-a-Cry's; else ''."""
    source = study["source"]
    folders = [source.get("derived") or "", *source.get("roots", ())]
    if any(Path(folder).name == "donateacry" for folder in folders):
        return ""
    made = source.get("synthetic") is not None
    what = "synthetic cries: every result of it is synthetic" if made else "other recordings"
    return (
        f"The study <code>{html.escape(study['name'])}</code> is of {what}. What these pages tell of "
        "Donate-a-Cry, its app and those who used it is background, and not about this study."
    )


def provenance(chapters: Path) -> str:
    """The footer of every page: commit, parameters, environment and data the book was made from."""
    settings = read_json(chapters / "params.json")
    ledgers = [read_json(path) for path in sorted(chapters.glob("*/ledger.json"))]
    inputs = sorted({f"{k}:{v}" for ledger in ledgers for k, v in ledger["inputs"].items()})
    lock = Path("requirements.lock")
    facts = {
        "commit": commit(),
        "study": settings["name"],
        "parameters": sha256_of(chapters / "params.json")[:12],
        "environment": sha256_of(lock)[:12] if lock.exists() else "not locked",
        "inputs": hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:12],
    }
    text = "; ".join(
        f"{name} <code>{html.escape(str(value))}</code>" for name, value in facts.items()
    )
    return f'<p class="provenance">Where this page came from: {text}.</p>'


def commit() -> str:
    """The commit the files belong to, ``+`` where they were changed since; from CI where git is not."""
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return found.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("GITHUB_SHA", "unknown")[:12]


def _jupyter_book(source: Path, out: Path, builder: str = "html") -> None:
    """Let Jupyter Book configure Sphinx, and Sphinx build with a process a core, which the former cannot."""
    made = out / "_build" / builder
    # For the extensions, and for the library whose docstrings are pages.
    places = [str(source / "_ext"), str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    configure = ["-c", "from jupyter_book.cli.main import main; main()", "config", "sphinx"]
    # Three a core: Sphinx deals pages out in as many parts, and those of the library are the slow ones.
    jobs = str(3 * (os.cpu_count() or 1))
    sphinx = ["-m", "sphinx", "-j", jobs, "-b", builder, *STRICT]
    for command in (
        [*configure, str(source)],
        [*sphinx, "-d", str(out / "doctrees"), str(source), str(made)],
    ):
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, env=environment
        )
        progress.LOG.debug("%s", (done.stdout + done.stderr).strip())
        if done.returncode:
            break
    if done.returncode == 0 and made.is_dir():
        return
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr + done.stdout).replace(
        f"{source.as_posix()}/", ""
    )
    warnings = [
        line for line in text.splitlines() if re.search(r"WARNING|ERROR|[Ee]xception", line)
    ]
    shown = warnings or text.splitlines()[-15:]
    raise StudyError("the book was not built, because of:\n" + "\n".join(dict.fromkeys(shown)))


def _replace(made: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        shutil.copytree(made, Path(folder) / "new")
        if target.exists():
            target.rename(Path(folder) / "old")
        (Path(folder) / "new").rename(target)


def _load(path: str | os.PathLike[str]) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(existing(path).read_text(encoding="utf-8"))
    return content


def _dump(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
