"""Measuring side by side, and writing the results as a table."""

import os
import platform
import re
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"

INTRODUCTION = """\
# Results

`python -m bench` writes this file; the command of a section replaces that section. All rows of a
section were measured in the same run on the same data, one after the other in turns. A time is the
median of the repetitions, without a first one for warming up. Before any time was measured, the
results were compared. Ratios say more than times, because machines differ.
"""

Actions = dict[str, Callable[[], object]]


def seconds(action: Callable[[], object]) -> float:
    """Return how many seconds an action takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def in_turns(actions: Actions, repetitions: int = 7) -> dict[str, float]:
    """Return the median time of each action in seconds, all measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for repetition in range(repetitions + 1):
        for name, action in actions.items():
            taken = seconds(action)
            if repetition:
                times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def same(answers: dict[str, object]) -> None:
    """Stop unless all answers are equal."""
    (first, answer), *others = answers.items()
    for name, other in others:
        if other != answer:
            raise SystemExit(f"{name}: {other!r:.400}\nbut {first}: {answer!r:.400}")


def write(
    command: str,
    title: str,
    about: str,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    packages: Sequence[str] = (),
) -> None:
    """Write a section of RESULTS.md, which replaces the earlier one of the command."""
    versions = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    versions += [f"{package} {version(package)}" for package in packages]
    lines = [
        f"## {title}",
        "",
        f"`python -m bench {command}`, {datetime.now(UTC):%Y-%m-%d}, {_machine()}; "
        f"{', '.join(versions)}.",
        "",
        about.strip(),
        "",
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
        "",
    ]
    section = "\n".join(lines)
    text = RESULTS.read_text() if RESULTS.exists() else INTRODUCTION
    sections = {part.split("\n")[0]: part for part in re.split(r"(?m)^(?=## )", text)}
    sections[f"## {title}"] = section
    RESULTS.write_text("\n".join(part.rstrip() + "\n" for part in sections.values()))
    sys.stdout.write(section + "\n")


def ms(taken: float) -> str:
    """Return a time in milliseconds, with about three digits."""
    milliseconds = taken * 1000
    return f"{milliseconds:.0f} ms" if milliseconds >= 100 else f"{milliseconds:.3g} ms"


def times(ratio: float) -> str:
    """Return a ratio, with about two digits."""
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.2g} times"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB"
