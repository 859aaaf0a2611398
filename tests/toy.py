"""A study of two small chapters in a folder of its own: everything but the science."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]

FIRST = """
rows = pd.DataFrame({"x": [0, 1, 2], "y": [0.0, 1.0, 4.0]})
run.write("rows", rows)
run.record({"n_used": 1128}, "count")
run.number("share_pain", 0.1128, "share", low=0.1, high=0.125, n=1128)
run.conclude(
    "verdict", True, "It *holds* for {num}`audit.n_used` recordings.", "It does not.", ["n_used"]
)
"""
SECOND = """
table = run.read("01_audit", "rows")
figure = Figure(figsize=(3, 2))
figure.subplots().plot(table["x"], table["y"])
run.figure("curve", figure, table, alt="A rising curve.")
print("neighbours", run.parameters.neighbours)
"""


CAPTION = "A curve of {num}`audit.n_used`\npoints. No spread."


def make(folder: Path) -> Path:
    """Lay out a project with the repository's engine and two toy chapters, and return it."""
    for name in ("Snakefile", "_config.yml", "_toc.yml"):
        shutil.copyfile(ROOT / name, folder / name)
    # A copy of the library: an edit made while the tests run must not look like a changed input.
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "cryhear", folder / "cryhear", ignore=compiled)
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("chapters"))
    for name in ("notebooks", "params", "data"):
        (folder / name).mkdir()
    (folder / "requirements.lock").write_text("toy==1\n")
    manifest = "data/donateacry/manifest.parquet"  # chapters look up who cried before anything else
    shutil.copyfile(ROOT / manifest, folder / "data" / "manifest.parquet")
    (folder / "params" / "toy.yaml").write_text(
        "name: toy\nsource: {derived: data}\nchapters: [04_exploration]\n"
    )
    write_chapter(folder, "01_audit", FIRST, FIRST_PARAMETERS, "# Audit\n\nHow many?", SAYS_FIRST)
    write_chapter(
        folder,
        "04_exploration",
        SECOND,
        SECOND_PARAMETERS,
        f"# Exploration\n\nWhat shape?\n\n```{{figure}} curve\n{CAPTION}\n```",
        SAYS_SECOND,
    )
    strip_prose(folder)
    return folder


FIRST_PARAMETERS = """seed = 1
labels = 'original'
set = 'uploads'
minimum_duration_s = 2.0
gap_minutes = 5.0"""
SECOND_PARAMETERS = """seed = 1
labels = 'original'
set = 'uploads'
representation = 'yamnet'
neighbours = 5
umap_neighbours = 15
umap_min_dist = 0.1
umap_seeds = 4"""
SAYS_FIRST = (
    "There were {num}`audit.n_used` recordings; {num}`audit.share_pain ci` were pain. "
    "{num}`audit.verdict` See {doc}`04_exploration` and {doc}`05_classical`."
)
SAYS_SECOND = (
    "{numref}`fig-exploration-curve` rises, as $y = \\frac{x^2}{1}$ says, unlike {numref}`fig-mlp-loss`.\n\n"
    "$$\\mathrm{AUC} = \\frac{1}{n_+ n_-} \\sum_{i, j} \\mathbb{1}[s_i > s_j]$$"
)


def write_chapter(
    folder: Path, name: str, code: str, parameters: str, title: str, says: str
) -> None:
    """Write one thin notebook."""
    new = nbformat.v4
    cells = [
        new.new_markdown_cell(title),
        new.new_code_cell(
            f"study = 'results/toy'\n{parameters}", metadata={"tags": ["parameters"]}
        ),
        new.new_code_cell(
            f"import cryhear\nrun = cryhear.open_chapter({name!r}, globals())\n"
            "import pandas as pd\nfrom matplotlib.figure import Figure",
            metadata={"tags": ["hide-input"]},
        ),
        new.new_markdown_cell("## The step"),
        new.new_code_cell(code.strip()),
        new.new_markdown_cell(says),
        new.new_code_cell("run.close()", metadata={"tags": ["hide-input"]}),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = new.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")


def strip_prose(folder: Path) -> None:
    """Replace the repository's prose by a page that uses what the toy study knows."""
    for page in (folder / "book").glob("*.md"):
        page.write_text(f"# {page.stem}\n\nWords.\n")
    (folder / "book" / "intro.md").write_text(
        "# Cover\n\n{num}`audit.verdict` Of a chapter not run: {num}`mlp.auc ci`. {cite:t}`baur2024hear`\n"
    )
    (folder / "book" / "references.md").write_text("# References\n\n```{bibliography}\n```\n")


def cryhear(folder: Path, code: str, timeout: float = 400.0) -> subprocess.CompletedProcess[str]:
    """Run Python code in the toy project, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(folder),
        capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    """Environment in which the toy project's own copy of the library is imported."""
    return {**os.environ, "PYTHONPATH": str(folder)}
