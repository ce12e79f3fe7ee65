"""What happens to a server whose disk, file or folder goes wrong, and when that is over.

Nothing that was answered is lost, an answer of 503 stored nothing, and no restart is needed.
"""

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.analytics.histories import update_user_behavior_histories_by_day
from app.cli import main
from app.errors import ServiceUnavailable
from app.maintenance import pruning
from app.storage.database import Database
from app.storage.event_ids import digest_of, read_ids
from app.storage.migration_steps import MIGRATIONS
from app.summaries.pages import sealing

from ..conftest import ROOT, RunningServer, run, serving
from ..support.calls import BASE
from .test_database import locked_by_another_process

pytestmark = pytest.mark.slow

DAY = 5 * 86400
STATISTICS = f"/metrics/page-statistics?start_timestamp=0&end_timestamp={2 * DAY}"
NEWER = f"pragma user_version = {len(MIGRATIONS) + 2}"
ENTRIES = 2000


@dataclass
class Watched:
    """A server, and the numbers of the writes that it has answered with 200."""

    running: RunningServer
    path: Path
    numbers: Iterator[int] = field(default_factory=count)
    answered: set[int] = field(default_factory=set)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str | None, bytes]:
        """Return status, Retry-After and body of an answer."""
        with closing(HTTPConnection(urlsplit(self.running.url).netloc, timeout=60)) as connection:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Retry-After"), answer.read()

    def write(self) -> list[tuple[int, str | None, bytes]]:
        """Write once with each operation; all are answered alike. Return the answers."""
        number = next(self.numbers)
        entries = [
            {"timestamp": DAY + second, "referer": f"/{number}?{second}"}
            for second in range(ENTRIES)
        ]
        event = {"type": "userinfo", "tenant_id": f"t{number}", "env_id": 1, "referer": "/"}
        event |= {"id": f"i{number}", "user_id": f"e{number}", "timestamp": DAY}
        numbers = {"type": "daily", "date": "1970-01-02", "tenant_id": f"n{number}", "env_id": 1}
        day = {"timestamp": DAY, "user_id": f"d{number}", "histories": entries}
        answers = [
            self.ask("PUT", f"{BASE}/user-behavior-day", day),
            self.ask("PUT", f"{BASE}/active-users", numbers | {"active_users": number}),
            self.ask("POST", f"{BASE}/ingest/events", [event]),
        ]
        (status,) = {status for status, _, _ in answers}
        if status == 200:
            self.answered.add(number)
        return answers

    def works(self) -> None:
        assert [status for status, _, _ in self.write()] == [200] * 3
        assert self.readiness(200)[0] == 200
        assert self.ask("GET", BASE + STATISTICS)[0] == 200

    def readiness(self, status: int) -> tuple[int, str | None, bytes]:
        """Return the answer of `/readyz` once it has a status, which it finds within a second."""
        until = time.monotonic() + 10
        while (answer := self.ask("GET", "/readyz"))[0] != status and time.monotonic() < until:
            time.sleep(0.05)
        return answer

    def refuses(self, message: str) -> None:
        """Check that writes are refused, with a reason, and that readiness tells so."""
        for answer in (*self.write(), self.readiness(503)):
            refused(answer, message)
        assert self.ask("GET", "/healthz")[0] == 200


def refused(answer: tuple[int, str | None, bytes], message: str) -> None:
    status, retry_after, body = answer
    assert (status, retry_after) == (503, "1")
    told = {"type": "service_unavailable", "message": f"{message}; nothing was stored"}
    assert json.loads(body) == told


def stored(path: Path) -> set[int]:
    """Return the numbers of the writes in a file; each is there with all three operations."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert connection.execute("pragma foreign_key_check").fetchall() == []
        days = dict(
            connection.execute(
                "select substr(name, 2), count(*) from behavior join user on user.id = user_id "
                "where name like 'd%' group by name"
            )
        )
        (puts,) = connection.execute("select group_concat(put) from active_users").fetchone()
        ids = {digest for digest, _ in read_ids(connection)}
        (tenants,) = connection.execute("select count(*) from tenant").fetchone()
    assert set(days.values()) <= {ENTRIES}
    assert days.keys() == set(puts.split(","))
    assert {digest_of("client", f"i{number}") for number in days} == ids
    assert tenants == 2 * len(ids)
    return set(map(int, days))


@contextmanager
def watched(path: Path) -> Iterator[Watched]:
    """Serve a database; check afterwards that it has what was answered, and what was logged."""
    log = path.with_name("log")
    with log.open("w") as file, serving("--database", path, "--no-auth", stderr=file) as running:
        watching = Watched(running, path)
        watching.works()
        yield watching
        watching.works()
        running.process.kill()
        running.process.wait()
        assert stored(path) == watching.answered
    assert "Traceback" not in log.read_text()
    checked = run("summaries", "check", "--database", path)
    assert checked.returncode == 0, checked.stdout


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYSIS_BUSY_SECONDS", "0")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give the folder of a disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("NOT TESTED: a full disk; only root can mount a small one")
    if (done := subprocess.run(command, capture_output=True, text=True)).returncode:
        pytest.skip(f"NOT TESTED: a full disk; {done.stderr}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def fill(disk: Path) -> Iterator[None]:
    """Leave no room on a small disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    yield
    ballast.unlink()


def test_a_full_disk_is_a_503_until_there_is_space(small_disk: Path) -> None:
    with watched(small_disk / "a.db") as server, fill(small_disk):
        server.refuses("the disk that holds the database is full")
        assert server.ask("GET", BASE + STATISTICS)[0] == 200


def test_a_full_disk_is_told_to_each_of_many_who_write_at_once(small_disk: Path) -> None:
    full = "the disk that holds the database is full"
    with (
        watched(small_disk / "a.db") as server,
        fill(small_disk),
        ThreadPoolExecutor(16) as threads,
    ):
        for answers in threads.map(lambda _: server.write(), range(64)):
            for answer in answers:
                refused(answer, full)


def leave_room_in_the_wal(database: Database) -> None:
    """Let the -wal be large and taken in, so that small writes need nothing of the disk."""
    with database.writing() as connection:
        connection.execute(
            "insert into setting (name, value) values ('room', hex(zeroblob(150000)))"
        )
    with database.reading() as connection:
        connection.rollback()
        connection.execute("pragma wal_checkpoint")


def test_an_erasure_on_a_full_disk_tells_what_holds_and_ends_when_there_is_room(
    small_disk: Path,
) -> None:
    path, ann = small_disk / "a.db", "ann-who-is-to-be-forgotten"
    erasing: tuple[str | Path, ...] = ("erase-user", ann, "--yes", "--database", path)
    nothing = f"Error: no data are stored for a user '{ann}'"

    def is_in_files() -> bool:
        return any(ann.encode() in file.read_bytes() for file in small_disk.iterdir())

    with closing(Database(path)) as database:
        leave_room_in_the_wal(database)
        with fill(small_disk):
            with database.writing() as connection:
                # New pages, for which there is room in the -wal, and none in the file.
                connection.execute(
                    "insert into setting (name, value) values ('more', hex(zeroblob(50000)))"
                )
                connection.execute("insert into user (name) values (?)", (ann,))
            done = run(*erasing)
            assert (done.returncode, done.stdout[:16]) == (75, "erased: users 1,")
            assert done.stderr == (
                f"Error: the user '{ann}' is erased from all responses, but the data remain in the "
                "files until they are overwritten: the disk that holds the database is full; the "
                "-wal was not emptied; run it again to finish\n"
            )
            done = run(*erasing)
            assert (done.returncode, is_in_files()) == (75, True)
            assert done.stderr.startswith(
                f"{nothing}, but data that were erased before remain in the files"
            )
        done = run(*erasing)
        assert (done.returncode, done.stderr, is_in_files()) == (1, f"{nothing}\n", False)


@contextmanager
def locked_from(
    monkeypatch: pytest.MonkeyPatch, path: Path, module: Any, name: str
) -> Iterator[None]:
    """Let another connection hold a database from a call of a function of a module on."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        called = getattr(module, name)

        def lock(*arguments: Any) -> Any:
            other.execute("begin immediate")
            return called(*arguments)

        monkeypatch.setattr(module, name, lock)
        yield


def test_a_prune_that_cannot_go_on_tells_what_it_deleted(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(Database(path)) as database, database.writing() as connection:
        connection.execute("insert into tenant (id, name) values (1, 't')")
        connection.execute("insert into call_count values (1, 1, 1, 1)")
    with locked_from(monkeypatch, path, pruning, "find_unused"), pytest.raises(SystemExit) as ended:
        main(["prune", "--keep-counts", "9", "--yes", "--database", str(path)])
    assert (ended.value.code, capfd.readouterr().err.splitlines()[-1]) == (
        75,
        "Error: the database is busy with another process; nothing was stored "
        "(deleted so far: counts 1); run it again to continue",
    )


def test_a_rebuild_that_cannot_make_all_summaries_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sealing, "PAYS", 1)
    with closing(Database(path)) as database:
        entry = {"timestamp": DAY, "referer": "/"}
        update_user_behavior_histories_by_day(
            database, timestamp=DAY, user_id="u", histories=[entry]
        )
    with locked_from(monkeypatch, path, sealing, "_seal"), pytest.raises(SystemExit) as ended:
        main(["summaries", "rebuild", "--database", str(path)])
    assert ended.value.code == 75
    assert capfd.readouterr().err.splitlines()[-1] == (
        "Error: not all summaries were made, since the database is busy with another process: "
        "answers are correct without them, and a query makes those that it needs; run this command "
        "again to make all"
    )


def test_a_disk_that_refuses_writes_is_a_503_until_it_takes_them(path: Path) -> None:
    with watched(path) as server:
        at_first = resource.prlimit(server.running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.running.process.pid, resource.RLIMIT_FSIZE, (100, at_first[1]))
        server.refuses("the disk that holds the database reports an error")
        assert server.ask("GET", BASE + STATISTICS)[0] == 200
        resource.prlimit(server.running.process.pid, resource.RLIMIT_FSIZE, at_first)


def test_a_lock_of_another_process_is_a_503_until_it_is_gone(path: Path) -> None:
    with watched(path) as server:
        with locked_by_another_process(path):
            server.refuses("the database is busy with another process")
            assert server.ask("GET", BASE + STATISTICS)[0] == 200
        server.works()


def test_a_file_that_is_made_read_only_is_written_to_until_the_end_and_not_started_on(
    path: Path,
) -> None:
    with watched(path) as server:
        path.chmod(0o400)
        server.works()
        path.chmod(0o600)
    path.chmod(0o400)
    command = [*bound_by_permissions(), "-m", "app", "serve", "--port", "0"]
    command += ["--database", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: the database {path} cannot be used: ")
    assert done.stderr.count("\n") == 1


def test_a_server_on_a_locked_database_does_not_start_and_says_why(path: Path) -> None:
    Database(path).close()
    with locked_by_another_process(path):
        done = run("serve", "--port", "0", "--database", path)
    assert done.returncode == 75
    assert done.stderr == f"Error: the database {path} cannot be used: database is locked\n"


def beside(path: Path) -> Path:
    return path.with_name("beside.db")


def move_away(path: Path) -> None:
    path.rename(beside(path))


def put_no_database(path: Path) -> None:
    move_away(path)
    path.write_text("not a database, but long enough to be looked at as one" * 100)


def put_newer_version(path: Path) -> None:
    Database(path.with_name("newer.db")).close()
    with closing(sqlite3.connect(path.with_name("newer.db"))) as connection:
        connection.execute(NEWER)
    move_away(path)
    path.with_name("newer.db").rename(path)


def put_database_of_other_days(path: Path) -> None:
    with closing(Database(path.with_name("other.db"), time_zone="Asia/Tokyo")):
        pass
    move_away(path)
    path.with_name("other.db").rename(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (move_away, "the database file is gone"),
        (put_no_database, "the database file cannot be used"),
        (put_newer_version, "the database file cannot be used"),
        (put_database_of_other_days, "the database file cannot be used"),
    ],
)
def test_a_file_that_is_not_ours_is_a_503_until_ours_is_back(
    path: Path, change: Callable[[Path], None], message: str
) -> None:
    with watched(path) as server:
        change(path)
        before = path.read_bytes() if path.exists() else b""
        for _ in range(2):
            server.refuses(message)
            refused(server.ask("GET", BASE + STATISTICS), message)
        assert (path.read_bytes() if path.exists() else b"") == before
        beside(path).replace(path)


def test_a_deleted_file_is_a_503_until_a_copy_is_put_back(path: Path) -> None:
    with watched(path) as server:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(beside(path))) as to:
            source.backup(to)
        kept = set(server.answered)
        server.works()
        path.unlink()
        server.refuses("the database file is gone")
        beside(path).rename(path)
        server.answered = kept


@pytest.mark.parametrize("suffixes", [("-wal",), ("-shm",), ("-wal", "-shm")], ids=" ".join)
def test_a_deleted_file_beside_the_database_loses_nothing(
    path: Path, suffixes: tuple[str, ...]
) -> None:
    with watched(path) as server:
        for _ in range(2):
            for suffix in suffixes:
                Path(f"{path}{suffix}").unlink()
            server.works()


def test_what_is_committed_while_its_file_is_deleted_is_saved_or_not_answered(path: Path) -> None:
    add = "insert into tenant (name) values (?)"
    with closing(Database(path)) as database:
        with database.writing() as connection:
            connection.execute(add, ("one",))
            Path(f"{path}-wal").unlink()
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("select name from tenant").fetchall() == [("one",)]
        with (
            pytest.raises(ServiceUnavailable, match="changed by others; this write may be lost"),
            database.writing() as connection,
        ):
            connection.execute(add, ("two",))
            path.unlink()


def test_a_question_under_way_keeps_its_file_until_it_is_answered(path: Path) -> None:
    counting = "select count(*) from tenant"
    with closing(Database(path, busy_seconds=0)) as database, ExitStack() as asking:
        connection = asking.enter_context(database.reading())
        assert connection.execute(counting).fetchone() == (0,)
        Path(f"{path}-wal").unlink()
        with pytest.raises(ServiceUnavailable, match="is being opened"):
            database.try_write()
        assert connection.execute(counting).fetchone() == (0,)
        asking.close()
        database.try_write()


def bound_by_permissions() -> list[str]:
    """Return the start of a command that runs Python bound by the permissions of files."""
    if os.geteuid():
        return [sys.executable]
    if shutil.which("setpriv") is None:
        pytest.skip("NOT TESTED: a read-only file; root writes to it without setpriv")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--", sys.executable]
