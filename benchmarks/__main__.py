"""Run all measurements, each in a process of its own: ``python -m benchmarks [--only NAME ...]``."""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks import NAMES, bench


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; return how many measurements failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help="these only")
    parser.add_argument(
        "--resume", action="store_true", help="leave out what this code has results of"
    )
    parser.add_argument("--quick", action="store_true", help="small; shows that they work")
    given = parser.parse_args(arguments)
    failed = 0
    for name in given.only or NAMES:
        current = bench.is_current(name)
        if given.list:
            print(f"{name}: {'measured' if current else 'not measured with this code'}")
        elif not (given.resume and current):
            print(f"--- {name}", flush=True)
            command = [sys.executable, "-m", f"benchmarks.{name}", *["--quick"] * given.quick]
            failed += subprocess.run(command, cwd=bench.ROOT).returncode != 0
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
