import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ..support.command_tree import COMMANDS
from .conftest import called, running

BEARER, SIGNATURE = {"token"}, {"SAASUS_SAAS_ID", "SAASUS_API_KEY", "SAASUS_SECRET_KEY"}
COPY = {"bytes", "schema", "database"}
READY = {"url", "pid", "version", "time_zone"}
KEY = {"name", "kind", "prefix", "scopes"}
KEY |= {"created_at", "expires_at", "revoked_at", "last_used_at"}
LINK = {"name", "tenant_id"} | KEY - {"name", "kind", "prefix", "scopes"}
COUNTS = {"accepted", "duplicates", "ignored", "refused", "refusals"}

ERASED = {"users", "histories", "calls", "unknown_days", "shared_users", "links"}
ERASED |= {"dry_run", "emptied_wal", "not_covered"}
DELETED = {"histories", "calls", "active_users", "numbers", "event_ids", "stays"}
DELETED |= {"dry_run", "emptied_wal"}
PRINTED = [
    ("audit", [{"at", "action", "details"}]),
    ("backup copy.db", COPY | {"backup", "deleted"}),
    ("check", {"database", "schema", "checked", "wrong"}),
    ("delete --user u-1 --yes", DELETED),
    ("doctor", [{"subject", "state", "message", "advice"}]),
    ("erase-tenant acme --yes", ERASED),
    ("erase-user u-1 --dry-run", ERASED),
    ("import events january.ndjson", COUNTS),
    ("keys create new", BEARER),
    ("keys create new --signature", SIGNATURE),
    ("keys list", [KEY]),
    ("keys rotate web", BEARER),
    ("links create new", {"url", "expires_at"}),
    ("links list", [LINK]),
    ("migrate", {"database", "schema_before", "schema", "copy"}),
    ("prune --keep-counts 1 --yes", {"dry_run", "names", "pruned"}),
    ("prune --reset-cutoffs", {"dry_run", "cutoffs"}),
    ("restore analysis-backup.db --force", COPY | {"source", "kept"}),
    ("summaries check", {"database", "wrong", "wrong_periods"}),
    ("serve --port 0", READY | {"token"}),
    ("demo --port 0 --events 10 --database new.db", READY | {"examples"}),
]
SERVERS = ("serve", "demo")


def test_each_command_with_the_option_is_tested() -> None:
    having = {
        name.removeprefix("saasus-analysis ")
        for name, command in COMMANDS.items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert {name for name in having if any(line.startswith(name) for line, _ in PRINTED)} == having


@pytest.mark.slow
@pytest.mark.parametrize(("line", "expected"), PRINTED)
def test_it_prints_one_line_of_json(folder: Path, line: str, expected: Any) -> None:
    if line.startswith(SERVERS):
        with running(f"saasus-analysis {line} --json", folder) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            assert process.communicate(timeout=30)[0] == ""
        assert process.returncode == 0
    else:
        ended = called(f"saasus-analysis {line} --json", folder)
        first, rest = ended.stdout.split("\n", 1)
        assert (ended.returncode, rest) == (0, "")
    printed = json.loads(first)
    if isinstance(expected, list):
        assert printed
        assert all(set(each) == expected[0] for each in printed)
    else:
        assert set(printed) == expected


def test_what_was_refused_is_told_by_file_and_index(folder: Path) -> None:
    (folder / "bad").write_text('{"type": "create_tenant", "tenant_id": "t"}\n' + "{}\n" * 30)
    ended = called("saasus-analysis import events january.ndjson bad --json", folder)
    assert ended.returncode == 1
    told = json.loads(ended.stdout)
    assert (told["accepted"], told["refused"], len(told["refusals"])) == (2, 30, 20)
    assert told["refusals"][0] == {"file": "bad", "index": 1, "message": "type: is required"}


def test_keys_are_told_with_their_times(folder: Path) -> None:
    assert called("saasus-analysis keys create sdk --signature --expires 2", folder).returncode == 0
    assert called("saasus-analysis keys revoke web", folder).returncode == 0
    web, old, sdk = json.loads(called("saasus-analysis keys list --json", folder).stdout)
    assert (web["name"], web["kind"], web["scopes"]) == (
        "web",
        "bearer",
        ["read", "write", "ingest"],
    )
    assert web["created_at"] <= web["revoked_at"]
    assert (old["scopes"], old["revoked_at"], old["last_used_at"]) == (
        ["ingest"],
        None,
        None,
    )
    assert sdk["kind"] == "signature"
    assert sdk["expires_at"] == sdk["created_at"] + 2 * 86400


def test_summaries_that_are_wrong_are_told(folder: Path) -> None:
    of_page = "insert into page_summary values (1, 5, x'00', x'00', x'00', 1)"
    of_month = "insert into period_summary values ('users', 1, 24316, 0, x'00', 1)"
    with closing(sqlite3.connect(folder / "analysis.db")) as connection, connection:
        connection.execute(of_page)
        connection.execute(of_month)
    ended = called("saasus-analysis summaries check --json", folder)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert json.loads(ended.stdout) == {
        "database": "analysis.db",
        "wrong": [{"begin": 5 * 8 * 3600, "hours": 8, "reason": "damaged"}],
        "wrong_periods": [{"data": "users", "date": "2026-05", "reason": "damaged"}],
    }


def test_what_cannot_be_done_prints_nothing_for_a_machine(folder: Path) -> None:
    ended = called("saasus-analysis keys rotate none --json", folder)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "Error: there is no valid key named none\n"
