"""What a file holds, read without SQLite.

When SQLite opens a file, it copies a -wal next to it into the file, and makes more files there. So
the file of another program must be recognized before SQLite opens it.
"""

import stat
from itertools import count
from pathlib import Path

from ..errors import StartError

APPLICATION_ID = 0x5AA5A11A
"""Marks a SQLite file as ours (`pragma application_id`)."""

MAGIC = b"SQLite format 3\0"

# https://www.sqlite.org/fileformat2.html describes these offsets, and those in a -wal below.
HEADER_BYTES = 108
USER_VERSION_AT = slice(60, 64)
APPLICATION_ID_AT = slice(68, 72)
TABLES_AT = slice(103, 105)
"""The number of tables and indexes on the first page of the schema."""

WAL_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24


class NotADatabase(StartError):
    """A file is not a SQLite database, or its header is damaged."""


def holds_database(path: Path) -> bool:
    """Return whether a file holds a database of this program; False if it is empty.

    A SQLite database without any table counts as empty: a start that was interrupted leaves one.
    Raises StartError if the file holds anything else, is not a regular file, or cannot be read.
    Call it while this process has no connection to the file: closing a file releases all locks that
    SQLite holds on it.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StartError(f"the database {path} cannot be used: it is not a file")
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
        if not header:
            return False
        if not header.startswith(MAGIC) or len(header) < HEADER_BYTES:
            raise NotADatabase(f"the database {path} cannot be used: file is not a database")
        if _is_ours(header):
            return True
        # The whole of a new database is in its -wal until that is copied into the file.
        newer = _first_page_of_wal(path)
    except OSError as error:
        raise StartError(f"the database {path} cannot be used: {error.strerror}") from error
    if _is_ours(newer):
        return True
    marks = (TABLES_AT, APPLICATION_ID_AT, USER_VERSION_AT)
    if newer or any(any(header[place]) for place in marks):
        raise StartError(f"{path} is a database of another program")
    return False


def _is_ours(header: bytes) -> bool:
    return int.from_bytes(header[APPLICATION_ID_AT], "big") == APPLICATION_ID


def _first_page_of_wal(path: Path) -> bytes:
    """Return the start of the first page of a database from its -wal; empty if it is not there."""
    wal = Path(f"{path.resolve()}-wal")
    if not wal.exists():
        return b""
    with wal.open("rb") as file:
        header = file.read(WAL_HEADER_BYTES)
        page_size, salts = int.from_bytes(header[8:12], "big"), header[16:24]
        for number in count():
            file.seek(WAL_HEADER_BYTES + number * (FRAME_HEADER_BYTES + page_size))
            frame = file.read(FRAME_HEADER_BYTES + HEADER_BYTES)
            if len(frame) < FRAME_HEADER_BYTES + HEADER_BYTES or frame[8:16] != salts:
                break
            if int.from_bytes(frame[:4], "big") == 1:
                return frame[FRAME_HEADER_BYTES:]
    return b""
