"""The files that SQLite keeps open, and who may access them."""

import logging
import os
from pathlib import Path

logger = logging.getLogger("saasus_analysis.database")

FILES = ("", "-wal", "-shm")
"""The suffixes of the files that SQLite keeps open."""


def identity_of(path: str) -> tuple[int, int] | None:
    """Return device and inode, which identify a file whatever its name; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a third of the time of Path.stat)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def size_of(path: str) -> int:
    """Return the size of a file in bytes; 0 if there is none."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 (as above)
    except OSError:
        return 0


def make_file(path: Path) -> bool:
    """Make an empty file that only its owner can access; return False if the path exists."""
    if path.exists():
        return False
    # Without O_EXCL, so that the target of a dangling link is made.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return True


def make_private(path: Path) -> None:
    """Remove the permissions of others from a file: it holds signing secrets and personal data.

    If the file has another owner, its group keeps its permissions, since this process may have
    access through the group only.
    """
    mode = path.stat().st_mode & 0o777
    too_much = mode & rights_of_others(path)
    if not too_much:
        return
    try:
        path.chmod(mode & ~too_much)
    except PermissionError:
        logger.warning("everybody may use %s (mode %o), which belongs to another user", path, mode)


def rights_of_others(path: Path) -> int:
    """Return the bits of a file's mode that give others access."""
    return 0o077 if path.stat().st_uid == os.geteuid() else 0o007
