"""The README says what the published run found, and shows a figure that is there."""

from __future__ import annotations

import json
import re


def test_the_finding_in_the_readme_is_that_of_the_published_run(root):
    text = (root / "README.md").read_text()
    numbers = json.loads((root / "book/chapters/09_leakage/ledger.json").read_text())["numbers"]
    assert numbers["auc"]["low"] < 0.5 < numbers["auc"]["high"], "rewrite the README's finding"
    assert numbers["inflation_l1_l3"]["low"] > 0, "rewrite the README's finding"
    assert numbers["p"]["value"] > 0.05, "rewrite the README's finding"
    assert "was not found to rank the labels better than chance" in " ".join(text.split())


def test_every_picture_and_file_the_readme_points_to_is_there(root):
    text = (root / "README.md").read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (root / target).exists(), target
