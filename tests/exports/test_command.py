import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT, run
from .test_reading import ALL, CALL, HEAD, VISIT, ndjson

EXPORT = [sys.executable, "-m", "app", "export"]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A database that holds a record of each kind and 20,000 histories."""
    file = tmp_path / "filled.ndjson"
    many = (VISIT | {"timestamp": 10 + number} for number in range(20_000))
    file.write_bytes(ndjson(*ALL, *many))
    path = tmp_path / "filled.db"
    done = run("import", "export", file, "--database", path, env=os.environ | UNSAFE)
    assert done.stdout == "20005 accepted, 0 duplicates, 0 ignored, 0 refused\n"
    return path


UNSAFE = {"ANALYSIS_SYNCHRONOUS": "off"}


def export(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [*EXPORT, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, timeout=60, stderr=subprocess.PIPE, **options)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["calls", "--format", "csv"], ["histories"]])
def test_a_file_holds_what_standard_output_does(
    filled: Path, tmp_path: Path, options: list[str]
) -> None:
    done = export(*options, "--database", filled, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    file = tmp_path / "out"
    file.write_text("old")
    to_file = export(*options, "--database", filled, "--output", file, stdout=subprocess.PIPE)
    assert (to_file.returncode, to_file.stdout) == (0, b"")
    assert file.read_bytes() == done.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.glob("*out*"))) == len(list(tmp_path.glob(".*"))) + 1 == 1


@pytest.mark.slow
def test_a_range_of_days(filled: Path) -> None:
    of_may = ("--from", "2026-05-01", "--to", "2026-05-31", "--database", filled)
    assert run("export", "calls", *of_may).stdout.encode() == ndjson(CALL).replace(
        b": ", b":"
    ).replace(b", ", b",")
    assert run("export", "histories", *of_may).stdout.count("\n") == 1


@pytest.mark.slow
def test_an_import_names_the_lines_that_it_refuses(filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "changed.ndjson"
    file.write_bytes(ndjson(CALL | {"count": 9}, VISIT, {"kind": "x"}))
    done = run("import", "export", file, "--database", filled)
    assert done.returncode == 1
    assert f"{file}: line 2: a different value is already stored" in done.stdout
    assert f"{file}: line 4: kind: must be one of" in done.stdout
    assert done.stdout.endswith("0 accepted, 1 duplicates, 0 ignored, 2 refused\n")


@pytest.mark.slow
def test_an_export_of_another_time_zone_is_refused_with_what_to_do(
    filled: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tokyo.ndjson"
    file.write_bytes(ndjson(HEAD | {"time_zone": "Asia/Tokyo"}))
    done = run("import", "export", file, "--database", filled)
    assert done.returncode == 1
    assert (
        "tokyo.ndjson has days in Asia/Tokyo (line 2), but this database has days in UTC"
        in done.stderr
    )
    assert "ANALYSIS_TIME_ZONE=Asia/Tokyo" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "csv"], "csv contains a single table: name one of histories, calls"),
        (["--from", "2026-02-30"], "must be a date that exists"),
        (["--to", "yesterday"], "must be a date as YYYY-MM-DD"),
        (["--from", "2026-05-02", "--to", "2026-05-01"], "--from must not be after --to"),
        (["keys"], "'keys' is not one of 'histories', 'calls', 'active-users'"),
    ],
)
def test_a_wrong_call_is_told(filled: Path, arguments: list[str], message: str) -> None:
    done = run("export", *arguments, "--database", filled)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_database_that_is_missing_is_not_made(tmp_path: Path) -> None:
    done = run("export", "--database", tmp_path / "none.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there is no database {tmp_path / 'none.db'}" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error_to_be_shown(filled: Path) -> None:
    with subprocess.Popen(
        [*EXPORT, "--database", filled], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_told(filled: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        to_output = export("--database", filled, stdout=full)
    to_file = export("--database", filled, "--output", "/dev/full")
    for done, name in ((to_output, b"standard output"), (to_file, b"/dev/full")):
        assert done.returncode == 1
        assert done.stderr == b"Error: " + name + b" cannot be written: No space left on device\n"


@pytest.mark.slow
def test_a_place_that_cannot_be_written_to_is_told(filled: Path, tmp_path: Path) -> None:
    done = export("--database", filled, "--output", tmp_path / "none" / "file")
    assert done.returncode == 1
    assert b"cannot be written: No such file or directory" in done.stderr
    assert export("--database", filled, "--output", tmp_path).returncode == 2


@pytest.mark.slow
def test_an_export_that_is_stopped_leaves_the_old_file(filled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    file = folder / "file"
    file.write_text("old")
    # The new file is not to be larger than this.
    limit = f"ulimit -f 100; trap '' XFSZ; exec {sys.executable} -m app export"
    done = subprocess.run(
        ["bash", "-c", f'{limit} --database "$0" --output "$1"', filled, file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (
        1,
        f"Error: {file} cannot be written: File too large\n",
    )
    assert [each.read_text() for each in folder.iterdir()] == ["old"]
