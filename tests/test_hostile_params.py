"""Parameters that try to be more than data: text or refused, by every road they come on."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryhear import cli, params
from cryhear.errors import ParameterError, StudyError
from cryhear.study import plan

HOSTILE = {
    "tag": "!!python/object/apply:os.system ['touch pwned']",
    "module": "!!python/name:os.system",
    "no date": "2020-99-99",
    "no end": "9" * 5000,
    "no number": "!!int ''",
    "no time": "!!timestamp now",
    "no mapping": "? [a]\n: 1",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_yaml_that_is_no_plain_data_is_refused_by_file_and_by_set(text, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=r"x\.yaml cannot be read as YAML"):
        params.load(path)
    with pytest.raises(ParameterError, match=r"--set seed cannot be read as YAML"):
        cli.overrides([f"seed={text}"])


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("!&*[]{}:,-?|>'\"%@`#\n ab0.1~<=ptimesoflt"), max_size=40))
def test_any_text_is_data_or_refused(text):
    try:
        read = params.parse(text, "it")
    except ParameterError:
        return
    assert isinstance(read, (dict, list, set, str, int, float, bytes, bool, type(None))) or hasattr(
        read, "isoformat"
    )


def test_config_gets_its_numbers_back():
    given = {"seed": 7, "exploration": {"seed": "7", "umap_min_dist": "0.5"}, "sets": ["a", "1"]}
    assert params.typed(given) == {
        "seed": 7, "exploration": {"seed": 7, "umap_min_dist": 0.5}, "sets": ["a", 1]
    }  # fmt: skip


@pytest.mark.parametrize(
    "value", ["x; touch pwned", "$(touch pwned)", "`touch pwned`", "a\nb", 'a"; import os', "../up", "a'b"]
)  # fmt: skip
def test_names_that_reach_a_shell_or_a_path_are_refused(value):
    source = {"derived": "."}
    with pytest.raises(ParameterError, match="name is"):
        params.check({"name": value, "source": source}, params.Study, "it")
    with pytest.raises(ParameterError, match="set is"):
        params.check({"name": "x", "set": value, "source": source}, params.Study, "it")
    with pytest.raises(ParameterError, match="representations"):
        params.check(
            {"name": "x", "representations": [value], "source": source}, params.Study, "it"
        )


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_no_parameter_is_nan_or_infinite(number):
    for section in (
        {"augment": {"stretch_rate": [1.0, number]}},
        {"preprocess": {"overlap": number}},
    ):
        with pytest.raises(ParameterError, match=r"finite number|less than"):
            params.check({"name": "x", "source": {"derived": "."}, **section}, params.Study, "it")


def test_a_message_is_short_whatever_came():
    held: list = []
    held.append(held)
    wide = {"name": "x", "source": {"derived": "."}, "chapters": [held] * 500}
    with pytest.raises(ParameterError, match="and 492 more") as caught:
        params.check(wide, params.Study, "it")
    assert len(str(caught.value)) < 2000


def test_papermill_injects_literals_only(root):
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    hostile = "x\"\nimport os\nos.system(\"touch pwned\")\n''' \\"
    notebook = load_notebook_node(str(root / "notebooks" / "04_exploration.ipynb"))
    made = parameterize_notebook(notebook, {"set": hostile, "study": hostile})
    cell = next(c for c in made.cells if "injected-parameters" in c.metadata.get("tags", []))
    found = {n.targets[0].id: ast.literal_eval(n.value) for n in ast.parse(cell.source).body}
    assert found == {"set": hostile, "study": hostile}


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_audit.ipynb").write_text("{}")
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of(project, source):
    (project / "x.yaml").write_text(f"name: x\nsource: {source}\n")
    return plan.Plan.of("x.yaml")


def test_a_folders_name_is_no_wildcard_and_no_bytes_stop_its_listing(project):
    root = project / "cries {x} $(touch pwned)"
    (root / "deeper").mkdir(parents=True)
    (root / "a.wav").symlink_to("a.wav")
    (root / "deeper" / "ok.wav").write_bytes(b"x")
    with open(bytes(root) + b"/\xff.wav", "wb") as handle:
        handle.write(b"x")
    made = of(project, f"{{roots: ['{root}']}}")
    assert "{" not in made.part("source", "seed") + made.listing()
    before = made.listing()
    (root / "new.wav").write_bytes(b"x")
    assert made.listing() != before
    assert made.part("source") != of(project, "{roots: [notebooks]}").part("source")


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        ("{derived: 'da{t}a'}", StudyError, "braces"),
        ("{derived: notebooks, other: [nowhere]}", StudyError, "nowhere, which is not a folder"),
        ('{derived: "a\\0b"}', StudyError, "not a folder"),
        ("{synthetic: {infants: .nan}}", ParameterError, "infants is nan"),
        ("{synthetic: {infant: 3}}", ParameterError, "did you mean 'infants'"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_before_anything_runs(project, source, error, says):
    (project / "da{t}a").mkdir()
    with pytest.raises(error, match=says):
        of(project, source)
    assert not (project / "results").exists()


def test_a_study_outside_the_project_says_where_to_run_it(tmp_path, monkeypatch):
    (tmp_path / "x.yaml").write_text("name: x\nsource: {synthetic: {}}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match="holds no Snakefile and notebooks"):
        plan.Plan.of("x.yaml")
    assert [p.name for p in tmp_path.iterdir()] == ["x.yaml"]


TWICE = {
    "section": ("seed: 1\nleakage: {folds: 3}\nseed: 2", 3, "seed"),
    "nested": ("leakage:\n  folds: 3\n  repeats: 2\n  folds: 4\n", 4, "folds"),
    "in one line": ("leakage: {folds: 3, folds: 4}", 1, "folds"),
    "in a list": ("a:\n- b: 1\n  b: 2\n", 3, "b"),
    "quoted otherwise": ("seed: 1\n'seed': 2\n", 2, "seed"),
    "written otherwise": ("1: a\n0x1: b\n", 2, "1"),
    "json": ('{"name": "a",\n "seed": 1,\n "seed": 1}', 3, "seed"),
}


@pytest.mark.parametrize(("text", "line", "name"), TWICE.values(), ids=TWICE)
def test_a_name_given_twice_is_refused_with_its_line(text, line, name, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=rf"x\.yaml: line {line} gives '?{name}'? again"):
        params.load(path)
    if "\n" not in text:
        with pytest.raises(ParameterError, match=f"line {line} gives '{name}' again"):
            cli.overrides([f"x={{{text}}}"])


def test_the_same_name_in_two_sections_is_no_name_given_twice():
    text = "leakage: {folds: 3}\ncrossvalidation: {folds: 4}\n"
    assert params.parse(text, "x") == {"leakage": {"folds": 3}, "crossvalidation": {"folds": 4}}


@pytest.mark.parametrize(
    "settings",
    [
        ["seed=1", "seed=2"],
        ["leakage={folds: 3}", "leakage.folds=4"],
        ["source.derived=a", "source={roots: [b], derived: c}"],
    ],
)
def test_a_parameter_set_twice_is_refused(settings):
    with pytest.raises(ParameterError, match="twice"):
        cli.overrides(settings)
    assert len(cli.overrides(["leakage={folds: 3}", "leakage.repeats=4"])) == 2
