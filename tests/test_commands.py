"""Every command that the README, CONTRIBUTING and the book print runs as printed, or a cheaper form does.

Commands are collected from shell blocks and inline code of the Markdown, the notebooks' prose, and the
docstrings and messages of the code (they stand on the book's pages of the library). `FORMS` says for each
what is run here: itself, or in its place a dry run, its `--help` or a small case, with the reason. A
command that no form takes fails the test that collects them, so none is passed over in silence.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import made_bundle
import nbformat
import pytest
import soundfile

import cryhear
from cryhear import cli
from cryhear.prediction import bundle

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = (
    "arecord", "cd", "conda", "cryhear", "export", "git", "jupyter", "make", "mamba", "papermill", "pip",
    "pip3", "pre-commit", "pytest", "python", "python3", "python3.11", "snakemake", "source", "uv", "wget",
    "curl", "sudo", "apt-get", "ffmpeg", "sox", "hf",
)  # fmt: skip
"""First words of inline code that is a command; in a shell block every line is one."""

Check = Callable[[Path, str], None]
"""Look at a command (text) from a folder that is like a clone; raise where it would not run."""


def printed() -> dict[str, str]:
    """Each command that is printed, with the file where it was found first."""
    found: dict[str, str] = {}
    for path, text in _texts():
        name = str(path.relative_to(ROOT))
        for block in re.findall(r"^ *```(?:bash|sh|shell|console)\n(.*?)^ *```", text, re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if command := _bare(line):
                    found.setdefault(command, name)
        fenced = re.compile(r"^ *```.*?^ *```", re.M | re.S)
        for code in re.findall(r"(?<!`)(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)", fenced.sub("", text)):
            command = _bare(code[1].replace("\n", " "))
            words = command.removeprefix(".venv/bin/").split()
            if len(words) > 1 and words[0] in PROGRAMS and "{" not in command.replace("'{", ""):
                found.setdefault(command, name)
    return found


def _bare(line: str) -> str:
    """A command without its comment and spare spaces."""
    return " ".join(re.sub(r"(^|\s)# .*", "", line.strip().removeprefix("$ ")).split())


def _texts() -> Iterator[tuple[Path, str]]:
    """Markdown, notebooks' prose, and the strings of the code (docstrings and messages)."""
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    pages += sorted(p for p in (ROOT / "book").rglob("*.md") if "chapters" not in p.parts)
    for path in pages:
        yield path, path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        yield path, "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    for folder in ("cryhear", "benchmarks", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name.startswith("test_"):
                continue
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            strings = (n.value for n in nodes if isinstance(n, ast.Constant))
            yield path, "\n\n".join(s for s in strings if isinstance(s, str))


@dataclass(frozen=True)
class Form:
    """What is run for the commands that a pattern takes whole, and why not the command itself."""

    pattern: str
    check: Check
    why: str


def run(instead: str | None = None, ends: tuple[int, ...] = (0,)) -> Check:
    """Run the command, or `instead`, in which ``{0}`` is the command."""

    def check(clone: Path, command: str) -> None:
        line = command if instead is None else instead.format(command)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PYTHONPATH": str(clone), "PATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"], cwd=clone, env=environment,
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode in ends, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"

    return check


def swapped(pattern: str, by: str, ends: tuple[int, ...] = (0,)) -> Check:
    """Run the command with what `pattern` finds replaced."""

    def check(clone: Path, command: str) -> None:
        changed = re.sub(pattern, by, command)
        assert changed != command, f"{pattern} is not in {command}"
        run(ends=ends)(clone, changed)

    return check


def accepted(clone: Path, command: str) -> None:
    """The parser takes the command line, its study file and overrides."""
    words = shlex.split(command.split("|")[-1])
    given = cli.parser().parse_args(words[1:])
    if hasattr(given, "set"):
        cryhear.load_study(clone / given.params, cli.overrides(given.set))
    elif hasattr(given, "params"):
        cryhear.load_study(clone / given.params)


def extras_are_there(clone: Path, command: str) -> None:
    """What follows `-e` is the clone, and each extra is one of pyproject.toml."""
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = re.fullmatch(r"pip install (?:--no-deps )?-e '?\.(?:\[([\w,-]+)\])?'?", command)
    assert found, f"{command}: not an install of the clone"
    assert set(filter(None, (found[1] or "").split(","))) <= known["optional-dependencies"].keys()


def locked(clone: Path, command: str) -> None:
    """A pinned package is pinned as in the lock."""
    pins = re.findall(r"[\w.-]+==[\w.]+", command)
    assert pins
    assert set(pins) <= set((ROOT / "requirements.lock").read_text().splitlines())


def plugin_of_the_cluster(clone: Path, command: str) -> None:
    """The plugin is that of the executor which the command for a cluster names."""
    executors = {m[1] for c in PRINTED if (m := re.search(r"snakemake .*--executor (\S+)", c))}
    assert {command.split("-plugin-")[1]} == executors


def helped_where_there_is(clone: Path, command: str) -> None:
    """As `helped`, where the extra that brings the program is installed."""
    beside = Path(sys.executable).with_name(command.split()[0])
    if not beside.exists():
        pytest.skip(f"{beside.name} is not in this environment: it comes with the extra `hear`")
    run(f"{beside} {command.split(maxsplit=1)[1]} --help")(clone, command)


def file_is_there(clone: Path, command: str) -> None:
    """The file that the command names is there."""
    named = [word for word in shlex.split(command)[1:] if re.search(r"\.yml$|^tests/", word)]
    assert named
    assert all((ROOT / name).exists() for name in named)


def python_of_the_lock(clone: Path, command: str) -> None:
    """The interpreter is the one the lock was made for; `venv` is its own module."""
    python = command.split()[0].removeprefix("python")
    assert f"(Python {python}, " in (ROOT / "requirements.lock").read_text()
    run(f"{shlex.quote(sys.executable)} -m venv --help")(clone, command)


def parameters_are_there(clone: Path, command: str) -> None:
    """Papermill takes the command line; the notebook is there and knows each parameter."""
    import papermill
    from papermill.cli import papermill as program

    given = program.make_context("papermill", shlex.split(command)[1:]).params
    known = papermill.inspect_notebook(str(clone / given["notebook_path"]))
    assert {name for name, _ in given["parameters"]} <= known.keys()


def module_is_there(clone: Path, command: str) -> None:
    """The module can be found; its own tests run it."""
    name = re.findall(r"-m ([\w.]+)", command)[0]
    assert find_spec(name) is not None
    if (ROOT / name.replace(".", "/")).is_dir():
        assert find_spec(f"{name}.__main__") is not None


def known(clone: Path, command: str) -> None:
    """The parser knows the command, and tells of it."""
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args([*command.split()[1:], "--help"])
    assert ended.value.code == 0


def helped(clone: Path, command: str) -> None:
    """The command or module tells how it is used."""
    words = itertools.takewhile(
        lambda word: not re.search(r"[A-Z\[.]{2}|^-(?!m$)", word), command.split()
    )
    run(f"{' '.join(words)} --help")(clone, command)


LONG = "takes minutes or writes what is published: the parser takes it, and its study file is read"
FORMS = (
    Form(r"make help", run(), "itself"),
    Form(r"make .*", run("{0} --dry-run"), "a dry run: the target itself takes minutes"),
    Form(r"cryhear doctor", run(), "itself"),
    Form(r"cryhear (corpus check|corpus fetch|embed|predict|listen)", known, "named alone: its help"),
    Form(r"cryhear corpus check ROOT", accepted, "a word for a folder: the parser takes it"),
    Form(r"cryhear (corpus check|embed) .*", run(), "itself, on made-up recordings"),
    Form(r"cryhear predict .*", run(), "itself, on made-up recordings and a made-up model"),
    Form(r"cryhear listen cry\.wav", run(), "itself"),
    Form(
        r"cryhear listen -( .*)?", run("{0} < cry.wav"), "itself, from a file instead of a recorder"
    ),
    Form(
        r"arecord .*\| cryhear listen - --format s16le",
        swapped(r"arecord [^|]*", "head -c 160000 /dev/zero "),
        "five seconds of silence for a microphone",
    ),
    Form(r"cryhear (report|study|data|train|verify|publish|book|pdf)\b.*", accepted, LONG),
    Form(r"cryhear corpus fetch .*", accepted, "needs a network; the parser takes it"),
    Form(r"papermill .*", parameters_are_there, "a chapter takes a minute: its parameters are looked up"),
    Form(r"snakemake (book|derived|chapters) .*",
         swapped(r"--executor \S+ ", "--dry-run --quiet all "), "a dry run without the cluster's plugin"),
    Form(r"(\.venv/bin/)?pytest .*", file_is_there, "this very run collects that file"),
    Form(r"(\.venv/bin/)?pre-commit install", run("pre-commit validate-config"), "writes to .git"),
    Form(r"(\.venv/bin/)?python -m tests\.fuzz --runs \d+", swapped(r"--runs \d+", "--runs 16"),
         "itself, with fewer files"),
    Form(r"(\.venv/bin/)?python -m tests\.faults --kills \d+ --studies \d+",
         swapped(r"--kills \d+ --studies \d+", "--kills 1 --studies 0"), "itself, with one kill"),
    Form(r"(\.venv/bin/)?python -m benchmarks( --resume)?", run("{0} --list"), "hours: listed only"),
    Form(r"python -m (cryhear|benchmarks)\b.*", module_is_there, "the Snakefile's, or long"),
    Form(r"python -m tests\.[\w.]+.*", helped, "long: its help"),
    Form(r"python3\.\d+ -m venv \.venv", python_of_the_lock, "that Python need not be here"),
    Form(r"\.venv/bin/pip install .*==.*", locked, "needs a network; held against the lock"),
    Form(r"pip install (--no-deps )?-e .*", extras_are_there, "needs a network; extras are there"),
    Form(r"pip install snakemake-executor-plugin-\w+", plugin_of_the_cluster, "needs a network"),
    Form(r"hf auth login", helped_where_there_is, "asks for a token: its help"),
    Form(r"conda env create -f .*", file_is_there, "`test_environment` tries the file"),
    Form(r"source \.venv/bin/activate", run(), "itself"),
    Form(r"export \w+=.*", run(), "itself"),
)  # fmt: skip


def form_of(command: str) -> Form | None:
    return next((form for form in FORMS if re.fullmatch(form.pattern, command)), None)


PRINTED = printed()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a clone with an environment, recordings, a study of one's own and a trained model."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("benchmarks", "book", "cryhear", "data", "notebooks", "tests"):
        (folder / name).symlink_to(ROOT / name)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    shutil.copytree(ROOT / "params", folder / "params")
    for name in ("mine", "x"):
        (folder / "params" / f"{name}.yaml").write_text(own_study().replace("mine", name, 1))
    (folder / ".venv").symlink_to(sys.prefix)
    for place in (".", "folder", "path/to/cries"):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            name = "cry.wav" if number == 0 else f"hungry_{number}.wav"
            soundfile.write(folder / place / name, made_bundle.cries(7, number), made_bundle.RATE)
    bundle.write(made_bundle.make(), folder / "results" / "default" / "model")
    return folder


def own_study() -> str:
    """The study of one's own that the page on running it again shows."""
    text = (ROOT / "book" / "rerun.md").read_text(encoding="utf-8")
    [study] = re.findall(r"```yaml\n(name: mine\n.*?)```", text, re.S)
    return study


def test_commands_are_found_in_every_place_that_prints_some() -> None:
    assert {"README.md", "CONTRIBUTING.md", "book/rerun.md", "book/use.md", "book/speed.md"} <= set(
        PRINTED.values()
    )
    assert len(PRINTED) > 60


def test_every_command_has_a_form_in_which_it_is_tried() -> None:
    unknown = {command: place for command, place in PRINTED.items() if form_of(command) is None}
    assert not unknown, "say in FORMS how each of these is tried"


def test_every_form_takes_a_command() -> None:
    used = {form_of(command) for command in PRINTED}
    assert [form.pattern for form in FORMS if form not in used] == []


@pytest.mark.parametrize("command", [c for c in PRINTED if form_of(c)])
def test_a_printed_command_runs(command: str, clone: Path) -> None:
    form_of(command).check(clone, command)


def test_no_message_names_a_package_that_is_not_published() -> None:
    """The project is not on the package index: `pip install cryhear` would fetch anyone's."""
    wrong = re.compile(r"pip3? install (?:-U )?['\"]?cryhear\b")
    places = [str(path) for path, text in _texts() if wrong.search(text)]
    assert places == []
