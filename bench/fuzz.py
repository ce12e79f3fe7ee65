"""How the server treats nearly valid inputs: how many were tried, and which failed."""

import json
import subprocess
import sys
from tempfile import TemporaryDirectory

from tqdm import tqdm

from tests.support.targets import TARGETS

from .fuzzed import ENGINES, MEMORY, Tally
from .measuring import ms, write


def run(seconds: int, seed: int, engine: str) -> None:
    """Fuzz each target in a separate process, for an equal share of the seconds.

    If an input is treated wrongly, prints the shortest failing input and exits with 1.
    """
    tallies = {}
    for name in tqdm(TARGETS, unit="target", disable=None):
        with TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "bench.fuzzed", name, folder, engine]
            command += [str(seed), str(seconds / len(TARGETS))]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        tallies[name] = Tally(**json.loads(done.stdout))
    write(
        "fuzz",
        "Fuzzing",
        f"""
Inputs made from valid ones: values of another kind, size or depth, also in the JSON text inside
JSON text that the platform sends; bytes removed, inserted or repeated; bodies packed in another way
than they declare, or that unpack to 32 MiB. Each input is sent twice to an application on a file.
It passes if the response is a 200, or a 4xx that is an `Error` and has stored nothing; if as much
is stored as the report says; and if the second response is like the first, except that records with
an id are now duplicates. *Read* counts the inputs of which something was accepted. Seed {seed},
{seconds} seconds in all, inputs by {ENGINES[engine]}. A process may use {MEMORY // 2**20} MiB of
address space.
""",
        ["target", "inputs tried", "of these, read", "failures", "slowest input", "peak memory"],
        [
            [
                name,
                f"{tally.tried:,}",
                f"{tally.read:,}",
                tally.failures or "none",
                ms(tally.slowest),
                f"{tally.peak // 2**20} MiB",
            ]
            for name, tally in tallies.items()
        ],
        ["hypothesis"],
    )
    if any(tally.failures for tally in tallies.values()):
        sys.exit(1)
