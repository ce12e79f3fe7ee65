"""What a database file is: who makes it, who migrates it, whose it is, and who has it open."""

import os
import re
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app import create_app
from app.auth import keys
from app.cli import main
from app.config import load_settings
from app.errors import StartError
from app.maintenance.doctor import examine
from app.maintenance.erasure import erase_user
from app.storage.database import Database
from app.storage.file_header import APPLICATION_ID
from app.storage.migration_steps import MIGRATIONS
from app.storage.migrations import NEWEST, copy_before

from ..cli.test_ending import ON_A_DATABASE
from ..conftest import ROOT, RunningServer, run, serving
from ..support.calls import BASE
from ..support.command_tree import FILES
from .test_database import IDS_IN_CLEAR

MAKING = ("demo", "import", "restore", "serve")
THEIRS = "create table theirs (a); insert into theirs values (1);"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


def sql(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("pragma user_version").fetchone()[0])


def killed(path: Path, script: str) -> None:
    """Make a database by a program that is killed: what it wrote is in its -wal alone."""
    made = path.with_name("made")
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.executescript(f"pragma journal_mode = wal; {script}")
        for suffix in ("", "-wal"):
            shutil.copy(f"{made}{suffix}", f"{path}{suffix}")
    made.unlink()


def state(folder: Path) -> dict[str, Any]:
    """Return what is in a folder: names, modes, times, and the bytes of files."""
    return {
        file.name: (found.st_mode, found.st_mtime_ns, file.is_file() and file.read_bytes())
        for file in folder.iterdir()
        if (found := file.lstat())
    }


def put_text(path: Path) -> None:
    path.write_text("a list of things to buy\n" * 500)


def put_few_bytes(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def put_folder(path: Path) -> None:
    path.mkdir()


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def put_theirs(path: Path) -> None:
    sql(path, THEIRS)


def put_theirs_in_wal_mode(path: Path) -> None:
    sql(path, f"pragma journal_mode = wal; {THEIRS}")


def put_theirs_in_a_wal(path: Path) -> None:
    killed(path, THEIRS)


def put_theirs_with_more_in_a_wal(path: Path) -> None:
    killed(path, f"{THEIRS} pragma wal_checkpoint; insert into theirs values (2);")


def put_theirs_without_tables(path: Path) -> None:
    sql(path, "pragma application_id = 7;")


def put_theirs_with_a_version_alone(path: Path) -> None:
    sql(path, "pragma user_version = 7;")


def put_link_to_theirs(path: Path) -> None:
    killed(path.with_name("theirs.db"), THEIRS)
    path.symlink_to("theirs.db")


@pytest.mark.parametrize("command", [["keys", "create", "k"], ["serve", "--port", "0"], ["check"]])
@pytest.mark.parametrize(
    "put",
    [
        put_text,
        put_few_bytes,
        put_folder,
        put_pipe,
        put_theirs,
        put_theirs_in_wal_mode,
        put_theirs_in_a_wal,
        put_theirs_with_more_in_a_wal,
        put_theirs_without_tables,
        put_theirs_with_a_version_alone,
        put_link_to_theirs,
    ],
)
def test_what_is_not_ours_is_left_as_it_is(
    path: Path, put: Any, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    put(path)
    if path.is_file():
        path.chmod(0o644)
    before = state(path.parent)
    with pytest.raises(SystemExit) as ended:
        main([*command, "--database", str(path)])
    assert ended.value.code == 1
    assert re.fullmatch(rf"Error: .*{re.escape(str(path))}.*\n", capfd.readouterr().err)
    assert state(path.parent) == before


def test_a_restore_does_not_replace_what_is_another_program_s(path: Path) -> None:
    Database(path.with_name("copy.db")).close()
    put_theirs_in_a_wal(path)
    before = state(path.parent)
    done = run("restore", path.with_name("copy.db"), "--force", "--database", path)
    assert "is a database of another program" in done.stderr
    assert state(path.parent) == before


def test_a_new_database_that_is_in_its_wal_alone_is_ours(path: Path) -> None:
    schema = (ROOT / "schema.sql").read_text()
    killed(
        path,
        f"begin; {schema} pragma application_id = {APPLICATION_ID}; pragma user_version = {NEWEST};"
        "insert into setting values ('time_zone', 'Asia/Tokyo'), ('keep_query', 'off'),"
        " ('collapse_ids', 'off'); commit;",
    )
    with closing(Database(path, create=False)) as database:
        assert database.calendar.zone == "Asia/Tokyo"


@pytest.mark.parametrize("is_there", [False, True])
def test_only_few_commands_make_a_file(
    path: Path, is_there: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYSIS_DATABASE", str(path))
    if is_there:
        path.touch(0o644)
    before = state(path.parent)
    for line in ON_A_DATABASE:
        if line.startswith(MAKING):
            continue
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(line))
        told = capfd.readouterr()
        if line == "doctor":
            assert str(path) in told.out
        else:
            assert (ended.value.code, told.err.count("\n")) == (1, 1), line
            assert f"there is no database {'in ' if is_there else ''}{path}" in told.err
        assert state(path.parent) == before, line


def test_who_makes_a_file_says_so_once(path: Path) -> None:
    events = path.with_name("events")
    events.write_text(FILES["january.ndjson"])
    told = [run("import", "events", events, "--database", path).stderr for _ in range(2)]
    made = f"made a new database at {path}; its time zone is UTC and cannot be changed\n"
    assert told == [made, ""]
    other = path.with_name("other.db")
    assert run("restore", path, "--database", other).stderr == f"made a new database at {other}\n"


@pytest.fixture
def older(path: Path) -> Path:
    """A database of version 4."""
    Database(path).close()
    names = re.findall(r"create (?:unique )?(index|table) (\w+)", str(MIGRATIONS[3]))
    sql(path, "".join(f"drop {kind} if exists {name};" for kind, name in names))
    sql(path, IDS_IN_CLEAR)
    sql(path, "pragma journal_mode = delete; pragma user_version = 4;")
    return path


def test_only_what_is_made_for_it_migrates(
    older: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYSIS_DATABASE", str(older))
    monkeypatch.chdir(older.parent)
    for name, content in FILES.items():
        Path(name).write_text(content)
    shutil.copy(older, "analysis-backup.db")
    before = older.read_bytes()
    for line in ON_A_DATABASE:
        # What copies and checks takes databases of any version that is known.
        if line.startswith(("backup", "check", "migrate", "restore", "serve")):
            continue
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(line.replace("analysis.db", str(older))))
        told = capfd.readouterr()
        if line == "doctor":
            assert "-> saasus-analysis migrate" in told.out
        else:
            assert (ended.value.code, told.err.count("\n")) == (1, 1), line
            assert "`saasus-analysis migrate` or the next start of `serve` brings it" in told.err
        assert older.read_bytes() == before, line
    for expected in (f"migrated from schema 4 to {NEWEST}", "is up to date"):
        with pytest.raises(SystemExit) as ended:
            main(["migrate"])
        told = capfd.readouterr()
        assert (ended.value.code, told.err) == (0, "")
        assert expected in told.out
    assert (version(older), version(copy_before(older, 4))) == (NEWEST, 4)


@pytest.mark.slow
def test_the_application_makes_and_migrates_a_file_for_any_server_and_no_key(older: Path) -> None:
    for path in (older, older.with_name("new.db")):
        with closing(create_app(database=path).extensions["database"]) as database:
            assert keys.list_keys(database) == []
        assert version(path) == NEWEST
    assert version(copy_before(older, 4)) == 4


def ask(server: RunningServer, method: str, path: str, body: str | None = None) -> int:
    with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=60)) as connection:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status


@contextmanager
def logged(path: Path, name: str) -> Iterator[tuple[RunningServer, Path]]:
    log = path.with_name(name)
    with log.open("w") as file, serving("--database", path, "--no-auth", stderr=file) as server:
        yield server, log


EVENT = '{"type": "create_tenant", "tenant_id": "t"}'
READ = f"{BASE}/userinfo/aggregated?start_date=2020-01-01&end_date=2030-01-01"
LIST = f"{BASE}/active-users?type=daily&date_from=2020-01-01"


@pytest.mark.slow
def test_a_server_whose_database_was_migrated_refuses_until_it_is_as_it_was(path: Path) -> None:
    with logged(path, "log") as (server, log):
        feed = ("POST", f"{BASE}/ingest/events", EVENT)
        assert ask(server, *feed) == 200
        sql(path, f"pragma user_version = {NEWEST + 1}")
        with closing(sqlite3.connect(path)) as connection:
            before = list(connection.iterdump())
            asked = [feed, ("GET", READ), ("GET", LIST), ("GET", "/readyz"), feed]
            assert [ask(server, *each) for each in asked] == [503] * 5
            assert ask(server, "GET", "/healthz") == 200
            assert list(connection.iterdump()) == before
        assert log.read_text().count(f"was migrated to schema {NEWEST + 1} by another version") == 1
        sql(path, f"pragma user_version = {NEWEST}")
        assert [ask(server, *each) for each in (feed, ("GET", READ), ("GET", LIST))] == [200] * 3


def test_an_erasure_looks_at_the_version_too(path: Path) -> None:
    with closing(Database(path)) as database:
        sql(path, f"insert into user values (1, 'u'); pragma user_version = {NEWEST + 1}")
        with pytest.raises(Exception, match="was migrated by another version"):
            erase_user(database, "u")


def servers_of(path: Path) -> tuple[str, str]:
    settings = load_settings({"database": path}, {})
    (found,) = [each for each in examine(settings) if each.subject == "servers"]
    return found.state, found.message


@pytest.mark.slow
def test_two_servers_on_one_file_are_told(path: Path) -> None:
    with logged(path, "first") as (first, first_log):
        assert f"made a new database at {path}" in first_log.read_text()
        with logged(path, "second") as (second, second_log):
            assert servers_of(path)[0] == "warning"
            assert f"another server has {path} open" in second_log.read_text()
            feed = ("POST", f"{BASE}/ingest/events", EVENT)
            assert [ask(server, *feed) for server in (first, second)] == [200, 200]
            second.process.kill()
            second.process.wait()
        assert "another server" not in first_log.read_text()
        assert servers_of(path) == ("ok", "one server has it open")
        assert run("keys", "list", "--database", path).stderr == ""
    first.process.wait()
    assert servers_of(path) == ("ok", "no server has it open")


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: a file of another owner; needs root")
@pytest.mark.parametrize(("mode", "is_warned_of"), [(0o660, False), (0o666, True), (0o664, True)])
def test_a_file_of_another_owner_is_used_by_the_rights_of_a_group(
    mode: int, is_warned_of: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "a.db")
        Database(path).close()
        for each, its_mode in ((Path(name), 0o770), (path, mode)):
            os.chown(each, 4001, 4000)
            each.chmod(its_mode)
        child = os.fork()
        if not child:  # a process of another user, who is in the group
            code = 1
            try:
                os.setgroups([])
                os.setgid(4000)
                os.setuid(4002)
                with closing(Database(path, create=False)) as database:
                    database.try_write()
                    assert {file.name for file in Path(name).iterdir()} > {"a.db"}
                assert ("everybody may use" in caplog.text) == is_warned_of
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert path.stat().st_mode & 0o777 == mode
        # Our own file of that mode is closed to the group, as ever.
        os.chown(path, 0, 0)
        Database(path).close()
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: commands of root; needs root")
def test_a_command_of_root_leaves_the_files_to_the_user_of_the_service() -> None:
    with tempfile.TemporaryDirectory() as name:
        path, made = Path(name, "a.db"), Path(name, "made")
        os.chown(name, 4001, 4001)
        ready, over = os.pipe(), os.pipe()
        child = os.fork()
        if not child:  # the service
            code = 1
            try:
                os.setgid(4001)
                os.setuid(4001)
                with closing(Database(path)) as database:
                    database.try_write()
                    os.write(ready[1], b"x")
                    os.read(over[0], 1)
                    database.try_write()
                code = 0
            finally:
                os._exit(code)
        os.close(ready[1])
        assert os.read(ready[0], 1) == b"x"
        for command in (("keys", "create", "app"), ("summaries", "rebuild"), ("backup", made)):
            assert run(*command, "--database", path).returncode == 0
        owners = {file.name: file.stat().st_uid for file in Path(name).iterdir() if file != made}
        os.write(over[1], b"x")
        assert os.waitpid(child, 0)[1] == 0
        assert owners.keys() > {"a.db", "a.db-wal", "a.db-shm"} - {"a.db"}
        assert set(owners.values()) == {4001}


def test_an_unreadable_file_is_left_as_it_is(path: Path) -> None:
    Database(path).close()
    path.chmod(0o444)
    if os.geteuid():
        with pytest.raises(StartError, match="no permission to write"):
            Database(path)
        assert path.stat().st_mode & 0o777 == 0o444
    else:
        Database(path).close()
        assert path.stat().st_mode & 0o777 == 0o400  # and not made one that is written to
