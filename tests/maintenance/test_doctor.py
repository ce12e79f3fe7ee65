import json
import os
import re
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.analytics.histories import update_user_behavior_histories_by_day
from app.auth import keys
from app.config import load_settings
from app.maintenance.doctor import OK, PROBLEM, WARNING, examine
from app.storage.database import Database

from ..conftest import NOW, SetClock, run
from ..storage.test_faults import small_disk

__all__ = ["small_disk"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "a.db"
    Database(file).close()
    return file


def findings(path: Path, **settings: Any) -> dict[tuple[str, str], str]:
    """Return messages and advice by subject and state, of what is found."""
    loaded = load_settings({"database": path} | settings, {})
    return {
        (finding.subject, finding.state): f"{finding.message}; {finding.advice}"
        for finding in examine(loaded)
    }


def bad(path: Path, **settings: Any) -> dict[tuple[str, str], str]:
    found = findings(path, **settings)
    return {key: text for key, text in found.items() if key[1] != OK}


def with_keys(path: Path, now: int, **expiries: int | None) -> None:
    database = Database(path, clock=SetClock(now))
    for name, expires_at in expiries.items():
        keys.create_bearer_key(database, name=name, scopes=("read",), expires_at=expires_at)
    database.close()


def test_a_good_setup_has_nothing_to_say(path: Path) -> None:
    with_keys(path, Database(path).clock.now(), app=None)
    assert bad(path) == {}
    done = run("doctor", "--database", path)
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}
    as_json = json.loads(run("doctor", "--json", "--database", path).stdout)
    assert {finding["state"] for finding in as_json} == {"ok"}


def test_a_database_that_is_not_there_is_no_problem_where_it_can_be_made(tmp_path: Path) -> None:
    assert bad(tmp_path / "new.db") == {
        (
            "database",
            WARNING,
        ): f"{tmp_path}/new.db does not exist; the first start of serve creates it"
    }
    assert list(tmp_path.iterdir()) == []


def test_what_others_can_read_is_a_problem(path: Path) -> None:
    path.chmod(0o644)
    found = bad(path)
    assert f"(mode 644); chmod 600 {path}" in found["file", PROBLEM]
    path.chmod(0o644)
    assert run("doctor", "--database", path).returncode == 1


def test_a_disk_with_little_room_is_told(small_disk: Path) -> None:
    Database(small_disk / "a.db").close()
    message = bad(small_disk / "a.db")["disk", WARNING]
    assert re.match("[34] MB free; the database takes 0 MB; free some space: ", message)


def test_all_that_is_looked_at_is_named(path: Path) -> None:
    """What docs/operating.md lists."""
    subjects = {subject for subject, _ in findings(path)}
    named = {"file", "disk", "servers", "clock", "time zone", "keys", "database"}
    assert named <= subjects
    assert ("retention", WARNING) in findings(with_history(path), keep_histories=1)


def with_history(path: Path) -> Path:
    with closing(Database(path, clock=SetClock())) as database:
        entry = {"timestamp": NOW, "referer": "/"}
        update_user_behavior_histories_by_day(
            database, timestamp=NOW, user_id="u", histories=[entry]
        )
    return path


def test_a_file_that_is_no_database_is_a_problem(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(b"no database" * 1000)
    other.chmod(stat.S_IRUSR | stat.S_IWUSR)
    done = run("doctor", "--database", other)
    assert done.returncode == 1
    assert "problem  database: " in done.stdout
    assert "Traceback" not in done.stderr


def test_what_is_set_carelessly_is_told(path: Path) -> None:
    found = bad(path, auth=False, synchronous="off")
    assert ("keys", WARNING) in found
    assert ("synchronous", PROBLEM) in found


def test_keys_that_are_missing_soon_over_or_unused_are_named(path: Path) -> None:
    assert "there is no valid key" in bad(path)["keys", WARNING]
    now = Database(path).clock.now()
    with_keys(path, now, soon=now + 86400)
    assert "the key soon expires within 2 days" in bad(path)["keys", WARNING]
    database = Database(path)
    keys.revoke_key(database, "soon")
    database.close()
    with_keys(path, now - 100 * 86400, old=None)
    assert "the key old was not used for 100 days" in bad(path)["keys", WARNING]


def test_the_key_of_the_environment_is_one(path: Path) -> None:
    given = {"saasus_saas_id": "a", "saasus_api_key": "b", "saasus_secret_key": "c"}
    assert bad(path, **given) == {}
    shown = run("doctor", "--database", path, env=os.environ | {"ANALYSIS_AUTH": "maybe"})
    assert shown.returncode == 1
    assert "ANALYSIS_AUTH: must be on or off" in shown.stderr


def test_histories_of_a_time_to_come_tell_of_a_wrong_clock(path: Path) -> None:
    database = Database(path, accept_ahead=None)  # as older versions took it in
    late = database.clock.now() + 3 * 86400
    update_user_behavior_histories_by_day(
        database, timestamp=late, user_id="u", histories=[{"timestamp": late, "referer": "/"}]
    )
    database.close()
    told = findings(path)["clock", WARNING]
    assert "more than a day in the future" in told
    assert "saasus-analysis delete --from " in told
