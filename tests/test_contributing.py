"""What CONTRIBUTING.md says of the house is so: its packages, how imports point, the files it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cryhear"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ORDER = (
    "errors", "files", "params", "progress", "pieces",
    "audio", "corpus", "embedding", "models", "evaluation", "analysis", "figures", "prediction",
    "study", "recording_commands", "cli",
)  # fmt: skip
"""Modules at the root and packages, in the order of the tour: each imports only from those before it."""


def modules() -> dict[str, Path]:
    """Every module of the library by its dotted name below ``cryhear``."""
    found = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


def imported() -> dict[str, set[str]]:
    """Modules that each module imports, at its head or inside a function."""
    known = modules()
    found: dict[str, set[str]] = {name: set() for name in known}
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cryhear"):
                below = str(node.module).removeprefix("cryhear").lstrip(".")
                inside = [f"{below}.{alias.name}".lstrip(".") for alias in node.names]
                names = [name if name in known else below for name in inside]
            elif isinstance(node, ast.Import):
                names = [a.name.removeprefix("cryhear.") for a in node.names]
            found[module] |= {name for name in names if name in known and name != module}
    return found


def test_the_tour_names_every_package_in_order() -> None:
    there = {name.split(".")[0] for name in modules()} - {"__init__", "__main__"}
    assert there == set(ORDER), "mend ORDER and the tour in CONTRIBUTING.md"
    tour = TEXT.split("## The tour of the house")[1].split("\n## ")[0]
    packages = [name for name in ORDER if (PACKAGE / name).is_dir()]
    named = [name for name in re.findall(r"`(\w+)`", tour) if name in packages]
    assert named == packages


def test_packages_import_only_from_those_before_them() -> None:
    place = {name: number for number, name in enumerate(ORDER)}
    wrong = [
        f"{module} imports {other}"
        for module, others in imported().items()
        for other in sorted(others)
        if module not in ("__init__", "__main__")
        and place[other.split(".")[0]] > place[module.split(".")[0]]
    ]
    assert not wrong


def test_no_import_leads_in_a_circle() -> None:
    left = {name: others for name, others in imported().items() if name != "__init__"}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"a circle among {sorted(left)}"


def test_every_package_has_its_folder_of_tests_and_its_page() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = [entry for part in toc["parts"] for entry in part["chapters"]]
    [pages] = [entry["sections"] for entry in entries if entry["file"] == "api"]
    packages = [name for name in ORDER if (PACKAGE / name).is_dir()]
    assert [page["file"] for page in pages] == ["api/ground", *(f"api/{p}" for p in packages)]
    assert all(list((ROOT / "tests" / name).glob("test_*.py")) for name in packages)


def guide() -> str:
    """The part that says how to add something."""
    return TEXT.split("## How to add something")[1].split("\n## ")[0]


def test_the_ways_to_add_something_are_there() -> None:
    ways = re.findall(r"^### An? (\w+)$", guide(), re.M)
    assert ways == ["corpus", "representation", "model", "figure", "chapter"]


def test_the_files_and_names_that_the_guide_points_to_exist() -> None:
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", guide())
    paths = [s for s in spans if "/" in s and not re.search(r"[ {(]", s)]
    tested = re.findall(r"`pytest (\S+)`", guide())
    assert len(paths) > 10
    assert len(tested) == 5
    assert [p for p in [*paths, *tested] if not (ROOT / p).exists()] == []
    files = [p for p in paths if p.endswith((".py", ".yml"))]
    text = "\n".join((ROOT / p).read_text(encoding="utf-8") for p in files)
    names = [s for s in spans if re.fullmatch(r"@?[A-Za-z_]+", s)]
    assert {"REPRESENTATIONS", "CARDS", "Representation", "MEMBERS", "EXAMPLES", "CHAPTERS"} <= {
        *names
    }
    assert [name for name in names if name.lstrip("@") not in text] == []
