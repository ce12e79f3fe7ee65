"""How much survives a server that is killed again and again while clients write."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import trange

from tests.support.killing import DAYS, WRITERS, Killing

from .measuring import write

KILLS = 60
SEED = 2026


def run() -> None:
    """Kill a server many times; stop where something answered is lost or something is in half."""
    with TemporaryDirectory() as folder:
        killing = Killing(Path(folder, "killed.db"), SEED)
        for _ in trange(KILLS, unit="kill", disable=None):
            killing.kill()
    tally = killing.tally
    write(
        "kills",
        "Kills",
        f"""
A `serve` that is ended by SIGKILL at random moments while {WRITERS} connections write (days of
histories, numbers of active users, calls with up to 63 events with ids) and one asks for page
statistics over the {DAYS} days that are written to. After each kill it is started again on the same
file, and all rows of the file are compared with what was answered: nothing lacks, nothing is more,
of each write that had no answer yet all is there or nothing. Counts, dictionaries and ids are
compared likewise, page statistics and every page summary with the rows, and SQLite's own checks of
the file pass. A difference ends the run, and no table is written.
""",
        ["", "number"],
        [
            ["kills", f"{tally.kills:,}"],
            ["writes answered, all there", f"{tally.answered:,}"],
            ["events in them", f"{tally.events:,}"],
            ["writes cut off", f"{tally.cut_off:,}"],
            ["of these, whole in the file", f"{tally.kept:,}"],
            ["of these, not there at all", f"{tally.cut_off - tally.kept:,}"],
            ["page summaries compared", f"{tally.sealed:,}"],
        ],
    )
