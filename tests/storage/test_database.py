import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.auth import keys, links, sessions
from app.days import FIRST_DAY, LAST_DAY
from app.errors import ServiceUnavailable, StartError
from app.storage.database import Database
from app.storage.event_ids import digest_of, find_wrong, read_ids
from app.storage.file_header import APPLICATION_ID
from app.storage.migration_steps import MIGRATIONS

from ..conftest import ROOT, SetClock
from ..support import older_databases as older

NEWEST = len(MIGRATIONS) + 1

IDS_IN_CLEAR = """
drop table event_id;
drop table event_id_day;
create table event_id (
  source text    not null,
  id     text    not null,
  day    integer not null,
  primary key (source, id)
) strict, without rowid;
"""
"""What makes the ids of events those of version 5."""

ADD = "insert into tenant (name) values (?)"
COUNT = "select count(*) from tenant"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., Database]]:
    made: list[Database] = []

    def open_(time_zone: str | None = None, busy_seconds: int = 5) -> Database:
        made.append(
            Database(
                path,
                time_zone=time_zone,
                busy_seconds=busy_seconds,
                clock=SetClock(),
                migrate=True,
            )
        )
        return made[-1]

    yield open_
    for database in made:
        database.close()


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


def add(database: Database, name: str) -> None:
    with database.writing() as connection:
        connection.execute(ADD, (name,))


def count(database: Database) -> int:
    with database.reading() as connection:
        (number,) = connection.execute(COUNT).fetchone()
    return int(number)


def schema(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("select type, name, sql from sqlite_schema").fetchall()


def without_comments(path: Path) -> list[list[str]]:
    """Return the schema in words, each object as soon as it can be made."""
    return sorted(re.sub(r"--.*", "", str(row[2])).split() for row in schema(path))


def fetched(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def pragma(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"pragma {name}").fetchone()[0])


def test_a_new_file_is_for_its_owner_alone(opened: Callable[..., Database], path: Path) -> None:
    add(opened(), "t")
    assert {file.name for file in path.parent.iterdir()} == {"a.db", "a.db-wal", "a.db-shm"}
    assert {mode(file) for file in path.parent.iterdir()} == {"0o600"}


def test_a_file_that_others_can_read_is_closed_to_them(
    opened: Callable[..., Database], path: Path
) -> None:
    opened().close()
    path.chmod(0o644)
    opened()
    assert mode(path) == "0o600"


def test_an_empty_file_becomes_a_database(opened: Callable[..., Database], path: Path) -> None:
    path.touch(0o644)
    add(opened(), "t")
    assert mode(path) == "0o600"


def test_the_schema_is_what_schema_sql_says(
    opened: Callable[..., Database], path: Path, tmp_path: Path
) -> None:
    opened()
    with closing(sqlite3.connect(tmp_path / "plain.db")) as plain:
        plain.executescript((ROOT / "schema.sql").read_text())
    assert schema(path) == schema(tmp_path / "plain.db")
    assert pragma(path, "application_id") == APPLICATION_ID
    assert pragma(path, "user_version") == NEWEST


def test_it_is_durable_and_checks_references(opened: Callable[..., Database]) -> None:
    database = opened()
    with database.writing() as connection:
        assert connection.execute("pragma synchronous").fetchone() == (2,)
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    with pytest.raises(sqlite3.IntegrityError), database.writing() as connection:
        connection.execute("insert into referer (url, page_id) values ('x', 99)")


class TestMigration:
    @pytest.fixture(autouse=True)
    def old(self, opened: Callable[..., Database], path: Path) -> None:
        database = opened("Asia/Tokyo")
        add(database, "kept")
        database.close()

    def test_steps_run_in_order_after_a_backup(
        self, opened: Callable[..., Database], path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps = (
            "create table one (a integer) strict;\ninsert into one values (1);",
            "alter table one add column b integer not null default 2;",
        )
        monkeypatch.setattr("app.storage.migrations.MIGRATIONS", MIGRATIONS + steps)
        database = opened()
        with database.reading() as connection:
            assert connection.execute("select a, b from one").fetchall() == [(1, 2)]
        assert (count(database), database.calendar.zone) == (1, "Asia/Tokyo")
        assert pragma(path, "user_version") == NEWEST + 2
        backup = path.with_name(f"a.db.schema-{NEWEST}.backup")
        assert (pragma(backup, "user_version"), mode(backup)) == (NEWEST, "0o600")
        with closing(sqlite3.connect(backup)) as copy:
            assert copy.execute(COUNT).fetchone() == (1,)

    def test_a_step_that_fails_leaves_everything_as_it_was(
        self, opened: Callable[..., Database], path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = schema(path)
        steps = ("create table one (a integer) strict;", "insert into absent values (1);")
        monkeypatch.setattr("app.storage.migrations.MIGRATIONS", MIGRATIONS + steps)
        with pytest.raises(StartError, match="no such table: absent"):
            opened()
        assert (schema(path), pragma(path, "user_version")) == (before, NEWEST)
        monkeypatch.undo()
        assert count(opened()) == 1

    def test_a_database_of_version_1_becomes_like_a_new_one(
        self, opened: Callable[..., Database], path: Path, tmp_path: Path
    ) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(older.FACTS + IDS_IN_CLEAR)
            connection.executescript(
                """
                drop table session;
                drop table link;
                drop table user_call;
                drop table kept;
                drop table audit;
                drop table period_summary;
                drop index active_users_put;
                alter table key drop column last_used_at;
                drop table page_summary;
                drop table page_sealing;
                drop table behavior;
                create table behavior (
                  day        integer not null,
                  user_id    integer not null references user (id),
                  seq        integer not null,
                  timestamp  integer not null check (timestamp >= 0),
                  referer_id integer not null references referer (id),
                  primary key (day, user_id, seq)
                ) strict, without rowid;
                insert into user values (1, 'ann'), (2, 'bob');
                insert into page values (1, '/p');
                insert into referer values (1, '/p?1', 1), (2, '/p?2', 1);
                insert into behavior values (0, 1, 0, 53999, 1), (0, 1, 1, 53999, 2),
                  (1, 1, 0, 54000, 2), (1, 1, 1, 54000, 1), (1, 2, 0, 54000, 1);
                delete from setting where name <> 'time_zone';
                pragma user_version = 1;
                """
            )
        assert (count(opened()), pragma(path, "user_version")) == (1, NEWEST)
        kept = "select user_id, timestamp, referer_id from behavior "
        assert fetched(path, kept + "order by block, user_id, second, seq") == [
            (1, 53999, 1),
            (1, 53999, 2),
            (1, 54000, 2),
            (1, 54000, 1),
            (2, 54000, 1),
        ]
        with closing(Database(tmp_path / "new.db", time_zone="Asia/Tokyo")):
            for sql in ("select * from setting order by name", "pragma user_version"):
                assert fetched(path, sql) == fetched(tmp_path / "new.db", sql)
            assert without_comments(path) == without_comments(tmp_path / "new.db")

    def test_with_a_key_of_version_4_one_can_sign_in(
        self, opened: Callable[..., Database], path: Path, tmp_path: Path
    ) -> None:
        database = opened()
        token = keys.create_bearer_key(database, name="k", scopes=("read",))
        database.close()
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(older.FACTS + IDS_IN_CLEAR)
            for kind, name in re.findall(
                r"create (?:unique )?(index|table) (\w+)", str(MIGRATIONS[3])
            ):
                connection.execute(f"drop {kind} if exists {name}")
            connection.execute("pragma user_version = 4")
        database = opened()
        key = keys.find_bearer_key(database, token)
        assert key is not None
        assert sessions.find_key(database, sessions.begin_session(database, key, 60)) == key
        assert links.list_links(database) == []
        backup = path.with_name("a.db.schema-4.backup")
        assert fetched(backup, "select name from key") == [("k",)]
        with closing(Database(tmp_path / "new.db")):
            assert without_comments(path) == without_comments(tmp_path / "new.db")

    def test_a_newer_version_is_refused_and_not_touched(
        self, opened: Callable[..., Database], path: Path
    ) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"pragma user_version = {NEWEST + 1}")
        before = path.read_bytes()
        with pytest.raises(StartError, match="newer version of this program"):
            opened()
        assert path.read_bytes() == before

    def test_another_time_zone_is_refused_and_none_keeps_it(
        self, opened: Callable[..., Database]
    ) -> None:
        with pytest.raises(StartError, match="was made with Asia/Tokyo, which a start does"):
            opened("UTC")
        assert opened("Asia/Tokyo").calendar.zone == "Asia/Tokyo"
        assert opened().calendar.zone == "Asia/Tokyo"


def test_a_new_database_has_days_in_utc(opened: Callable[..., Database]) -> None:
    assert opened().calendar.zone == "UTC"


def test_the_database_of_another_program_is_refused_and_not_changed(
    opened: Callable[..., Database], path: Path
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table theirs (a)")
    before = schema(path)
    with pytest.raises(StartError, match="is a database of another program"):
        opened()
    assert schema(path) == before


def test_a_file_that_is_no_database_is_refused_and_not_changed(
    opened: Callable[..., Database], path: Path
) -> None:
    path.write_text("not a database, but long enough to be looked at as one" * 100)
    before = path.read_bytes()
    with pytest.raises(StartError, match="file is not a database"):
        opened()
    assert path.read_bytes() == before


def test_a_folder_is_refused(opened: Callable[..., Database], path: Path) -> None:
    path.mkdir()
    with pytest.raises(StartError, match="cannot be used"):
        opened()


def test_a_reader_sees_one_state_while_others_write(opened: Callable[..., Database]) -> None:
    database = opened()
    with database.reading() as connection:
        assert connection.execute(COUNT).fetchone() == (0,)
        add(database, "t")
        assert connection.execute(COUNT).fetchone() == (0,)
    assert count(database) == 1


def test_an_exception_undoes_the_whole_transaction(opened: Callable[..., Database]) -> None:
    database = opened()
    with pytest.raises(KeyError), database.writing() as connection:
        connection.execute(ADD, ("t",))
        raise KeyError
    assert count(database) == 0
    add(database, "t")
    assert count(database) == 1


def test_threads_that_write_at_once_all_succeed(opened: Callable[..., Database]) -> None:
    database = opened()
    threads = [threading.Thread(target=add, args=(database, f"t{n}")) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(database) == 16


@pytest.mark.slow
def test_ids_of_events_become_digests_and_are_nowhere_in_the_file(
    opened: Callable[..., Database], path: Path
) -> None:
    """Of an older version, on a SQLite that does not overwrite what it deletes."""
    opened().close()
    names = [f"an-id-in-clear-{number}" for number in range(5000)]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma secure_delete = off")
        connection.executescript(f"{older.FACTS} {IDS_IN_CLEAR} drop index session_expires_at;")
        connection.execute("create table remains (name text)")
        connection.execute("pragma user_version = 5")
        rows = [("client", name, number) for number, name in enumerate(names)]
        connection.executemany("insert into event_id values (?, ?, ?)", rows)
        connection.executemany("insert into remains values (?)", [(name,) for name in names])
        connection.commit()
        connection.execute("drop table remains")
    database = opened()
    with database.reading() as connection:
        found = dict(read_ids(connection))
    assert found == {digest_of("client", name): number for number, name in enumerate(names)}
    assert database.empty_wal()
    assert b"an-id-in-clear" not in path.read_bytes()
    copy = path.with_name("a.db.schema-5.backup")
    assert b"an-id-in-clear" in copy.read_bytes()


def test_ids_of_version_7_are_kept_with_their_days(
    opened: Callable[..., Database], path: Path, tmp_path: Path
) -> None:
    opened().close()
    days = [0, 65535, 65536, -1, FIRST_DAY, LAST_DAY, *[20_000] * 94]
    ids = {digest_of("client", f"event-{i}"): days[i % len(days)] for i in range(3000)}
    ids |= {bytes([7] * 7) + i.to_bytes(9): days[i % 3] for i in range(300)}
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(older.VERSION_7)
        connection.executemany("insert into event_id values (?, ?)", ids.items())
        connection.commit()
    with opened().reading() as connection:
        assert list(read_ids(connection)) == sorted(ids.items())
        assert list(find_wrong(connection)) == []
        connection.rollback()
    with closing(Database(tmp_path / "new.db")):
        assert without_comments(path) == without_comments(tmp_path / "new.db")


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('begin immediate'); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate()


def test_a_write_waits_for_another_process(opened: Callable[..., Database], path: Path) -> None:
    database = opened(busy_seconds=20)
    with locked_by_another_process(path):
        thread = threading.Thread(target=add, args=(database, "t"))
        thread.start()
        time.sleep(0.2)
        assert thread.is_alive()
        assert count(database) == 0
    thread.join()
    assert count(database) == 1


def test_a_write_that_cannot_wait_says_so(opened: Callable[..., Database], path: Path) -> None:
    database = opened(busy_seconds=0)
    with (
        locked_by_another_process(path),
        pytest.raises(ServiceUnavailable, match="busy with another process; nothing was stored"),
    ):
        add(database, "t")
    add(database, "t")
    assert count(database) == 1


class TestOverHttp:
    @pytest.fixture
    def settings(self) -> dict[str, object]:
        return {"busy_seconds": 0}

    @pytest.mark.slow
    def test_a_locked_database_is_a_503_until_it_is_free(
        self, client: FlaskClient, database: Database
    ) -> None:
        event = {"type": "create_tenant", "tenant_id": "t"}
        with locked_by_another_process(database.path):
            for answer in (
                client.post("/v1/analysis/ingest/events", json=event),
                client.get("/readyz"),
            ):
                assert answer.status_code == 503
                assert answer.headers["Retry-After"] == "1"
                assert answer.json is not None
                assert answer.json["type"] == "service_unavailable"
            assert client.get("/healthz").status_code == 200
            reading = "/v1/analysis/active-users?type=daily&date_from=2025-01-01"
            assert client.get(reading).status_code == 200
        assert client.post("/v1/analysis/ingest/events", json=event).status_code == 200


@pytest.mark.slow
def test_processes_that_start_at_once_share_one_new_database(path: Path) -> None:
    command = [sys.executable, "-m", "app", "import", "events", "-", "--database", str(path)]
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for number, process in enumerate(processes):
        assert process.stdin is not None
        process.stdin.write(f'{{"type": "create_tenant", "tenant_id": "t{number}"}}')
    errors = "".join(process.communicate()[1] for process in processes)
    assert [process.returncode for process in processes] == [0] * 6, errors
    assert errors == f"made a new database at {path}; its time zone is UTC and cannot be changed\n"
    assert fetched(path, COUNT) == [(6,)]
