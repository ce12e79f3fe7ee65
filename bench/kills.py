"""Which writes survive if a server is killed repeatedly while clients write."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import trange

from tests.support.killing import DAYS, WRITERS, Killing

from .measuring import write

KILLS = 60
SEED = 2026


def run() -> None:
    """Kill a server many times; stop if a confirmed write is lost or a write is partly stored."""
    with TemporaryDirectory() as folder:
        killing = Killing(Path(folder, "killed.db"), SEED)
        for _ in trange(KILLS, unit="kill", disable=None):
            killing.kill()
    tally = killing.tally
    write(
        "kills",
        "Kills",
        f"""
SIGKILL ends `serve` at random moments while {WRITERS} connections write (days of histories, numbers
of active users, calls with up to 63 events with ids) and one reads page statistics over the
{DAYS} days that are written to. After each kill, `serve` is started again on the same file, and all
rows of the file are compared with the responses: every confirmed write is there, nothing else is,
and each write without a response is there completely or not at all. Counts, dictionaries and ids
are compared in the same way, page statistics and every page summary are compared with the rows, and
SQLite's own checks of the file must pass. A difference ends the run, and no table is written.
""",
        ["", "number"],
        [
            ["kills", f"{tally.kills:,}"],
            ["confirmed writes, all of them found", f"{tally.answered:,}"],
            ["events in these", f"{tally.events:,}"],
            ["writes without a response", f"{tally.cut_off:,}"],
            ["of these, completely in the file", f"{tally.kept:,}"],
            ["of these, not in the file", f"{tally.cut_off - tally.kept:,}"],
            ["page summaries compared", f"{tally.sealed:,}"],
        ],
    )
