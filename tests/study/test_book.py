"""The book: cleaned chapters, staging, staleness, and a strict build that asks nothing of the network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import toy
import yaml

from cryhear import params
from cryhear.errors import StudyError
from cryhear.study import book, execute
from cryhear.study.chapter import CHAPTERS
from cryhear.study.ledger import merge

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><path d="M0 0L9 9"/></svg>'
CAPTION = " ".join(toy.CAPTION.split())
DRAWN = "```{drawn} exploration.curve\nIt rises to {num}`audit.n_used`.\n```\n"


def executed(folder: Path, name: str) -> nbformat.NotebookNode:
    """A toy chapter as Papermill leaves it: times, paths, addresses, and a figure by its name."""
    new = nbformat.v4
    notebook = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)
    injected = new.new_code_cell(
        "# Parameters\nstudy = '/somewhere/results/toy'\nseed = 42\nset = 'uploads'",
        metadata={"tags": ["injected-parameters"], "papermill": {"duration": 1.5}},
    )
    notebook.cells.insert(2, injected)
    notebook.metadata["papermill"] = {"start_time": "now", "environment_variables": {}}
    notebook.metadata["cryhear"] = {"source": "1", "parameters": "2", "lock": "3"}
    step = notebook.cells[5]
    step.execution_count = 4
    step.metadata["papermill"] = {"duration": 2.0}
    step.outputs = [
        new.new_output("stream", name="stderr", text="a warning from /somewhere\n"),
        new.new_output("stream", name="stdout", text=f"{Path.cwd()}/data at hand\n"),
        new.new_output(
            "execute_result",
            data={
                "text/plain": "<Styler at 0x7f1>",
                "text/html": '<table id="T_t"></table>'
                '<button type="button" class="copy-paste-icon" onclick="x"><i></i></button>',
            },
        ),
    ]
    if name == "04_exploration":
        shown = {"metadata": {"cryhear": {"figure": "curve"}}, "data": {"image/svg+xml": SVG}}
        step.outputs.append(new.new_output("display_data", **shown))
    return notebook


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy project with a finished run that was never executed."""
    folder = toy.make(tmp_path)
    monkeypatch.chdir(folder)
    # The docstrings of the whole library are most of a build: the book that browsers look at has them.
    words = {name: f"# {name}\n\nWords.\n" for name in book.library_pages()}
    monkeypatch.setattr(book, "library_pages", lambda: words)
    run = folder / "results" / "toy"
    for name in ("01_audit", "04_exploration"):
        (run / name / "figures").mkdir(parents=True)
        (run / name / "tables").mkdir()
        (run / name / "tables" / "t.csv").write_text("x\n1\n")
        nbformat.write(executed(folder, name), run / name / "notebook.ipynb")
        ledger = {
            "chapter": name, "parameters": {"seed": 42}, "inputs": {"manifest.parquet": "ab" * 32},
            "versions": {}, "numbers": {}, "figures": {},
            "tables": {"t": {"file": "tables/t.csv", "caption": "T"}},
        }  # fmt: skip
        if name == "01_audit":
            ledger["numbers"] = {
                "n_used": {"value": 1128, "unit": "count"},
                "share_pain": {"value": 0.11, "unit": "share", "low": 0.1, "high": 0.12},
                "verdict": {"value": "It *holds*.", "unit": "text"},
            }
        else:
            (run / name / "figures" / "curve.svg").write_text(SVG)
            (run / name / "tables" / "curve.csv").write_text("x,y\n0,0\n")
            ledger["figures"] = {
                "curve": {"file": "figures/curve.svg", "caption": CAPTION, "alt": "A rising curve.",
                          "table": "tables/curve.csv", "n": 1}
            }  # fmt: skip
        (run / name / "ledger.json").write_text(json.dumps(ledger))
    (run / "params.json").write_text('{"name": "toy", "source": {"derived": "data"}}')
    return folder


def cleaned(project: Path, name: str = "04_exploration") -> nbformat.NotebookNode:
    ledger = json.loads((project / "results/toy" / name / "ledger.json").read_text())
    return execute.clean(executed(project, name), name, ledger)


def test_a_cleaned_chapter_holds_no_time_path_or_address(project: Path) -> None:
    page = cleaned(project)
    text = nbformat.writes(page)
    for trace in (
        "copy-paste-icon",
        "papermill",
        "duration",
        "/somewhere",
        "0x7f1",
        str(project),
        "a warning",
    ):
        assert trace not in text
    assert page.metadata["cryhear"] == {"source": "1", "parameters": "2", "lock": "3"}
    assert nbformat.writes(cleaned(project)) == text


def test_a_cleaned_chapter_shows_only_parameters_the_run_changed(project: Path) -> None:
    cell = cleaned(project).cells[2]
    assert cell.source == "# What this run sets otherwise:\nseed = 42"


FIGURE_PARTS = (
    ":name: fig-exploration-curve", ":alt: A rising curve.", CAPTION, "table (CSV)", "vector (SVG)",
)  # fmt: skip


def test_a_figure_stands_where_the_text_shows_it_and_nowhere_else(project: Path) -> None:
    """Also before the code that draws it, with its number, caption, alternative text and files."""
    page = cleaned(project)
    for part in FIGURE_PARTS:
        assert part in page.cells[0].source
    assert "::::{figure}" not in nbformat.writes(page).replace(page.cells[0].source, "")[1000:]
    outputs = [o for c in page.cells if c.cell_type == "code" for o in c.outputs]
    assert "fig-exploration-curve" not in json.dumps(outputs)


def test_a_figure_with_its_caption_in_the_code_stands_where_it_was_drawn(project: Path) -> None:
    notebook = executed(project, "04_exploration")
    notebook.cells[0].source = "# Exploration"
    ledger = json.loads((project / "results/toy/04_exploration/ledger.json").read_text())
    page = execute.clean(notebook, "04_exploration", ledger)
    outputs = [o for c in page.cells if c.cell_type == "code" for o in c.outputs]
    for part in FIGURE_PARTS:
        assert part in outputs[-1].data["text/markdown"]


def test_code_is_open_unless_its_tag_says_otherwise(project: Path) -> None:
    tags = [c.metadata.get("tags", []) for c in cleaned(project).cells if c.cell_type == "code"]
    assert tags == [
        ["parameters", "hide-input"],
        ["hide-input"],
        ["hide-input"],
        [],
        ["hide-input"],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```{figure} curves\nC.\n```", "figure 'curves' that no cell records; expected one of curve"),
        ("Nothing. `{figure} curve`", "the figure 'curve' has no caption"),
    ],
)  # fmt: skip
def test_a_caption_goes_to_its_figure_or_is_refused(project: Path, text: str, said: str) -> None:
    folder = project / "results/toy/04_exploration"
    ledger = json.loads((folder / "ledger.json").read_text())
    del ledger["figures"]["curve"]["caption"]
    (folder / "ledger.json").write_text(json.dumps(ledger))
    execute._caption(folder)
    assert (
        json.loads((folder / "ledger.json").read_text())["figures"]["curve"]["caption"] == CAPTION
    )
    (folder / "ledger.json").write_text(json.dumps(ledger))
    notebook = executed(project, "04_exploration")
    notebook.cells[0].source = f"# Exploration\n\n{text}"
    nbformat.write(notebook, folder / "notebook.ipynb")
    with pytest.raises(StudyError, match=said):
        execute._caption(folder)


def test_a_table_offers_its_values(project: Path) -> None:
    outputs = [o for c in cleaned(project).cells if c.cell_type == "code" for o in c.outputs]
    assert any(
        "04_exploration/tables/t.csv" in o.get("data", {}).get("text/markdown", "") for o in outputs
    )


def test_a_chapter_that_was_not_run_leaves_the_contents(project: Path) -> None:
    staged = project / "staged"
    assert book.stage("results/toy", staged) == ["01_audit", "04_exploration"]
    toc = yaml.safe_load((staged / "_toc.yml").read_text())
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    assert [name for name in files if name.startswith("chapters/")] == [
        "chapters/01_audit",
        "chapters/04_exploration",
    ]
    config = yaml.safe_load((staged / "_config.yml").read_text())
    assert "mlp" in config["sphinx"]["config"]["cryhear_skipped"]
    assert "Where this page came from" in config["html"]["extra_footer"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"derived": "data/donateacry"}, ""),
        ({"roots": ["corpora/donateacry"]}, ""),
        ({"roots": ["corpora/donateacry/", "cries"]}, ""),
        ({"synthetic": {}}, "every result of it is synthetic"),
        ({"roots": ["cries"]}, "is of other recordings"),
        ({"derived": "data/mine"}, "is of other recordings"),
    ],
)  # fmt: skip
def test_pages_that_are_not_of_donateacry_say_so_at_the_top(source: dict, said: str) -> None:
    told = book.banner({"name": "a<b", "source": source})
    assert said in told
    assert bool(said) == ("<code>a&lt;b</code>" in told)


def test_a_run_without_chapters_cannot_be_published(project: Path) -> None:
    (project / "results" / "empty").mkdir()
    with pytest.raises(StudyError, match="no finished chapter"):
        book.publish("results/empty")


def test_publishing_twice_gives_the_same_bytes_and_nothing_more(project: Path) -> None:
    def files() -> dict[str, bytes]:
        return {
            p.as_posix(): p.read_bytes()
            for p in sorted(Path("book/chapters").rglob("*"))
            if p.is_file()
        }

    book.publish("results/toy")
    first = files()
    Path("book/chapters/stray.txt").write_text("left over")
    book.publish("results/toy")
    assert files() == first
    assert "book/chapters/04_exploration/figures/curve.svg" in first
    assert "book/chapters/params.json" in first


def test_a_published_chapter_goes_stale_with_its_source_parameters_and_lock(project: Path) -> None:
    study = params.load("params/toy.yaml")
    for name in ("01_audit", "04_exploration"):
        path = Path("results/toy") / name / "notebook.ipynb"
        execute._stamp(path, execute.stamps(name, study.chapter_parameters(name)))
    book.publish("results/toy")
    assert book.check_published(study) == []
    changed = params.load("params/toy.yaml", {"exploration.neighbours": 9})
    assert book.check_published(changed) == [
        "04_exploration: parameters changed since it was published"
    ]
    Path("requirements.lock").write_text("toy==2\n")
    assert len(book.check_published(study)) == 2


def test_the_book_builds_strictly_and_asks_nothing_of_the_network(project: Path) -> None:
    book.publish("results/toy")
    intro = Path("book/intro.md")
    intro.write_text(intro.read_text() + f"\n{DRAWN}")
    first = book.build(out="_build")
    cover = first.with_name("intro.html").read_text()
    assert re.search(r'<div class="drawn[^>]*>\s*<img alt="A rising curve."[^>]*curve.svg', cover)
    assert "It rises to 1,128." in re.sub(r"<[^>]+>", "", cover)
    page = (first.parent / "chapters" / "04_exploration.html").read_text()
    assert re.search(r'caption-number">Fig. \d', page)
    assert re.search(r"std-numref\">Fig. \d", page)
    assert 'alt="A rising curve."' in page
    assert "<math " in page
    offered = re.search(r'href="../(_downloads/[^"]+/04_exploration\.ipynb)"', page)
    source = Path("notebooks/04_exploration.ipynb")
    assert (first.parent / offered[1]).read_bytes() == source.read_bytes()
    assert "unlike (figure not made here)" in re.sub(r"<[^>]+>", "", page)
    audit = (first.parent / "chapters" / "01_audit.html").read_text()
    assert "and (chapter not run here)" in re.sub(r"<[^>]+>", "", audit)
    index = (first.parent / "figure_index.html").read_text()
    assert "papermill notebooks/04_exploration.ipynb" in re.sub(r"<[^>]+>", "", index).replace(
        "\n", " "
    )
    for path in first.parent.rglob("*.html"):
        assert loads(path.read_text()) == [], path.name
        assert str(project) not in path.read_text()


def loads(html: str) -> list[str]:
    """What a page fetches from a host when it opens."""
    tags = re.findall(r"<(?:script|link|img|iframe|audio|video|source)\b[^>]*>", html)
    return [
        tag
        for tag in tags
        if re.search(r"""(?:src|href)=["'](?:https?:)?//""", tag) and 'rel="canonical"' not in tag
    ]


def test_a_wrong_number_in_prose_fails_the_build_with_its_name(project: Path) -> None:
    intro = Path("book/intro.md")
    intro.write_text(intro.read_text() + "\n{num}`audit.n_usd`\n")
    with pytest.raises(StudyError, match=r"intro.md:\d+: WARNING.*audit\.n_usd.*audit\.n_used"):
        book.build("results/toy")
    assert not Path("_build/html").exists()


def test_the_contents_of_the_repository_name_every_chapter(root: Path) -> None:
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    assert [f.removeprefix("chapters/") for f in files if f.startswith("chapters/")] == list(
        CHAPTERS
    )


def test_the_published_run_is_fresh_and_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    published = sorted(path.stem for path in book.PUBLISHED.glob("*.ipynb"))
    assert published == sorted(path.stem for path in Path("notebooks").glob("*.ipynb"))
    assert book.check_published(params.load("params/published.yaml")) == []


def test_published_chapters_hold_no_machine_path(root: Path) -> None:
    for path in sorted((root / book.PUBLISHED).rglob("*")):
        if path.suffix in (".ipynb", ".json", ".csv", ".svg"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.])/(?:home|Users|root|tmp|work)/", text), path
            assert '"papermill"' not in text, path


def test_measurements_are_staged_and_those_without_results_are_said_to_be_missing(
    project: Path,
) -> None:
    results = project / "benchmarks" / "results"
    results.mkdir(parents=True)
    for name in ("__init__", "decode", "embed"):
        (project / "benchmarks" / f"{name}.py").touch()
    (results / "decode.json").write_text('{"chapter": "speed_decode", "numbers": {}}')
    staged = project / "staged"
    book.stage("results/toy", staged)
    assert (staged / "speed" / "decode.json").exists()
    settings = yaml.safe_load((staged / "_config.yml").read_text())["sphinx"]["config"]
    assert "embed" in settings["cryhear_skipped"]
    assert "decode" not in settings["cryhear_skipped"]
    read = {p for pattern in settings["cryhear_ledgers"] for p in staged.glob(pattern)}
    assert {"decode.json", "ledger.json"} == {path.name for path in read}


def test_a_chapter_that_could_not_be_asked_says_why_and_its_numbers_are_not_run(
    project: Path,
) -> None:
    folder, why = Path("results/toy/04_exploration"), "No infant has two recordings."
    source = Path("notebooks/04_exploration.ipynb")
    execute._write_refusal(source, folder, "04_exploration", {"study": "x", "seed": 1}, why)
    intro = Path("book/intro.md")
    intro.write_text(
        intro.read_text()
        + f"\nIt is {{num}}`exploration.n`, {{numref}}`fig-exploration-curve`.\n\n{DRAWN}"
    )
    page = (book.build("results/toy").parent / "chapters" / "04_exploration.html").read_text()
    assert why in page
    said = re.sub(r"<[^>]+>", "", Path("_build/html/intro.html").read_text())
    assert "It is (not run here), (figure not made here)." in said
    assert said.count("(figure not made here)") == 2
    assert "It rises" not in said


ROOT = Path(__file__).resolve().parents[2]
STUDIES: dict[str, dict[str, Any]] = {
    path.stem: {}
    for path in sorted((ROOT / "params").glob("*.yaml"))
    if path.stem not in ("protocol", "protocol-2", "data")
}
STUDIES["default, without YAMNet"] = {"representations": ["egemaps", "logmel"], "primary": "logmel"}
STUDIES["default, strict labels"] = {"labels": "strict"}
STUDIES["smoke, three chapters"] = {"chapters": ["01_audit", "03_embedding"]}


def unresolved(folder: Path) -> set[str]:
    """Keys and figures that staged pages name and a build would not find."""
    config = yaml.safe_load((folder / "_config.yml").read_text("utf-8"))["sphinx"]["config"]
    own = [*folder.glob("chapters/*/ledger.json"), *folder.glob("speed/*.json")]
    known = merge(own).keys() | merge(map(Path, config["cryhear_published"])).keys()
    pages = [*folder.glob("*.md"), *folder.glob("chapters/*.ipynb")]
    text = "\n".join(path.read_text("utf-8") for path in pages)
    quoted = set(re.findall(r"\{num\}`([a-z_]+\.[\w.-]+)", text)) - known
    numbers = {key for key in quoted if key.split(".")[0] not in config["cryhear_skipped"]}
    drawn = {
        execute.figure_label(path.parent.name, name)
        for path in [
            *folder.glob("chapters/*/ledger.json"),
            *map(Path, config["cryhear_published"]),
        ]
        for name in json.loads(path.read_text("utf-8"))["figures"]
    }
    figures = set(re.findall(r"\{numref\}`(fig-[\w-]+)`", text)) - drawn
    return numbers | {f for f in figures if f.split("-")[1] not in config["cryhear_skipped"]}


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_finds_the_numbers_and_figures_its_pages_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the published run, without what names a representation that the study has not."""
    monkeypatch.chdir(ROOT)
    study = params.load(Path("params") / f"{name.split(',')[0]}.yaml", STUDIES[name])
    run, published = tmp_path / "run", Path("book/chapters")
    left_out = {"yamnet", "egemaps", "logmel"} - set(study.representations)
    for chapter in study.chapters or CHAPTERS:
        (run / chapter).mkdir(parents=True)
        ledger = json.loads((published / chapter / "ledger.json").read_text("utf-8"))
        for part in ("numbers", "figures"):
            kept = {k: v for k, v in ledger[part].items() if not any(r in k for r in left_out)}
            ledger[part] = kept
        (run / chapter / "ledger.json").write_text(json.dumps(ledger))
        (run / f"{chapter}.ipynb").write_bytes((published / f"{chapter}.ipynb").read_bytes())
    content = study.model_dump(mode="json", exclude_unset=True)
    (run / "params.json").write_text(json.dumps(content))
    book.stage(run, tmp_path / "staged")
    book.stage(None, tmp_path / "as published")
    late = unresolved(tmp_path / "as published")  # in prose, not yet in the published ledgers
    assert unresolved(tmp_path / "staged") <= late


def test_a_number_that_a_run_should_have_stays_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    own: dict[str, Any] = {"name": "own", "source": {"derived": "data/donateacry"}}
    chapters = ["03_embedding", "09_leakage"]

    def asks_otherwise(**more: Any) -> list[str]:
        (tmp_path / "params.json").write_text(json.dumps({**own, **more}))
        return list(book.asked_otherwise(tmp_path, chapters))

    assert asks_otherwise() == []  # it asks what the published run asked
    assert asks_otherwise(leakage={"refits": 30}, seed=7) == []  # draws and seeds take nothing away
    assert asks_otherwise(leakage={"models": ["mlp"]}) == ["09_leakage"]
    assert asks_otherwise(representations=["logmel"], primary="logmel") == chapters
