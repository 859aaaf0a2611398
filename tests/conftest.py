"""Fixtures shared by all tests: no network, small signals, and the real corpus where it is found."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_socket
from extras import absent

from cryhear.study import book

RATE = 16_000
ROOT = Path(__file__).resolve().parent.parent
SIDE = ROOT.parent / "shared"


def _skipping_what_is_absent() -> Generator[None, Any, Any]:
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if reason := absent(error):
            pytest.skip(reason)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Skip a test that imports what an absent extra brings."""
    return (yield from _skipping_what_is_absent())


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    """As `pytest_pyfunc_call`, for a fixture."""
    return (yield from _skipping_what_is_absent())


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """As `pytest_pyfunc_call`, for a file of tests."""
    report = yield
    error = report.call.excinfo.value if report.call and report.call.excinfo else None
    if reason := absent(getattr(error, "__cause__", None)):
        report.outcome, report.longrepr = "skipped", (str(collector.path), 0, f"Skipped: {reason}")
    return report


@pytest.fixture(autouse=True)
def _no_network(socket_disabled: None) -> None:
    """Every test runs with sockets blocked."""


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture
def tone() -> Callable[..., np.ndarray]:
    """Make a float32 sine: ``tone(seconds, frequency_hz, amplitude)`` at 16 kHz."""

    def make(seconds: float = 3.0, frequency: float = 440.0, amplitude: float = 0.3) -> np.ndarray:
        time = np.arange(round(seconds * RATE)) / RATE
        return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)

    return make


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium driven over a pipe. It is closed with its module: its event loop bears no other."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = book.chromium()
    if not found:
        pytest.skip("no Chromium on the path: nothing is looked at in a browser here")
    pytest_socket.enable_socket()  # for the pipe; each test blocks sockets anew
    with sync.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


def _found(variable: str, default: Path, what: str) -> Path:
    path = Path(os.environ.get(variable, default))
    if not path.exists():
        pytest.skip(f"{what} is not at hand; set {variable} to where it is")
    return path


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Folder holding donateacry/ and esc10/, where they are found."""
    return _found("CRYHEAR_CORPORA", SIDE / "corpora", "the corpus folder (donateacry/, esc10/)")


@pytest.fixture(scope="session")
def yamnet_path() -> Path:
    """YAMNet's TFLite file, where it is found."""
    return _found("CRYHEAR_YAMNET", SIDE / "models" / "yamnet" / "yamnet.tflite", "yamnet.tflite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, unless it is asked for by ``-m long``."""
    if "long" in (config.option.markexpr or ""):
        return
    skip = pytest.mark.skip(
        reason="a whole study and its book, which takes minutes: pytest -m long"
    )
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)
