"""Files as SQLite holds them open, and who may use them."""

import logging
import os
from pathlib import Path

logger = logging.getLogger("saasus_analysis.database")

FILES = ("", "-wal", "-shm")
"""What is behind the names of the files that SQLite holds open."""


def identity_of(path: str) -> tuple[int, int] | None:
    """Return what tells a file from any other, whatever its name; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a third of the time of Path.stat)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def size_of(path: str) -> int:
    """Return the bytes of a file; 0 if there is none."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 (as above)
    except OSError:
        return 0


def make_file(path: Path) -> bool:
    """Make an empty file for its owner alone; return False if there is something already."""
    if path.exists():
        return False
    # Not exclusively: of a link that leads nowhere, what it names is made.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return True


def make_private(path: Path) -> None:
    """Take from a file the rights that others have: it holds signing secrets and what people did.

    The file of another owner keeps its group, by whose rights it may be ours to use.
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
    """Return the bits of a file's mode that let others in."""
    return 0o077 if path.stat().st_uid == os.geteuid() else 0o007
