"""Chapter 12 with a recording of one's own, and with one whose name would like to be markup."""

from __future__ import annotations

import html.parser
import shutil
from pathlib import Path

import made_bundle
import pytest
import soundfile
import toy

from cryhear.files import read_json
from cryhear.prediction import bundle

HOSTILE = "a\"b'\n<img src=x onerror=alert(1)>$x$ {num}`leakage.auc`.wav"
TOC = """format: jb-book
root: intro
parts:
  - caption: Use
    chapters:
      - file: chapters/12_recording
      - file: glossary
      - file: references
      - file: figure_index
"""
MAKE = """
from cryhear import params
from cryhear.files import write_json
from cryhear.study import book, execute
study = params.load("params/toy.yaml", {{"recording.recording": {path!r}}})
write_json(study.folder / "params.json", study.model_dump(mode="json", exclude_unset=True))
execute.run_chapter(study.folder / "params.json", "12_recording")
book.build(study.folder, "_build")
"""


class Page(html.parser.HTMLParser):
    """What a page holds: pictures, handlers, scripts of its own, and its text."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.handlers, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.handlers += [value for name, value in attributes if name == "onerror"]
        if tag == "img":
            self.pictures.append(named.get("src", ""))

    def handle_data(self, data):
        self.text.append(data)


def project(folder: Path) -> Path:
    """The repository's own chapter 12 in a project of its own, with a made-up model."""
    for name in ("_config.yml", "requirements.lock"):
        shutil.copyfile(toy.ROOT / name, folder / name)
    (folder / "_toc.yml").write_text(TOC)
    for name in ("cryhear", "notebooks", "params"):
        shutil.copytree(
            toy.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copytree(
        toy.ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("chapters", "api")
    )
    toy.strip_prose(folder)
    for page in (folder / "book").glob("*.md"):
        if page.stem not in TOC:
            page.unlink()
    (folder / "data").mkdir()
    shutil.copytree(toy.ROOT / "data" / "gate", folder / "data" / "gate")
    (folder / "params" / "toy.yaml").write_text(
        "name: toy\nsource: {derived: data}\nchapters: [12_recording]\n"
    )
    bundle.write(made_bundle.make(), folder / "results" / "toy" / "model")
    return folder


@pytest.mark.slow
def test_a_hostile_name_is_never_markup_in_the_built_page(tmp_path):
    folder = project(tmp_path)
    (folder / "in").mkdir()
    path = folder / "in" / HOSTILE
    soundfile.write(path, made_bundle.cries(5.0), 16_000)
    done = toy.cryhear(folder, MAKE.format(path=str(path)))
    assert done.returncode == 0, done.stdout + done.stderr
    ledger = read_json(folder / "results" / "toy" / "12_recording" / "ledger.json")
    name = ledger["numbers"]["name"]["value"]
    assert name == "a-b-img-src-x-onerror-alert-1-x-num-leakage.auc-.wav"
    for page in (folder / "_build" / "html").rglob("*.html"):
        seen = Page(page.read_text(encoding="utf-8"))
        assert seen.handlers == []
        assert "x" not in seen.pictures
    chapter = Page((folder / "_build/html/chapters/12_recording.html").read_text(encoding="utf-8"))
    said = "".join(chapter.text)
    assert f"The recording here is {name}" in " ".join(said.split())
    # The parameters cell shows what was given, as code.
    assert "<img src=x onerror=alert(1)>$x$" in said
