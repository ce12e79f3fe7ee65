"""Fuzz one target in this process: `python -m bench.fuzzed TARGET FOLDER ENGINE SEED SECONDS`.

Prints a `Tally` as JSON, and failures on standard error.
"""

import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

ENGINES = {
    "hypothesis": "Hypothesis",
    "atheris": "Atheris, which searches for new branches of `app/`",
}

ROUND = 500
"""How many inputs are tried with one seed; the next round uses the next seed."""

MEMORY = 2**31
"""How many bytes of address space a process may use."""


@dataclass
class Tally:
    """Results of the inputs; times are in seconds, memory in bytes."""

    tried: int = 0
    read: int = 0
    failures: int = 0
    slowest: float = 0
    peak: int = 0


class Fuzzed:
    """A target with its application, and the tally of its inputs."""

    def __init__(self, name: str, folder: str) -> None:
        from tests.support.subject import Subject
        from tests.support.targets import TARGETS

        self.target = TARGETS[name]
        self.subject = Subject(Path(folder))
        self.tally = Tally()
        self.last: object = None

    def check(self, given_input: Any) -> None:
        self.last = given_input
        began = time.perf_counter()
        self.tally.tried += 1
        self.tally.read += self.target.check(self.subject, given_input)
        self.tally.slowest = max(self.tally.slowest, time.perf_counter() - began)

    def property(self) -> Any:
        """Return a Hypothesis test that checks the inputs of the target."""
        quietly = settings(
            max_examples=ROUND,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=False,
            report_multiple_bugs=False,
        )

        # A new function each time, since a seed is set on a function.
        def check(given_input: Any) -> None:
            self.check(given_input)

        return quietly(given(given_input=self.target.inputs)(check))

    def try_rounds(self, seed: int, seconds: float) -> None:
        """Try rounds of inputs until the time is over or one fails."""
        end = time.monotonic() + seconds
        while True:
            try:
                seeded(seed)(self.property())()
            except Exception as error:
                self.fail(f"seed {seed}", error)
                return
            seed += 1
            if time.monotonic() >= end:
                return

    def try_guided(self, seed: int, seconds: float) -> None:
        """Let Atheris choose inputs until the time is over or one fails."""
        import atheris

        end = time.monotonic() + seconds
        try_one: Callable[[bytes], object] = self.property().hypothesis.fuzz_one_input

        def try_or_end(data: bytes) -> None:
            try:
                try_one(data)
            except Exception as error:
                self.fail(f"Atheris with seed {seed}", error)
                self.end()
            if time.monotonic() >= end:
                self.end()

        options = ["fuzz", f"-seed={seed}", "-max_len=8192", "-rss_limit_mb=0"]
        options += ["-len_control=0", "-verbosity=0"]
        atheris.Setup(options, try_or_end)
        atheris.Fuzz()

    def fail(self, place: str, error: Exception) -> None:
        self.tally.failures += 1
        sys.stderr.write(f"{place}: {type(error).__name__}: {error}\n{self.last!r}\n")

    def end(self) -> None:
        """Print the tally and end the process, since Atheris has no other way to stop."""
        self.tally.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        sys.stdout.write(json.dumps(asdict(self.tally)))
        sys.stdout.flush()
        os._exit(0)


def main(name: str, folder: str, engine: str, seed: str, seconds: str) -> None:
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["app"]):
            Fuzzed(name, folder).try_guided(int(seed), float(seconds))
    fuzzed = Fuzzed(name, folder)
    fuzzed.try_rounds(int(seed), float(seconds))
    fuzzed.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
