"""Counting the servers that have a database open.

Each server locks a byte of the file, far behind those that SQLite locks. The lock belongs to the
open file: it disappears with the process, however that ends, and SQLite's own locks do not affect
it.
"""

import fcntl
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path

FIRST_BYTE = 2**62
MOST = 16
"""The most servers that can be counted."""

FLOCK = "hhqqi"
"""A `struct flock` of Linux: type, whence, start, length, process."""


def enter(path: Path) -> int | None:
    """Register as a server that has a database open, until the returned descriptor is closed.

    Return None if the system has no such locks. Close the descriptor after all connections: closing
    a file releases the locks that SQLite holds on it.
    """
    if sys.platform != "linux":
        return None
    file = os.open(path, os.O_RDWR)
    for number in range(MOST):
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, _lock(number))
            break
        except BlockingIOError:
            continue
        except OSError:  # a file system without such locks
            break
    return file


def count_others(file: int) -> int:
    """Return how many servers other than the one with this descriptor have a database open."""
    if sys.platform != "linux":
        return 0
    found = 0
    with suppress(OSError):
        for number in range(MOST):
            told = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _lock(number))
            found += struct.unpack(FLOCK, told)[0] != fcntl.F_UNLCK
    return found


def count_servers(path: Path) -> int:
    """Return how many servers have a database open.

    Call it while this process has no connection to the file, like `file_header.holds_database`.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        return count_others(file)
    finally:
        os.close(file)


def _lock(number: int) -> bytes:
    return struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, FIRST_BYTE + number, 1, 0)
