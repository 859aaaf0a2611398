"""What can run here, what cannot and why, and what to do about it: `cryhear doctor`, one screen."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cryhear import __version__
from cryhear.embedding import availability, hear, hear_pytorch
from cryhear.errors import CryhearError, how_to_install
from cryhear.prediction import bundle, gate, predict
from cryhear.progress import printable

PACKAGES = {
    "core": ("numpy", "scipy", "pandas", "scikit-learn", "soundfile", "soxr", "av", "safetensors"),
    "yamnet": ("ai-edge-litert",),
    "egemaps": ("opensmile",),
    "hear": ("tensorflow", "huggingface-hub"),
    "hear-pytorch": ("torch", "transformers"),
    "mlp": ("torch", "skorch"),
    "report": ("jupyter-book", "papermill", "snakemake", "umap-learn", "matplotlib"),
}
"""Packages by the extra that installs them."""

HUB = "https://huggingface.co"
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
GIGABYTE = 1 << 30
LACKING = re.compile(r"\bmissing \S|\bcannot run:|^\w+: none\b")
"""What a line says where something is not there."""
HANGING = 15
"""Columns by which a line that goes on is set in: what a name and its colon take."""


def report(lacking_only: bool = False, places: bool = False) -> str:
    """Everything in one screen; no token is read beyond whether there is one, none is printed.

    Parameters
    ----------
    lacking_only : bool
        Only lines that say what is missing or cannot run.
    places : bool
        Also where the interpreter, the library, the gate and downloaded weights lie.
    """
    sections = [
        ("", [f"cryhear {__version__}, Python {platform.python_version()}, {sys.platform}"]),
        ("Packages", _packages()),
        ("Representations", _representations()),
        ("HeAR", [hear_access()]),
        ("For new recordings", [f"gate: {_gate()}", f"model: {_bundle()}"]),
        ("Machine", [_machine()]),
        *([("Places", _places())] if places else []),
    ]
    if lacking_only:
        kept = [
            (title, [line for line in found if LACKING.search(line)]) for title, found in sections
        ]
        sections = [(title, found) for title, found in kept if found]
    wide = shutil.get_terminal_size((100, 24)).columns
    lines = []
    for title, found in sections:
        lines += [title] * bool(title)
        for line in found:
            lines += textwrap.wrap(
                line, wide, initial_indent="  " * bool(title), subsequent_indent=" " * HANGING,
                break_long_words=False, break_on_hyphens=False, drop_whitespace=True,
            )  # fmt: skip
    return "\n".join(lines)


def installed(package: str) -> str:
    """A package's version; '' where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _packages() -> list[str]:
    lines = []
    for extra, names in PACKAGES.items():
        missing = [name for name in names if not installed(name)]
        there = ", ".join(f"{name} {installed(name)}" for name in names if name not in missing)
        how = how_to_install("" if extra == "core" else extra)
        lack = f"missing {', '.join(missing)}: in a clone, {how}" if missing else ""
        lines.append(f"{extra:13}" + "; ".join(filter(None, [there, lack])))
    return lines


def _representations() -> list[str]:
    lines = []
    for name, (here, what) in availability().items():
        if what.startswith("gated weights. "):
            what = "gated weights, see HeAR"  # the steps are the same for both, and stand below
        lines.append(f"{name:13}{'runs' if here else 'cannot run'}: {what}")
    return lines


def hear_access() -> str:
    """Whether there is what access to HeAR's gated weights takes, and the steps to it."""
    token = any(os.environ.get(name) for name in TOKENS) or _token_file().is_file()
    tensorflow, pytorch = hear.RELEASE, hear_pytorch.RELEASE
    steps = (
        f"accept the terms at {HUB}/{tensorflow.repository}, then `hf auth login`, then cryhear report "
        f"params/hear.yaml; or set {tensorflow.variable} to a folder that holds the weights. "
        f"{HUB}/{pytorch.repository} is gated separately: accept there too for hear-pytorch "
        f"({pytorch.variable}). hear needs {tensorflow.package} {tensorflow.least} or newer "
        f"({tensorflow.why})"
    )
    return ("logged in to the model hub; " if token else "not logged in to the model hub; ") + steps


def _token_file() -> Path:
    home = Path(
        os.environ.get("HF_HOME") or Path(os.path.expanduser("~")) / ".cache" / "huggingface"
    )
    return Path(os.environ.get("HF_TOKEN_PATH") or home / "token")


def _gate() -> str:
    try:
        chosen = gate.load("auto")
    except CryhearError as error:
        return f"none: {error}"
    how = (
        "YAMNet's own scores"
        if chosen and chosen.name == "yamnet"
        else "log-mel, shipped in data/gate"
    )
    return f"{how}, threshold {chosen.threshold:.3g}" if chosen else "none"


def _bundle() -> str:
    if not (predict.BUNDLE / bundle.CARD).exists():
        return f"none yet in {predict.BUNDLE}: `cryhear train` makes it, or the first `cryhear predict`"
    try:
        card = bundle.read(predict.BUNDLE).card
        note = predict.standing_note(card)
    except CryhearError as error:
        return str(error)
    return f"{predict.BUNDLE}: {printable(card['name'])}. {note}"


def _places() -> list[str]:
    lying = {
        "python": sys.executable, "library": Path(__file__).parents[1], "gate": gate.FOLDER,
        "model hub": _token_file().parent, "model": predict.BUNDLE.resolve(),
    }  # fmt: skip
    return [f"{name:13}{printable(str(place))}" for name, place in lying.items()]


def _machine() -> str:
    free = shutil.disk_usage(Path.cwd()).free / GIGABYTE
    lines = [f"{os.cpu_count()} cores", f"disk {free:.1f} GB free here"]
    try:
        pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIGABYTE
        lines.append(f"memory {pages:.1f} GB free")
    except (ValueError, OSError, AttributeError):
        lines.append("memory not known on this system")
    return ", ".join(lines)
