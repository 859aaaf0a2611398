"""No command writes outside its output folder, or reaches the network, unless it says so.

Every Python process of a command, however deep, tells what it opens for writing and whom it calls; the
home folder, the working folder and the temporary folder are looked at afterwards, for what libraries of C
write without being heard.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import made_bundle
import pytest
import soundfile
import toy

from cryhear.prediction import bundle

HOOK = """
import json, os, sys

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PATHS = {"os.mkdir": 1, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.truncate": 1, "os.link": 2,
         "os.symlink": 2, "os.chmod": 1}
DIR_FD = {"os.mkdir": 2, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.link": 2,
          "os.symlink": 2, "os.chmod": 2}
CALLS = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")
log = os.open(os.environ["SANDBOX_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def tell(kind, what):
    os.write(log, (json.dumps([kind, what]) + "\\n").encode())

def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)) and args[2] & WRITING:
        tell("wrote", os.path.abspath(os.fsdecode(args[0])))
    elif event in DIR_FD and args[DIR_FD[event]] != -1:
        pass  # a name below an open folder, which was opened by its path: seen in what is left behind
    elif event in PATHS:
        for path in args[:PATHS[event]]:
            if isinstance(path, (str, bytes, os.PathLike)):
                tell("wrote", os.path.abspath(os.fsdecode(path)))
    elif event in CALLS:
        tell("called", repr(args[1] if event in CALLS[:2] else args[0]))

sys.addaudithook(hook)
"""
LOOPBACK = ("127.0.0.1", "localhost", "::1", "None")
"""A notebook's kernel is spoken to over the machine's own loopback."""


class Sandbox:
    """A command in a process with a home, a working folder and a temporary folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log.jsonl"
        for name in ("hook", "home", "work", "tmp"):
            (folder / name).mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(HOOK)
        self.written: set[Path] = set()
        self.called: list[str] = []

    def run(self, *arguments: str, code: int = 0, cwd: Path | None = None, before: str = "") -> str:
        """Run a command; what it wrote and whom it called is kept."""
        library = cwd if cwd and (cwd / "cryhear").is_dir() else Path(toy.ROOT)
        environment = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LD_LIBRARY_PATH")},
            "HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp"),
            "SANDBOX_LOG": str(self.log), "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{self.folder / 'hook'}{os.pathsep}{library}",
        }  # fmt: skip
        program = (
            f"{before}\nfrom cryhear.cli import main; raise SystemExit(main({[*arguments]!r}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=cwd or self.folder / "work", env=environment,
            capture_output=True, text=True, timeout=500,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        for line in self.log.read_text().splitlines():
            kind, what = json.loads(line)
            self.written.add(Path(what)) if kind == "wrote" else self.called.append(what)
        return done.stdout

    def check(self, *allowed: Path) -> None:
        """Nothing was written but below `allowed` and the temporary folder, which is empty again."""
        places = (*allowed, self.folder / "tmp", Path("/dev"))
        outside = [p for p in self.written if not any(p.is_relative_to(place) for place in places)]
        assert outside == []
        assert [c for c in self.called if not any(host in c for host in LOOPBACK)] == []
        for name in ("home", "work", "tmp"):
            found = [p for p in (self.folder / name).rglob("*") if not p.is_dir()]
            assert [p for p in found if not any(p.is_relative_to(place) for place in allowed)] == []


@pytest.fixture
def sandbox(tmp_path):
    return Sandbox(tmp_path)


@pytest.fixture
def cries(tmp_path):
    folder = tmp_path / "cries"
    folder.mkdir()
    for i in range(2):
        soundfile.write(folder / f"{i}.wav", made_bundle.cries(3.0, i), 16_000)
    return folder


@pytest.fixture
def model(tmp_path):
    return bundle.write(made_bundle.make(), tmp_path / "model")


def test_the_sandbox_hears_writing_and_calling(sandbox, tmp_path):
    deep = f"open({str(tmp_path / 'deep.txt')!r}, 'w')"
    program = (
        "import socket, subprocess, sys\nopen('here.txt', 'w').write('x')\n"
        "s = socket.socket(); s.settimeout(0.1)\n"
        "try: s.connect(('192.0.2.1', 9))\nexcept OSError: pass\n"
        f"subprocess.run([sys.executable, '-c', {deep!r}])"
    )
    sandbox.run("--version", before=program)
    assert {tmp_path / "work" / "here.txt", tmp_path / "deep.txt"} <= sandbox.written
    assert any("192.0.2.1" in call for call in sandbox.called)
    with pytest.raises(AssertionError):
        sandbox.check()


def test_predict_listen_doctor_and_check_write_nothing(sandbox, cries, model):
    given = ("--bundle", str(model), "--gate", "logmel")
    assert sandbox.run("predict", str(cries), "--json", *given).startswith("[")
    sandbox.run("listen", str(cries / "0.wav"), *given)
    assert "Representations" in sandbox.run("doctor")
    assert "unlabelled" in sandbox.run("corpus", "check", str(cries), "--jobs", "2")
    sandbox.check()


def test_embed_and_train_write_where_they_are_told(sandbox, cries, tmp_path):
    store, out = tmp_path / "store", tmp_path / "out" / "model"
    sandbox.run("embed", str(cries), "--representation", "logmel", "--out", str(store))
    made = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nimport made_bundle\n"
        "from cryhear.prediction import train\ntrain.study_of = lambda *given: None\n"
        "train.train = lambda *given: made_bundle.make()"
    )
    sandbox.run("train", "--out", str(out), before=made)
    assert bundle.read(out).card["name"] == "made"
    sandbox.check(store, tmp_path / "out")


def test_a_command_that_fails_writes_nothing(sandbox, tmp_path):
    sandbox.run("predict", "cry.wav", code=1)
    sandbox.run("train", "--out", "model", code=1)
    sandbox.run("study", "params/none.yaml", code=1)
    sandbox.run("verify", "results/none", code=1)
    sandbox.run("embed", "nowhere", "--representation", "logmel", "--out", "store", code=1)
    sandbox.check()


@pytest.mark.slow
def test_a_study_stays_in_its_run(sandbox, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    project = toy.make(folder)
    sandbox.run("study", "params/toy.yaml", "--cores", "1", cwd=project)
    run = project / "results" / "toy"
    assert (run / "04_exploration" / "ledger.json").exists()
    # As the book says: Snakemake keeps records beside the Snakefile, and libraries their own at home.
    sandbox.check(project / "results", project / ".snakemake", tmp_path / "home")
