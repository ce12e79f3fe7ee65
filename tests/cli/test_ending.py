"""How commands end: what a user does wrong is a line and a code, and never a stack trace."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli import main
from app.ingest.files import BATCH
from app.storage.migration_steps import MIGRATIONS

from ..conftest import ROOT, serving
from ..storage.test_database import locked_by_another_process
from ..storage.test_faults import bound_by_permissions
from ..support.command_tree import COMMANDS
from .conftest import called, done, running

ON_A_DATABASE = [
    "audit",
    "backup copy.db",
    "check",
    "demo --port 0 --database analysis.db",
    "delete --user u-1 --yes",
    "doctor",
    "erase-tenant acme --yes",
    "erase-user u-1 --yes",
    "export",
    "import events january.ndjson",
    "keys create new",
    "keys list",
    "keys revoke web",
    "keys rotate web",
    "links create new",
    "links list",
    "links revoke wall",
    "migrate",
    "prune --keep-counts 1",
    "restore analysis-backup.db --force",
    "serve --port 0",
    "summaries check",
    "summaries drop",
    "summaries rebuild",
]
"""Each command that uses a database, as it works on a good one."""

MANY_ROWS = """
insert into user (id, name) values (9, 'u');
insert into page (id, url) values (1, '/');
insert into referer (id, url, page_id) values (1, '/', 1);
with recursive number (n) as (select 0 union all select n + 1 from number where n < 2000000)
insert into behavior (block, user_id, second, seq, referer_id)
select n * 60 / 14400, 9, n * 60 % 14400, 0, 1 from number;
"""


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYSIS_BUSY_SECONDS", "0")


def test_each_command_is_tested_on_databases_that_cannot_be_used() -> None:
    for name in COMMANDS.keys() - {"saasus-analysis double"}:
        words = name.removeprefix("saasus-analysis ")
        assert any(line.startswith(words) for line in ON_A_DATABASE), name


def in_a_line(ended: Any, code: int, message: str) -> None:
    """Check that a command ended with a code, and said why in one line."""
    assert ended.returncode == code, ended.stdout + ended.stderr
    error = ended.stderr.splitlines()[-1]
    assert message in error, ended.stderr
    assert error.startswith("Error: ")
    if code == 2:  # click tells how a command is called, before
        assert ended.stderr.startswith("Usage: saasus-analysis")
    else:
        assert ended.stderr == error + "\n"


def put_no_database(path: Path) -> None:
    path.write_bytes(b"\xff\xfe no database" * 500)


def put_nothing_readable(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_another_program_s(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table t (a)")


def put_a_newer_version_s(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma user_version = {len(MIGRATIONS) + 2}")


@pytest.mark.parametrize("line", ON_A_DATABASE)
@pytest.mark.parametrize(
    "put", [put_no_database, put_nothing_readable, put_another_program_s, put_a_newer_version_s]
)
def test_a_database_that_cannot_be_used_is_named(folder: Path, line: str, put: Any) -> None:
    put(folder / "analysis.db")
    if line.startswith("restore"):  # which puts a good one there, except over a folder
        if put is put_nothing_readable:
            in_a_line(called(f"saasus-analysis {line}", folder), 1, "analysis.db is not a file")
        line = "restore analysis.db --database other.db"
    ended = called(f"saasus-analysis {line}", folder)
    if line == "doctor":
        assert (ended.returncode, ended.stderr) == (1, "")
        assert "problem  database: " in ended.stdout
    else:
        in_a_line(ended, 1, "analysis.db")


WITHOUT_DAYS = ("backup copy.db", "restore analysis-backup.db --force")
"""The commands that work whatever the days of a database are."""


def in_this_process(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Run a command that starts no server here; return its exit code and all that it shows."""
    monkeypatch.chdir(folder)
    ended = CliRunner().invoke(main, line.split())
    assert ended.exception is None or isinstance(ended.exception, SystemExit), line
    return ended.exit_code, ended.output


@pytest.mark.parametrize("line", ON_A_DATABASE)
def test_a_time_zone_of_a_database_that_is_not_known_here_is_told_with_what_to_do(
    folder: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(folder / "analysis.db")) as connection, connection:
        connection.execute("update setting set value = 'Mars/Olympus' where name = 'time_zone'")
    code, shown = in_this_process(line, folder, monkeypatch)
    assert code == (0 if line in WITHOUT_DAYS else 1), shown
    if line not in WITHOUT_DAYS:
        assert "'Mars/Olympus' is not an IANA time zone" in shown
        assert "pip install -U tzdata" in shown
        assert len(shown.splitlines()) == 1 or line in ("check", "doctor")


@pytest.mark.parametrize("line", [*ON_A_DATABASE, "double", "demo --write -"])
def test_a_time_zone_that_is_set_and_not_known_here_is_told_by_every_command(
    folder: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYSIS_TIME_ZONE", "Mars/Olympus")
    code, shown = in_this_process(line, folder, monkeypatch)
    assert code == 1
    assert shown.startswith("Error: ANALYSIS_TIME_ZONE: 'Mars/Olympus' is not an IANA time zone")
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("line", ["serve", "demo", "demo --write -", "import events u-1.json"])
def test_an_option_that_is_no_time_zone_is_named(
    folder: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"{line} --time-zone localtime"
    message = "Error: time_zone: 'localtime' is not an IANA time zone such as Asia/Tokyo\n"
    assert in_this_process(line, folder, monkeypatch) == (1, message)


@pytest.mark.slow
def test_without_tz_data_days_are_those_of_utc(folder: Path) -> None:
    program = "import sys; sys.modules['tzdata'] = None; from app.__main__ import run; run()"
    line = f'PYTHONTZPATH= PYTHONPATH={ROOT} {sys.executable} -c "{program}" keys list'
    assert done(line, folder).returncode == 0
    ended = done(line, folder, ANALYSIS_TIME_ZONE="Asia/Tokyo")
    in_a_line(ended, 1, "'Asia/Tokyo' is not an IANA time zone such as Asia/Tokyo in the tz data")


@pytest.mark.slow
@pytest.mark.parametrize("line", ["serve --port 0", "demo --port 0 --events 10"])
def test_a_start_that_makes_a_database_says_which_days_are_fixed_in_it(
    folder: Path, line: str
) -> None:
    line = f"saasus-analysis {line} --database new.db --time-zone Asia/Tokyo"
    for expected in ("new.db; its time zone is Asia/Tokyo and cannot be changed", None):
        with running(line, folder) as process:
            assert process.stdout is not None
            until = iter(process.stdout.readline, "")
            shown = "".join(takewhile(lambda text: not text.startswith("Listening"), until))
            process.terminate()
            shown += process.communicate(timeout=30)[1]
        assert (expected in shown) if expected else ("made a new" not in shown)


def test_an_import_that_makes_a_database_says_which_days_are_fixed_in_it(folder: Path) -> None:
    line = "saasus-analysis import events january.ndjson --json --database new.db"
    ended = called(line, folder, ANALYSIS_TIME_ZONE="Asia/Tokyo")
    assert "new.db; its time zone is Asia/Tokyo and cannot be changed" in ended.stderr
    assert "made a new" not in called(line, folder).stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", ON_A_DATABASE)
def test_a_database_that_others_hold_is_a_code_of_its_own(folder: Path, line: str) -> None:
    with locked_by_another_process(folder / "analysis.db"):
        ended = called(f"saasus-analysis {line}", folder)
    if line.startswith(("backup", "check")):  # which only read
        assert (ended.returncode, ended.stderr) == (0, "")
    elif line == "doctor":
        assert (ended.returncode, ended.stderr) == (1, "")
        assert "database is locked" in ended.stdout
    else:
        in_a_line(ended, 75, "locked" if line[:7] != "restore" else "is open in another process")


@pytest.mark.slow
def test_an_import_that_finds_the_database_busy_tells_what_it_stored(folder: Path) -> None:
    event = '{"type": "create_tenant", "tenant_id": "many"}\n'
    path = folder / "analysis.db"
    with running("saasus-analysis import events -", folder) as process:
        assert process.stdin is not None
        process.stdin.write(event * (2 * BATCH - 1))
        process.stdin.flush()
        with closing(sqlite3.connect(path)) as connection:
            while connection.execute("select max(count) from call_count").fetchone() == (1,):
                assert process.poll() is None
        with locked_by_another_process(path):
            process.stdin.close()
            assert process.wait(timeout=30) == 75
        assert process.stderr is not None
        assert process.stderr.read() == (
            "Error: the database is busy with another process; nothing was stored "
            "(so far: 10000 accepted, 0 duplicates, 0 ignored, 0 refused)\n"
        )


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("check --database none.db", 1, "there is no database none.db"),
        ("backup copy.db --database none.db", 1, "there is no database none.db"),
        ("export --database none.db", 1, "there is no database none.db"),
        ("restore none.db --database new.db", 1, "there is no database none.db"),
        ("restore analysis-backup.db", 1, "analysis.db exists; --force replaces it"),
        ("backup no/copy.db", 1, "No such file or directory"),
        ("backup .", 1, "is a folder; use --keep N to make dated backups in it"),
        ("export --output no/file", 1, "no/file cannot be written: No such file"),
        ("demo --events 1 --write no/file", 1, "no/file cannot be written: No such file"),
        ("keys list --database no/a.db", 1, "there is no database no/a.db"),
        ("keys create web", 1, "there is a key named web"),
        ("keys revoke none", 1, "there is no key named none"),
        ("keys rotate none", 1, "there is no valid key named none"),
        ("links create wall", 1, "there is a link named wall"),
        ("links create new --tenant none", 1, "no data are stored for a tenant 'none'"),
        ("links revoke none", 1, "there is no link named none"),
        ("double --port-file no/file", 1, "--port-file no/file: No such file"),
        ("double --seed none.json", 1, "the seed none.json cannot be read"),
        ("double --seed .", 1, "the seed . cannot be read"),
        ("double --seed analysis.db", 1, "the seed analysis.db cannot be read"),
        ("double --seed '{\"event\": []}'", 1, "the seed: event: is not known here"),
        ("serve --port 0 --host \udcff", 1, "cannot listen on \\udcff port 0"),
        ("import events analysis.db", 1, "analysis.db is not valid JSON throughout"),
        ("import export analysis.db", 1, "analysis.db is not an export"),
        ("import events none", 2, "'FILE...': 'none': No such file or directory"),
        ("import events .", 2, "'FILE...': '.': Is a directory"),
        ("import nothing none", 2, "'nothing' is not one of 'events', 'eventbridge'"),
        ("import events", 2, "Missing argument 'FILE...'"),
        ("export --output .", 2, "'--output': File '.' is a directory"),
        ("export --format csv", 2, "csv contains a single table"),
        ("demo --write .", 2, "'--write': File '.' is a directory"),
        ("demo --events -1", 2, "'--events': -1 is not in the range"),
        ("demo --days 0", 2, "'--days': 0 is not in the range"),
        ("demo --seed x", 2, "'--seed': 'x' is not a valid integer"),
        ("serve --port -1", 2, "'--port': must be a whole number from 0 to 65535"),
        ("serve --port 70000", 2, "'--port': must be a whole number from 0 to 65535"),
        ("double --port 65536", 2, "'--port': 65536 is not in the range"),
        ("double --port-file .", 2, "'--port-file': File '.' is a directory"),
        ("double --seed ''", 2, "'--seed': must be JSON, or the path of a JSON file"),
        ("double --auth no", 2, "'--auth': 'no' is not one of 'any', 'required', 'strict'"),
        ("backup copies --keep 0", 2, "'--keep': 0 is not in the range"),
        ("keys rotate web --overlap -1", 2, "'--overlap': -1 is not in the range"),
        ("keys create \udcff", 2, "'NAME': must be 1 to 64 printable characters"),
        ("keys create 'a b'", 2, "'NAME': must be 1 to 64 printable characters"),
        ("keys create ''", 2, "'NAME': must be 1 to 64 printable characters"),
        ("keys revoke \udcff", 2, "'NAME': must be printable"),
        ("keys rotate \udcff", 2, "'NAME': must be printable"),
        (
            "keys create x --expires 0 --database new.db",
            2,
            "'--expires': must be a date in the future",
        ),
        ("keys create x --scope all", 2, "'--scope': 'all' is not one of 'read'"),
        ("links create 'a b'", 2, "'NAME': must be 1 to 64 printable characters"),
        ("links create x --expires 2020-01-01", 2, "'--expires': must be a date in the future"),
        ("links revoke \udcff", 2, "'NAME': must be printable"),
        ("summaries rebuild --keep-query maybe", 2, "'--keep-query': 'maybe' is not one of"),
        ("check --frobnicate", 2, "No such option"),
        ("frobnicate", 2, "No such command 'frobnicate'"),
        ("keys frobnicate", 2, "No such command 'frobnicate'"),
    ],
)
def test_what_a_user_does_wrong_is_a_line_and_a_code(
    folder: Path, line: str, code: int, message: str
) -> None:
    before = {file.name for file in folder.iterdir()}
    ended = called(f"saasus-analysis {line}", folder)
    in_a_line(ended, code, message)
    assert {file.name for file in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ANALYSIS_PORT", "x", "ANALYSIS_PORT: must be a whole number from 0 to 65535"),
        ("ANALYSIS_DATABASE", "", "ANALYSIS_DATABASE: must be the path of a file"),
        ("ANALYSIS_DATABSE", "x", "ANALYSIS_DATABSE is not a setting; did you mean"),
        ("ANALYSIS_TIME_ZONE", "\udcff", r"ANALYSIS_TIME_ZONE: '\udcff' is not an IANA time zone"),
        ("ANALYSIS_TIME_ZONE", "Asia/Tokyo", "time_zone: analysis.db was made with UTC"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    folder: Path, variable: str, value: str, message: str
) -> None:
    in_a_line(called("saasus-analysis keys list", folder, **{variable: value}), 1, message)


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(folder: Path, tmp_path: Path) -> None:
    with serving("--database", tmp_path / "other.db") as server:
        port = server.url.rpartition(":")[2]
        for line in (f"serve --port {port}", f"double --port {port}"):
            message = f"cannot listen on 127.0.0.1 port {port}: "
            in_a_line(called(f"saasus-analysis {line}", folder), 1, message)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("keys list --database closed/a.db", 1, "the database closed/a.db cannot be used"),
        ("keys list --database closed.db", 1, "the database closed.db cannot be used"),
        ("check --database closed.db", 1, "the database closed.db cannot be used"),
        ("check --database closed/a.db", 1, "closed/a.db"),
        ("backup closed/copy.db", 1, "Permission denied"),
        ("backup closed --keep 1", 1, "Permission denied"),
        ("restore analysis-backup.db --database closed/b.db", 1, "closed/b.db"),
        ("export --output closed/file", 1, "closed/file cannot be written: Permission denied"),
        ("demo --events 1 --write closed/file", 1, "cannot be written: Permission denied"),
        ("double --port-file closed/port", 1, "--port-file closed/port: Permission denied"),
        ("double --seed closed/seed", 1, "the seed closed/seed cannot be read"),
        ("import events closed/file", 2, "'closed/file': Permission denied"),
    ],
)
def test_what_is_not_permitted_is_told(folder: Path, line: str, code: int, message: str) -> None:
    (folder / "closed").mkdir()
    shutil.copy(folder / "analysis.db", folder / "closed" / "a.db")
    (folder / "closed").chmod(0)
    shutil.copy(folder / "analysis.db", folder / "closed.db")
    (folder / "closed.db").chmod(0)
    command = " ".join(bound_by_permissions())
    try:
        environment = {"PYTHONPATH": str(ROOT)}
        in_a_line(done(f"{command} -m app {line}", folder, **environment), code, message)
    finally:
        (folder / "closed").chmod(0o700)


@pytest.mark.slow
def test_names_that_are_no_text_are_names(folder: Path) -> None:
    for line in (
        "backup $'\\xff.db'",
        "check --database $'\\xff.db'",
        "export --output $'\\xfe'",
        "import export $'\\xfe'",
        "doctor --json --database $'\\xff.db'",
        "restore $'\\xff.db' --database $'\\xfd.db'",
    ):
        ended = done(f"saasus-analysis {line}", folder)
        made = f"made a new database at {folder}/\\udcfd.db\n" if "restore" in line else ""
        assert (ended.returncode, ended.stderr) == (0, made)
    names = {os.fsencode(file.name) for file in folder.iterdir()}
    assert {b"\xff.db", b"\xfe", b"\xfd.db"} <= names


REFUSING = "import events bad.ndjson"
SHOWING = ["--help", "keys list", "doctor", "check", "export", "demo --write -", REFUSING]


@pytest.fixture
def talking(folder: Path) -> Path:
    """The folder, with much to be told of a file to import."""
    (folder / "bad.ndjson").write_text("{}\n" * 1000)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("line", SHOWING)
def test_a_reader_that_goes_away_is_not_told(talking: Path, line: str) -> None:
    ended = done(f"saasus-analysis {line} | true; exit ${{PIPESTATUS[0]}}", talking)
    assert ended.stderr == ""
    assert ended.returncode in (0, 1)  # 0: all was written before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("line", SHOWING)
def test_an_output_that_is_full_is_told(talking: Path, line: str) -> None:
    ended = done(f"saasus-analysis {line} > /dev/full", talking)
    in_a_line(ended, 1, "No space left on device")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("line", ["keys create new > /dev/full", "keys rotate web >&-"])
def test_a_key_that_cannot_be_shown_is_told(folder: Path, line: str) -> None:
    ended = done(f"saasus-analysis {line}", folder)
    in_a_line(ended, 1, "was made but cannot be shown: ")
    in_a_line(ended, 1, "revoke it and make another")


@pytest.mark.slow
@pytest.mark.parametrize("line", SHOWING)
def test_no_standard_output_is_no_reason_for_a_stack_trace(talking: Path, line: str) -> None:
    ended = done(f"saasus-analysis {line} >&-", talking)
    if line.startswith(("export", "demo")):
        in_a_line(ended, 1, "standard output is closed")
    else:
        assert ended.stderr == ""
        assert ended.returncode == (1 if line == REFUSING else 0)


def until(process: subprocess.Popen[str], pattern: str, folder: Path) -> None:
    """Wait until a command has made a file."""
    while not list(folder.glob(pattern)):
        assert process.poll() is None
        time.sleep(0.005)


SIGNALS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)


@pytest.mark.slow
@SIGNALS
def test_a_file_that_is_being_written_when_a_signal_comes_is_removed(
    folder: Path, number: signal.Signals, code: int
) -> None:
    (folder / "out").write_text("old")
    before = {file.name for file in folder.iterdir()}
    with running("saasus-analysis demo --write out --events 100000000", folder) as process:
        until(process, ".out.*", folder)
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == code
    assert {file.name for file in folder.iterdir()} == before
    assert (folder / "out").read_text() == "old"


@pytest.mark.slow
@SIGNALS
def test_an_import_that_a_signal_ends_says_nothing_of_it(
    folder: Path, number: signal.Signals, code: int
) -> None:
    made = f"made a new database at {folder}/new.db; its time zone is UTC and cannot be changed\n"
    with running("saasus-analysis import events - --database new.db", folder) as process:
        until(process, "new.db-wal", folder)
        process.send_signal(number)
        told, said = process.communicate(timeout=30)
        # The signal may come before or after this is said.
        assert (told, said.replace(made, "")) == ("", "")
        assert process.returncode == code


@pytest.mark.slow
def test_what_a_signal_interrupts_does_not_count_as_damaged(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "analysis.db")) as connection:
        connection.executescript(MANY_ROWS)
    with running("saasus-analysis check", folder) as process:
        until(process, "analysis.db-shm", folder)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 143


@pytest.mark.slow
def test_a_signal_that_is_ignored_stays_so(folder: Path) -> None:
    line = "trap '' HUP; exec saasus-analysis import events - --database new.db"
    with running(line, folder) as process:
        until(process, "new.db-wal", folder)
        process.send_signal(signal.SIGHUP)
        event = '{"type": "create_tenant", "tenant_id": "t"}\n'
        told, _ = process.communicate(event, timeout=30)
    assert told == "1 accepted, 0 duplicates, 0 ignored, 0 refused\n"
    assert process.returncode == 0


@pytest.mark.slow
def test_a_bug_shows_where_it_is(folder: Path) -> None:
    broken = "import runpy, json; json.dumps = None; runpy.run_module('app', run_name='__main__')"
    ended = subprocess.run(
        [sys.executable, "-c", broken, "doctor", "--json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback (most recent call last):")
