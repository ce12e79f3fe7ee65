"""Backups, restoring, and checking: whole or not at all, whatever happens meanwhile."""

import json
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import Request, urlopen

import pytest

from app.analytics.events import Event, Place, Report
from app.analytics.page_statistics import get_page_statistics
from app.analytics.recording import record_events
from app.errors import StartError
from app.maintenance import backup
from app.maintenance.backup import back_up, back_up_dated, restore
from app.storage.database import Database
from app.storage.migration_steps import MIGRATIONS

from ..conftest import NOW, ROOT, RunningServer, SetClock, run, run_process, serving

NEWEST = len(MIGRATIONS) + 1
DAY = 86400
TENANTS = "select name from tenant"


def quiet(done: int, total: int) -> None:
    """Show no progress."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that no one has open, with a month of views and their summaries."""
    path = tmp_path / "a.db"
    with closing(Database(path, clock=SetClock(), synchronous="off")) as database:
        places = (Place("acme", (3, 4)),)
        events = [
            Event(
                "userinfo",
                NOW - at * 600,
                f"u{at % 97}",
                places,
                f"/p{at % 7}?x",
                id=("client", f"event-{at}"),
            )
            for at in range(4000)
        ]
        record_events(database, events, Report())
        get_page_statistics(database, start_timestamp=NOW - 30 * DAY, end_timestamp=NOW)
    return path


def edit(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def tenants(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute(TENANTS)}


def add_tenant(path: Path, name: str) -> None:
    edit(path, f"insert into tenant (name) values ('{name}')")


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def damage(path: Path) -> None:
    """Overwrite the headers of some pages in the middle."""
    with path.open("r+b") as file:
        for page in range(10, 20):
            file.seek(page * 4096)
            file.write(b"\xff" * 16)


def refused(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """Return what a command that failed said, which must be one line."""
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def is_right(path: Path) -> bool:
    done = run("check", "--database", path, "--json")
    return done.returncode == 0 and json.loads(done.stdout)["wrong"] == []


def post(server: RunningServer, *events: dict[str, Any]) -> None:
    body = json.dumps(events).encode()
    headers = server.headers | {"Content-Type": "application/json"}
    with urlopen(Request(f"{server.url}/v1/analysis/ingest/events", body, headers)) as answer:
        assert json.load(answer)["accepted"] == len(events)


def leave_wal(path: Path) -> None:
    """Store a tenant with a server that is killed, so that it is in the -wal alone."""
    with serving("--database", path) as server:
        post(server, {"type": "create_tenant", "tenant_id": "in-the-wal"})
        server.process.kill()
        server.process.wait()


class Writer(threading.Thread):
    """Writes tenants NAME-0, NAME-1, … until it is stopped or its server ends."""

    def __init__(self, server: RunningServer, name: str) -> None:
        super().__init__()
        self.server, self.label, self.answered = server, name, 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            tenant = f"{self.label}-{self.answered}"
            try:
                view = {"type": "userinfo", "user_id": tenant, "tenant_id": tenant, "env_id": 1}
                post(self.server, {"type": "create_tenant", "tenant_id": tenant}, view)
            except (OSError, HTTPException):
                return
            self.answered += 1

    def stored_in(self, path: Path) -> int:
        """Return how many are in a copy, which must be the first ones."""
        found = {name for name in tenants(path) if name.startswith(f"{self.label}-")}
        assert found == {f"{self.label}-{number}" for number in range(len(found))}
        return len(found)


class TestBackup:
    @pytest.mark.slow
    def test_it_is_a_whole_database_for_its_owner_alone(self, path: Path, tmp_path: Path) -> None:
        target = tmp_path / "b.db"
        before = path.read_bytes()
        done = run("backup", target, "--database", path)
        assert done.stdout == (
            f"{target}: {target.stat().st_size} bytes, schema {NEWEST}, checked\n"
        )
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert names(tmp_path) == {"a.db", "b.db"}
        assert target.read_bytes()[100:] == before[100:]
        assert is_right(target)

    @pytest.mark.slow
    def test_it_is_told_as_json(self, path: Path, tmp_path: Path) -> None:
        target = tmp_path / "b.db"
        assert json.loads(run("backup", target, "--json", "--database", path).stdout) == {
            "database": str(path),
            "backup": str(target),
            "bytes": target.stat().st_size,
            "schema": NEWEST,
            "deleted": [],
        }

    @pytest.mark.slow
    def test_it_is_one_state_while_others_write(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backup, "STEP", 1)
        before = tenants(path)
        with closing(Database(path)) as database:

            def write(done: int, _: int) -> None:
                with database.writing() as connection:
                    connection.execute("insert into tenant (name) values (?)", (f"t{done}",))

            back_up(path, tmp_path / "b.db", write)
        assert tenants(tmp_path / "b.db") == before
        assert len(tenants(path)) > 100
        assert is_right(tmp_path / "b.db")

    @pytest.mark.slow
    def test_a_server_may_write_meanwhile(self, tmp_path: Path) -> None:
        path = tmp_path / "a.db"
        with serving("--database", path) as server:
            writers = [Writer(server, name) for name in ("x", "y")]
            for writer in writers:
                writer.start()
            for number in range(4):
                answered = [writer.answered for writer in writers]
                copy = tmp_path / f"b{number}.db"
                assert run("backup", copy, "--database", path).returncode == 0
                assert is_right(copy)
                for writer, least in zip(writers, answered, strict=True):
                    assert least <= writer.stored_in(copy) <= writer.answered + 1
            for writer in writers:
                writer.ended.set()
                writer.join()
        assert is_right(path)

    @pytest.mark.slow
    def test_the_same_call_again_replaces_the_backup(self, path: Path, tmp_path: Path) -> None:
        for name in ("first", "second"):
            add_tenant(path, name)
            assert run("backup", tmp_path / "b.db", "--database", path).returncode == 0
            assert name in tenants(tmp_path / "b.db")

    @pytest.mark.slow
    def test_a_database_of_an_older_schema_is_copied_as_it_is(
        self, path: Path, tmp_path: Path
    ) -> None:
        edit(path, "pragma user_version = 1")
        assert back_up(path, tmp_path / "b.db", quiet).schema == 1
        checked = json.loads(run("check", "--json", "--database", tmp_path / "b.db").stdout)
        assert (checked["schema"], checked["checked"]) == (1, ["file", "references"])

    @pytest.mark.slow
    def test_any_name_will_do(self, path: Path, tmp_path: Path) -> None:
        folder = tmp_path / "Sauvegardes été? 東京 #1 100%"
        folder.mkdir()
        at = folder / "données.db"
        assert run("restore", path, "--database", at).returncode == 0
        assert run("backup", folder / "копия.db", "--database", at).returncode == 0
        assert run("backup", folder, "--keep", "1", "--database", at).returncode == 0
        assert len(names(folder)) == 3
        assert all(is_right(file) for file in folder.iterdir())

    @pytest.mark.slow
    def test_it_needs_neither_standard_input_nor_output(self, path: Path, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "app", "backup", str(tmp_path / "b.db")]
        command += ["--database", str(path)]
        closed = subprocess.run(["sh", "-c", 'exec "$@" <&- >&-', "-", *command], cwd=ROOT)
        assert closed.returncode == 0
        assert is_right(tmp_path / "b.db")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["a.db"], "a.db is the database itself"),
            (["a.db-wal"], "a.db-wal is reserved for the database itself"),
            (["folder"], "is a folder; use --keep N to make dated backups in it"),
            (["notes.txt"], "file is not a database"),
            (["theirs.db"], "theirs.db is a database of another program"),
            (["used.db"], "used.db is in use as a database"),
            (["none/b.db"], "cannot be copied to"),
            (["/dev/null"], "/dev/null is not a file"),
            (["notes.txt", "--keep", "2"], "notes.txt cannot be created"),
            (["b.db", "--database", "none.db"], "there is no database none.db"),
            (["b.db", "--database", "notes.txt"], "notes.txt cannot be used"),
            (["b.db", "--database", "folder"], "there is no database folder"),
        ],
    )
    def test_what_cannot_be_is_one_line_and_changes_nothing(
        self,
        path: Path,
        tmp_path: Path,
        arguments: list[str],
        message: str,
    ) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "notes.txt").write_text("Buy milk." * 500)
        edit(tmp_path / "theirs.db", "create table theirs (a)")
        (tmp_path / "used.db").write_bytes(path.read_bytes())
        (tmp_path / "used.db-wal").touch()
        before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
        environment = os.environ | {"ANALYSIS_DATABASE": "a.db", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", "app", "backup", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert message in refused(done)
        after = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
        assert after == before

    @pytest.mark.slow
    @pytest.mark.parametrize("arguments", [["--keep", "0"], ["--keep", "x"], ["--no"], ["b", "c"]])
    def test_a_bad_option_is_named(self, path: Path, arguments: list[str]) -> None:
        done = run("backup", *arguments, "--database", path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "Error: " in done.stderr

    @pytest.mark.slow
    def test_a_damaged_database_is_not_copied(self, path: Path, tmp_path: Path) -> None:
        back_up(path, tmp_path / "b.db", quiet)
        before = (tmp_path / "b.db").read_bytes()
        damage(path)
        assert "is damaged and was not copied" in refused(
            run("backup", tmp_path / "b.db", "--database", path)
        )
        assert (tmp_path / "b.db").read_bytes() == before
        assert names(tmp_path) == {"a.db", "b.db"}

    @pytest.mark.slow
    def test_a_disk_that_is_full_leaves_nothing(self, path: Path, tmp_path: Path) -> None:
        def limit() -> None:
            most = path.stat().st_size // 2
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        message = refused(
            run_process("backup", tmp_path / "b.db", "--database", path, preexec_fn=limit)
        )
        assert "cannot be copied" in message
        assert names(tmp_path) == {"a.db"}

    @pytest.mark.slow
    def test_what_is_killed_leaves_nothing_under_the_name(self, path: Path, tmp_path: Path) -> None:
        kill_while_copying("back_up", path, tmp_path / "b.db")
        assert names(tmp_path) - {"a.db-wal", "a.db-shm"} == {"a.db", "b.db.part"}
        assert run("backup", tmp_path / "b.db", "--database", path).returncode == 0
        assert names(tmp_path) == {"a.db", "b.db"}
        assert is_right(tmp_path / "b.db")

    @pytest.mark.slow
    def test_two_at_once_do_not_mix(self, path: Path, tmp_path: Path) -> None:
        with copying("back_up", path, tmp_path / "b.db") as process:
            message = refused(run("backup", tmp_path / "b.db", "--database", path), 75)
            assert "is being written by another process" in message
            process.communicate("go on\n" * 9999)
        assert process.returncode == 0
        assert is_right(tmp_path / "b.db")


def copying(function: str, *arguments: object) -> subprocess.Popen[str]:
    """Run a function of the backup module in a process that waits for a line after each page."""
    code = (
        "import sys; from pathlib import Path; from app.maintenance import backup\n"
        "backup.STEP = 1\n"
        "def wait(done, total): print(done, flush=True); sys.stdin.readline()\n"
        "words = [word == 'True' if word in ('True', 'False') else Path(word)"
        " for word in sys.argv[2:]]\n"
        "getattr(backup, sys.argv[1])(*words, wait)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, function, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    for _ in range(20):
        process.stdout.readline()
        process.stdin.write("go on\n")
        process.stdin.flush()
    process.stdout.readline()
    return process


def kill_while_copying(function: str, *arguments: object) -> None:
    with copying(function, *arguments) as process:
        process.kill()
        process.communicate()


class TestKeep:
    @pytest.mark.slow
    def test_the_newest_are_kept_and_nothing_else_is_touched(
        self, path: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "backups"
        others = {"b-20200101T000000Z.db", "a-2020.db", "a-20200101T000000Z.db.gz", "notes"}
        folder.mkdir()
        for name in others:
            (folder / name).touch()
        (folder / "a-20200101T000000Z.db").mkdir()
        days = [f"a-202605{day}T022258Z.db" for day in range(19, 24)]
        for number, name in enumerate(days):
            made, deleted = back_up_dated(path, folder, 2, NOW + number * DAY, quiet)
            assert made.path == folder / name
            assert [file.name for file in deleted] == days[max(0, number - 2) : max(0, number - 1)]
        assert names(folder) - others - {"a-20200101T000000Z.db"} == set(days[-2:])

    @pytest.mark.slow
    def test_the_new_one_stays_where_the_clock_went_back(self, path: Path, tmp_path: Path) -> None:
        folder = tmp_path / "backups"
        for at in (NOW, NOW + 60, NOW - DAY):
            made, _ = back_up_dated(path, folder, 2, at, quiet)
        assert names(folder) == {made.path.name, "a-20260519T022358Z.db"}

    @pytest.mark.slow
    def test_a_folder_is_made_and_the_deleted_are_told(self, path: Path, tmp_path: Path) -> None:
        folder = tmp_path / "backups"
        arguments = ("backup", folder, "--keep", "1", "--json", "--database", path)
        first = json.loads(run(*arguments).stdout)
        Path(first["backup"]).rename(folder / "a-20200101T000000Z.db")
        second = json.loads(run(*arguments).stdout)
        assert second["deleted"] == [str(folder / "a-20200101T000000Z.db")]
        assert names(folder) == {Path(second["backup"]).name}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    @pytest.mark.slow
    def test_nothing_is_deleted_where_the_new_one_is_not_right(
        self, path: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "backups"
        made, _ = back_up_dated(path, folder, 1, NOW, quiet)
        damage(path)
        with pytest.raises(StartError, match="is damaged"):
            back_up_dated(path, folder, 1, NOW + 1, quiet)
        assert names(folder) == {made.path.name}


class TestRestore:
    @pytest.fixture
    def copy(self, path: Path, tmp_path: Path) -> Path:
        """A backup; the database has a tenant `later` that the backup has not."""
        copy = tmp_path / "b.db"
        back_up(path, copy, quiet)
        add_tenant(path, "later")
        return copy

    @pytest.mark.slow
    def test_a_backup_becomes_a_database_where_there_is_none(
        self, copy: Path, tmp_path: Path
    ) -> None:
        done = run("restore", copy, "--database", tmp_path / "new.db", "--json")
        assert json.loads(done.stdout) == {
            "source": str(copy),
            "database": str(tmp_path / "new.db"),
            "bytes": copy.stat().st_size,
            "schema": NEWEST,
            "kept": None,
        }
        assert stat.S_IMODE((tmp_path / "new.db").stat().st_mode) == 0o600
        assert is_right(tmp_path / "new.db")

    @pytest.mark.slow
    def test_a_database_that_is_there_is_replaced_by_force_alone_and_kept(
        self, path: Path, copy: Path, tmp_path: Path
    ) -> None:
        assert "a.db exists; --force replaces it" in refused(
            run("restore", copy, "--database", path)
        )
        assert "later" in tenants(path)
        done = run("restore", copy, "--force", "--database", path)
        kept = tmp_path / "a.db.before-restore.backup"
        assert done.stdout.splitlines()[1] == f"the previous database is kept as {kept}"
        assert tenants(path) == tenants(copy) == tenants(kept) - {"later"}
        assert is_right(path)
        assert is_right(kept)
        assert names(tmp_path) == {"a.db", "b.db", kept.name}
        again = run("restore", copy, "--force", "--database", path)
        assert "exists from an earlier restore; move it away first" in refused(again)
        assert "later" in tenants(kept)

    @pytest.mark.slow
    def test_a_database_that_is_made_meanwhile_is_not_replaced(
        self, copy: Path, tmp_path: Path
    ) -> None:
        new = tmp_path / "new.db"

        def start(done: int, total: int) -> None:
            Database(new).close()
            add_tenant(new, "first")

        with pytest.raises(StartError, match="exists"):
            restore(copy, new, False, start)
        assert tenants(new) == {"first"}
        assert names(tmp_path) == {"a.db", "b.db", "new.db"}

    @pytest.mark.slow
    def test_nothing_is_restored_under_a_server(self, copy: Path, tmp_path: Path) -> None:
        path = tmp_path / "served.db"
        with serving("--database", path) as server:
            post(server, {"type": "create_tenant", "tenant_id": "kept"})
            done = run("restore", copy, "--force", "--database", path)
            assert "is open in another process; stop the server first" in refused(done, 75)
            post(server, {"type": "create_tenant", "tenant_id": "too"})
        assert {"kept", "too"} <= tenants(path)
        assert run("restore", copy, "--force", "--database", path).returncode == 0
        assert "kept" not in tenants(path)

    @pytest.mark.slow
    def test_no_server_starts_meanwhile(self, path: Path, copy: Path, tmp_path: Path) -> None:
        with copying("restore", copy, path, True) as process:
            busy = os.environ | {"ANALYSIS_BUSY_SECONDS": "0"}
            assert "locked" in refused(run("serve", "--database", path, env=busy), 75)
            process.communicate("go on\n" * 9999)
        assert process.returncode == 0
        assert "later" not in tenants(path)
        assert "later" in tenants(tmp_path / "a.db.before-restore.backup")

    @pytest.mark.slow
    def test_what_a_killed_server_left_is_kept_and_does_not_come_back(
        self, copy: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "served.db"
        leave_wal(path)
        assert (tmp_path / "served.db-wal").stat().st_size
        assert run("restore", copy, "--force", "--database", path).returncode == 0
        assert not {"served.db-wal", "served.db-shm", "served.db-journal"} & names(tmp_path)
        assert "in-the-wal" not in tenants(path)
        assert "in-the-wal" in tenants(tmp_path / "served.db.before-restore.backup")
        assert is_right(path)

    @pytest.mark.slow
    @pytest.mark.parametrize("content", [b"", b"no database at all" * 999, None])
    def test_a_damaged_database_is_replaced_and_kept(
        self, path: Path, copy: Path, tmp_path: Path, content: bytes | None
    ) -> None:
        if content is None:
            damage(path)
        else:
            path.write_bytes(content)
        before = path.read_bytes()
        restore(copy, path, True, quiet)
        kept = tmp_path / "a.db.before-restore.backup"
        assert kept.read_bytes()[100:] == before[100:]
        assert names(tmp_path) == {"a.db", "b.db", kept.name}
        assert is_right(path)

    @pytest.mark.slow
    def test_the_last_writes_of_a_damaged_database_are_kept_too(
        self, copy: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "served.db"
        leave_wal(path)
        with path.open("r+b") as file:
            header = file.read(100)
            file.seek(0)
            file.write(b"\xff" * 100)
        assert run("restore", copy, "--force", "--database", path).returncode == 0
        kept = tmp_path / "served.db.before-restore.backup"
        assert "served.db-wal" not in names(tmp_path)
        with kept.open("r+b") as file:
            file.write(header)
        assert "in-the-wal" in tenants(kept)
        assert "in-the-wal" not in tenants(path)
        assert is_right(path)

    @pytest.mark.slow
    def test_a_killed_one_leaves_the_database_as_it_was(
        self, path: Path, copy: Path, tmp_path: Path
    ) -> None:
        kill_while_copying("restore", copy, path, True)
        assert names(tmp_path) - {"b.db-wal", "b.db-shm"} <= {
            "a.db",
            "a.db-journal",
            "a.db.part",
            "b.db",
        }
        assert "later" in tenants(path)
        assert is_right(path)
        assert run("restore", copy, "--force", "--database", path).returncode == 0
        assert "a.db.part" not in names(tmp_path)
        assert "later" not in tenants(path)

    @pytest.mark.slow
    def test_a_damaged_backup_is_refused_and_nothing_changes(
        self, path: Path, copy: Path, tmp_path: Path
    ) -> None:
        damage(copy)
        done = run("restore", copy, "--force", "--database", path)
        assert "b.db is damaged and was not copied: " in refused(done)
        assert "later" in tenants(path)
        assert names(tmp_path) == {"a.db", "b.db"}
        assert is_right(path)

    @pytest.mark.slow
    def test_flipped_bytes_are_never_a_crash(self, path: Path, copy: Path, tmp_path: Path) -> None:
        right = copy.read_bytes()
        random = Random(1)
        outcomes: set[str] = set()
        for number in range(60):
            wrong = bytearray(right)
            for _ in range(random.choice([1, 20, 400])):
                wrong[random.randrange(len(wrong) if number % 3 else 100)] ^= 255
            copy.write_bytes(wrong)
            new = tmp_path / f"{number}.db"
            try:
                restore(copy, new, False, quiet)
                outcomes.add("restored")
            except StartError:
                outcomes.add("refused")
                assert not new.exists()
        assert outcomes == {"restored", "refused"}

    @pytest.mark.slow
    def test_a_backup_is_read_where_nothing_can_be_written(
        self, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "medium"
        folder.mkdir()
        copy = copy.rename(folder / "b.db")
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: path != folder and access(path, mode))
        restore(copy, tmp_path / "new.db", False, quiet)
        assert is_right(tmp_path / "new.db")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("source", "database", "message"),
        [
            ("none.db", "new.db", "there is no database"),
            (".", "new.db", "there is no database"),
            ("notes.txt", "new.db", "notes.txt cannot be used: file is not a database"),
            ("newer.db", "new.db", "newer.db was made by a newer version of this program"),
            ("theirs.db", "new.db", "theirs.db is a database of another program"),
            ("theirs.db", "a.db", "theirs.db is a database of another program"),
            ("a.db", "a.db", "a.db is the database itself"),
            ("b.db", "none/new.db", "cannot be copied to"),
            ("b.db", ".", "is not a file"),
            (
                "b.db",
                "left.db",
                "left.db-wal is left over from another database; move it away first",
            ),
        ],
    )
    def test_what_cannot_be_is_one_line_and_changes_nothing(
        self, path: Path, copy: Path, tmp_path: Path, source: str, database: str, message: str
    ) -> None:
        (tmp_path / "notes.txt").write_text("Buy milk." * 500)
        (tmp_path / "left.db-wal").write_text("left")
        edit(tmp_path / "theirs.db", "create table theirs (a)")
        (tmp_path / "newer.db").write_bytes(copy.read_bytes())
        edit(tmp_path / "newer.db", f"pragma user_version = {NEWEST + 1}")
        before = names(tmp_path)
        done = run("restore", tmp_path / source, "--force", "--database", tmp_path / database)
        assert message in refused(done)
        assert names(tmp_path) == before
        assert "later" in tenants(path)


class TestCheck:
    def found(self, path: Path) -> dict[str, Any]:
        done = run("check", "--json", "--database", path)
        assert done.returncode == 1, done.stderr
        told = json.loads(done.stdout)
        assert told["database"] == str(path)
        return {wrong["check"]: wrong for wrong in told["wrong"]}

    @pytest.mark.slow
    def test_what_is_right_is_told(self, path: Path) -> None:
        done = run("check", "--database", path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            f"{path} has no errors, schema {NEWEST}; checked: file, references, settings, "
            "time zone, pages of referers, counts of active users, "
            "calls of users, event ids, page summaries, period summaries\n"
        )

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("check", "statement", "example"),
        [
            (
                "references",
                "insert into referer (url, page_id) values ('/p1', 99)",
                "row 8 of referer refers to a row of page that does not exist",
            ),
            ("settings", "delete from setting where name = 'keep_query'", "keep_query is not"),
            (
                "time zone",
                "update setting set value = 'Mars' where name = 'time_zone'",
                "'Mars' is not an IANA time zone",
            ),
            (
                "pages of referers",
                "update page set url = '/wrong' where url = '/p3'",
                "'/p3?x' belongs to '/wrong', not '/p3'",
            ),
            (
                "counts of active users",
                "update active_users set computed = computed + 1 where not monthly and env_id = 3 "
                "and period = (select max(period) from active_users where not monthly)",
                "2026-05-19, tenant 'acme', environment 3: 16 stored, 15 rows",
            ),
            (
                "counts of active users",
                "delete from active_users where monthly and env_id = 4",
                "2026-04, tenant 'acme', environment 4: 0 stored, 97 rows",
            ),
            (
                "event ids",
                "insert into event_id_day (day, count) values (0, 7)",
                "1970-01-01: 7 ids stored, 0 in rows",
            ),
            (
                "page summaries",
                "update page_summary set views = x'00' where level = 2",
                "64 hours: damaged",
            ),
            (
                "settings",
                "drop table setting",
                "the database cannot be read: no such table: setting",
            ),
            ("pages of referers", "drop table page", "cannot be read: no such table"),
        ],
    )
    def test_what_is_wrong_is_told_with_what_to_do(
        self, path: Path, check: str, statement: str, example: str
    ) -> None:
        edit(path, "pragma foreign_keys = off", statement)
        wrong = self.found(path)[check]
        assert wrong["count"] >= 1
        assert example in wrong["examples"][0]
        assert "`saasus-analysis " in wrong["remedy"]

    @pytest.mark.slow
    def test_a_damaged_file_is_told_in_plain_words(self, path: Path) -> None:
        damage(path)
        done = run("check", "--database", path)
        assert done.returncode == 1
        lines = done.stdout.splitlines()
        assert lines[0].startswith("file: ")
        assert lines[-1].startswith("  what to do: use `saasus-analysis restore`")
        assert done.stderr == f"Error: {path} has errors; checked: file\n"

    @pytest.mark.slow
    def test_what_it_says_of_pages_and_summaries_mends_them(self, path: Path) -> None:
        edit(
            path,
            "update page set url = '/wrong' where url = '/p3'",
            "update page_summary set views = x'00'",
        )
        assert set(self.found(path)) == {"pages of referers", "page summaries"}
        for switch in ("on", "off"):
            rebuilt = run("summaries", "rebuild", "--keep-query", switch, "--database", path)
            assert rebuilt.returncode == 0, rebuilt.stderr
        assert is_right(path)

    @pytest.mark.slow
    def test_many_are_counted_and_the_first_shown(self, path: Path) -> None:
        edit(path, "update active_users set computed = computed + 1")
        wrong = self.found(path)["counts of active users"]
        assert len(wrong["examples"]) == 20 < wrong["count"]
        done = run("check", "--database", path)
        assert f"  and {wrong['count'] - 20} more" in done.stdout.splitlines()

    @pytest.mark.slow
    def test_it_changes_nothing_and_may_run_beside_a_server(self, tmp_path: Path) -> None:
        with serving("--database", tmp_path / "a.db") as server:
            writer = Writer(server, "x")
            writer.start()
            assert all(is_right(tmp_path / "a.db") for _ in range(3))
            writer.ended.set()
            writer.join()

    @pytest.mark.parametrize("name", ["none.db", "."])
    def test_there_must_be_a_database(self, tmp_path: Path, name: str) -> None:
        assert "there is no database" in refused(run("check", "--database", tmp_path / name))
        assert names(tmp_path) == set()
