"""Commands that run in this process, as far as can be seen as in one of their own.

A process takes half a second to start, most of it for modules that the tests have loaded long ago.
"""

import gc
import logging
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TextIO

from app.cli import main

THRESHOLD = gc.get_threshold()
"""Of this process; commands set their own."""


def run_here(
    *arguments: str | Path,
    folder: Path,
    given: str = "",
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command `saasus-analysis` to its end, in a folder; tell what a process would."""
    words = [str(argument) for argument in arguments]
    with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        stdin.write(given.encode())
        stdin.seek(0)
        with (
            _in_folder(folder),
            _with_environment(environment),
            _no_log_of_tests(),
            _standard_files(stdin, stdout, stderr),
        ):
            code = _call(words)
            _close_what_is_left()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(
            words, code, stdout.read().decode(), stderr.read().decode()
        )


def _call(words: list[str]) -> int:
    try:
        main(words, prog_name="saasus-analysis")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _close_what_is_left() -> None:
    """Close what the end of a process would, such as a socket that listened.

    The command has frozen all that was there before it, so that only its own is looked through.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.unfreeze()
    gc.set_threshold(*THRESHOLD)


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _with_environment(environment: Mapping[str, str] | None) -> Iterator[None]:
    before = dict(os.environ)
    try:
        if environment is not None:
            os.environ.clear()
            os.environ.update(environment)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _no_log_of_tests() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)


@contextmanager
def _standard_files(*files: IO[bytes]) -> Iterator[None]:
    """Make files standard input, output and error, also for who writes to the descriptors."""
    before = sys.stdin, sys.stdout, sys.stderr
    before[1].flush()
    before[2].flush()
    with ExitStack() as stack:
        for number, file in enumerate(files):
            stack.callback(_put_back, os.dup(number), number)
            os.dup2(file.fileno(), number)
        opened = [stack.enter_context(_open(number)) for number in range(3)]
        stack.callback(_standard_are, *before)
        sys.stdin, sys.stdout, sys.stderr = opened
        yield


def _open(number: int) -> TextIOWrapper:
    mode, name = (("r", "<stdin>"), ("w", "<stdout>"), ("w", "<stderr>"))[number]
    raw = FileIO(number, mode, closefd=False)
    raw.name = name
    buffer = BufferedReader(raw) if mode == "r" else BufferedWriter(raw)
    return TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace")


def _put_back(copy: int, number: int) -> None:
    os.dup2(copy, number)
    os.close(copy)


def _standard_are(stdin: TextIO, stdout: TextIO, stderr: TextIO) -> None:
    sys.stdin, sys.stdout, sys.stderr = stdin, stdout, stderr
