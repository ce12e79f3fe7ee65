"""Whether a write would succeed now; it is tried at most once a second, for all requests."""

import errno
import time
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock

from ..errors import ServiceUnavailable
from ..storage.database import Database
from ..storage.transactions import DISK_ERROR, DISK_FULL

FRESH_SECONDS = 1.0
"""How long the result of a try is reused."""

PATIENCE_SECONDS = 1.0
"""How long a try waits for other writes, and how long a request waits for the first try."""

ORDINARY_BYTES = 2**18
"""Bytes that must fit on the disk: a request with a thousand events, and the pages it changes."""

NO_ANSWER = "the database does not answer; nothing was stored"

NO_ROOM = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: DISK_FULL,
    errno.EFBIG: DISK_ERROR,
    errno.EIO: DISK_ERROR,
}


class Readiness:
    """Tries a write, and gives its result to all requests until it is too old."""

    def __init__(self) -> None:
        self._trying = Lock()
        self._began = 0.0
        self._ended: float | None = None
        self._refusal: str | None = NO_ANSWER

    def check(self, database: Database) -> None:
        """Raise ServiceUnavailable unless a write of ordinary size works; waits about a second."""
        # Wait for another thread's try only if there is no result yet.
        if not self._is_fresh() and self._trying.acquire(
            timeout=PATIENCE_SECONDS if self._ended is None else 0
        ):
            try:
                if not self._is_fresh():
                    self._try(database)
            finally:
                self._trying.release()
        elif self._hangs():
            raise ServiceUnavailable(NO_ANSWER)
        if self._refusal:
            raise ServiceUnavailable(self._refusal)

    def _is_fresh(self) -> bool:
        return self._ended is not None and time.monotonic() - self._ended < FRESH_SECONDS

    def _hangs(self) -> bool:
        began, ended = self._began, self._ended
        is_trying = ended is None or began > ended
        return is_trying and time.monotonic() - began > 2 * PATIENCE_SECONDS

    def _try(self, database: Database) -> None:
        self._began = time.monotonic()
        try:
            database.try_write(PATIENCE_SECONDS)
            _try_room(database.path)
            self._refusal = None
        except ServiceUnavailable as error:
            self._refusal = str(error.description)
        finally:
            self._ended = time.monotonic()


def _try_room(path: Path) -> None:
    """Raise ServiceUnavailable unless the files of a database can grow by an ordinary write.

    A small write can reuse space in the -wal even if the disk is full. So a temporary file is used
    to test space, quotas and limits on file sizes. It has no name, and is deleted before the system
    writes it to the disk.
    """
    database = path.resolve()
    try:
        end = max(Path(f"{database}{suffix}").stat().st_size for suffix in ("", "-wal"))
        with TemporaryFile(dir=database.parent) as file:
            file.seek(end)
            file.write(bytes(ORDINARY_BYTES))
    except OSError as error:
        # Other errors, such as a read-only folder, do not prevent writes to an open database.
        reason = NO_ROOM.get(error.errno or 0)
        if reason:
            raise ServiceUnavailable(f"{reason}; nothing was stored") from error
