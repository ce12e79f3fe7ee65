"""What the server makes of inputs that are nearly valid: how many, and which it fails on."""

import json
import subprocess
import sys
from tempfile import TemporaryDirectory

from tqdm import tqdm

from tests.support.targets import TARGETS

from .fuzzed import ENGINES, MEMORY, Tally
from .measuring import ms, write


def run(seconds: int, seed: int, engine: str) -> None:
    """Fuzz each target in a process of its own, for the same part of some seconds.

    Exits with 1, with the shortest failing input printed, if an input was not treated as it should.
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
JSON text that the platform sends; bytes cut out, put in or repeated; bodies packed otherwise than
they say, or that unpack to 32 MiB. Each is given twice, to an application on a file. It passes if
the answer is a 200, or a 4xx that is an `Error` and has stored nothing; if as much is stored as the
report says; and if the second answer is like the first, but that what has an id is known by then.
*Read* are those of which something was taken. Seed {seed}, {seconds} seconds in all, inputs by
{ENGINES[engine]}; a process may use {MEMORY // 2**20} MiB of addresses.
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
