"""Parameters: shared keys reach chapters, mistakes are named with the nearest right name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from cryhear import params
from cryhear.errors import ParameterError
from cryhear.models.primary import PRIMARY
from cryhear.study import verify
from cryhear.study.chapter import CHAPTERS

MINIMAL = {"name": "toy", "source": {"derived": "data/donateacry"}}


def study(**changes):
    return params.check({**MINIMAL, **changes}, params.Study, "toy.yaml")


def test_shared_keys_reach_the_chapters_that_have_them():
    made = study(seed=7, labels="strict", primary="logmel", representations=["logmel"])
    chosen = made.chapter_parameters("04_exploration")
    assert (chosen["seed"], chosen["labels"], chosen["representation"]) == (7, "strict", "logmel")
    assert made.chapter_parameters("05_classical")["representations"] == ["logmel"]
    assert chosen["study"] == "results/toy"


def test_a_chapters_own_section_wins_over_a_shared_key():
    made = study(seed=7, exploration={"seed": 9})
    assert made.chapter_parameters("04_exploration")["seed"] == 9
    assert made.chapter_parameters("05_classical")["seed"] == 7


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"explration": {}}, "did you mean 'exploration'"),
        ({"exploration": {"sede": 7}}, "did you mean 'seed'"),
        ({"exploration": {"seed": "abc"}}, "exploration.seed is 'abc'"),
        ({"exploration": {"seed": -1}}, "greater than or equal to 0"),
        ({"exploration": {"neighbours": 5.5}}, "exploration.neighbours is 5.5"),
        ({"preprocess": {"wiener_size": 4}}, "odd number"),
        ({"mlp": {"dropout": [0.7, 0.3]}}, "0 <= low <= high"),
        ({"source": {}}, "exactly one of derived, roots and synthetic"),
        ({"source": {"derived": "x", "roots": ["y"]}}, "exactly one"),
        ({"primary": "hear"}, "not among representations"),
        ({"name": "../escape"}, "name is '../escape'"),
    ],
)
def test_a_mistake_is_refused_with_what_came_and_what_was_expected(changes, expected):
    with pytest.raises(ParameterError, match=r"toy\.yaml") as caught:
        study(**changes)
    assert expected in str(caught.value)


def test_load_reads_yaml_and_lays_overrides_over_it(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, "exploration": {"seed": 1, "neighbours": 3}}))
    made = params.load(path, {"exploration.seed": 7, "mlp": {"epochs": 4}})
    assert (made.exploration.seed, made.exploration.neighbours, made.mlp.epochs) == (7, 3, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n- list\n", "expected names and values"),
        ("name: [unclosed", "cannot be read as YAML"),
        ("name: !!python/object/apply:os.system ['true']", "cannot be read as YAML"),
    ],
)
def test_a_file_that_is_no_parameter_file_is_refused(tmp_path, text, expected):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=expected):
        params.load(path)


def test_a_missing_file_names_those_that_are_there(root, monkeypatch):
    monkeypatch.chdir(root)
    with pytest.raises(ParameterError, match=r"params/default\.yaml"):
        params.load("params/nothing.yaml")


def test_every_parameter_file_of_the_project_is_valid(root):
    files = sorted((root / "params").glob("*.yaml"))
    studies = [path for path in files if not path.name.startswith("protocol")]
    assert {path.stem for path in studies} >= {
        "default", "published", "smoke", "synthetic", "original", "hear"
    }  # fmt: skip
    for path in studies:
        assert params.load(path).name == path.stem


def test_the_frozen_protocol_is_what_its_page_the_code_and_the_published_study_say(root):
    path = root / "params" / "protocol.yaml"
    page = (root / "book" / "protocol.md").read_text()
    assert hashlib.sha256(path.read_bytes()).hexdigest() in page
    frozen = yaml.safe_load(path.read_text())
    default = params.load(root / "params" / "published.yaml")
    chosen = default.chapter_parameters("09_leakage")
    assert chosen["representations"][0] == frozen["representation"] == default.primary
    assert chosen["sets"][0] == frozen["set"]
    assert chosen["labels"] == frozen["labels"]
    assert (chosen["folds"], chosen["repeats"]) == (
        frozen["folds"]["n"],
        frozen["folds"]["repeats"],
    )
    assert chosen["permutations"] == frozen["test"]["permutations"]
    assert chosen["refits"] == frozen["interval"]["draws"]
    assert chosen["seed"] == frozen["folds"]["first_seed"] == frozen["test"]["seed"]
    assert list(PRIMARY.Cs) == frozen["procedure"]["c_grid"]
    assert PRIMARY.inner_folds == frozen["procedure"]["inner_folds"]
    assert PRIMARY.explained == frozen["procedure"]["pca_variance"]
    settings = params.Preprocess().model_dump()
    assert {key: settings[key] for key in frozen["preprocess"]} == frozen["preprocess"]


def test_the_second_protocol_is_what_its_page_says_and_differs_only_where_it_says_so(root):
    path = root / "params" / "protocol-2.yaml"
    page = (root / "book" / "protocol.md").read_text()
    assert hashlib.sha256(path.read_bytes()).hexdigest() in page
    first, second = (
        yaml.safe_load((root / "params" / name).read_text())
        for name in ("protocol.yaml", "protocol-2.yaml")
    )
    for part in ("set", "labels", "minimum_duration_s", "preprocess", "pooling", "folds",
                 "estimand", "interval"):  # fmt: skip
        assert second[part] == first[part]
    assert second["procedure"]["c"] == 0.01
    assert "c_grid" not in second["procedure"]


def test_the_default_study_is_the_published_one_drawn_less_often(root):
    default, published = (
        params.load(root / "params" / f"{name}.yaml") for name in ("default", "published")
    )
    for chapter in CHAPTERS:
        ours, theirs = (study.chapter_parameters(chapter) for study in (default, published))
        changed = {key for key in theirs if key != "study" and ours[key] != theirs[key]}
        assert changed <= set(verify.DRAWN)
        assert all(ours[key] < theirs[key] for key in changed)
    assert default.model_dump(exclude={"name", "leakage", "controls"}) == published.model_dump(
        exclude={"name", "leakage", "controls"}
    )


def test_every_chapter_has_a_model_and_a_notebook_of_its_name(root):
    fields = params.Study.model_fields
    assert [n for n in fields if hasattr(fields[n].default, "study")] == [
        name.split("_", 1)[1] for name in CHAPTERS
    ]
    made = {path.stem for path in Path(root / "notebooks").glob("*.ipynb")}
    assert made == set(CHAPTERS)
