"""One's own recordings, plainly named: from `corpus check` to the book."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import whole_study


def _page(project: Path, name: str) -> str:
    html = (project / "_build" / "html" / f"{name}.html").read_text(encoding="utf-8")
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_sixty_plainly_named_files_have_their_book(tmp_path: Path) -> None:
    project = whole_study.make(tmp_path)
    cries = whole_study.plainly_named(tmp_path / "cries", 60)
    checked = whole_study.cryhear(project, "corpus", "check", str(cries))
    assert checked.returncode == 0, checked.stderr
    assert "cries: No infant has two recordings" in checked.stdout
    study = whole_study.quick(project, cries)
    made = whole_study.cryhear(project, "report", str(study))
    assert made.returncode == 0, made.stdout + made.stderr
    ledgers = [json.loads(p.read_text()) for p in project.glob("results/own/*/ledger.json")]
    assert len(ledgers) == 12
    assert [ledger["refused"] for ledger in ledgers if "refused" in ledger] == []
    assert "No infant here has two recordings" in _page(project, "chapters/09_leakage")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_study_of_two_classes_says_in_each_chapter_what_cannot_be_asked(tmp_path: Path) -> None:
    project = whole_study.make(tmp_path)
    cries = whole_study.plainly_named(tmp_path / "cries", 24, ("belly_pain", "hungry"))
    checked = whole_study.cryhear(project, "corpus", "check", str(cries))
    assert "cries: No class neurological: chapters 5 to 11" in checked.stdout
    made = whole_study.cryhear(project, "report", str(whole_study.quick(project, cries)))
    assert made.returncode == 0, made.stdout + made.stderr
    for chapter in ("05_classical", "09_leakage", "11_robustness"):
        assert "cannot be asked of this study" in _page(project, f"chapters/{chapter}")
        assert "No class neurological" in _page(project, f"chapters/{chapter}")
    assert "(not run here)" in _page(project, "intro")
