import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from app.auth import brute_force, rate_limit
from app.config import Settings, variable
from app.maintenance import wal_thread
from app.operations import readiness
from app.server import answer, deadlines, listening
from app.storage.database import WAL_LIMIT, WAL_PATIENCE
from app.storage.event_ids import digest_of
from app.storage.fixed_settings import FIXED
from app.validation import strict_json
from app.web import body_memory, early_refusal

from ..conftest import ROOT
from ..support.command_tree import COMMANDS

DOCUMENTS = {
    str(file.relative_to(ROOT)): file.read_text()
    for file in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
EVERYTHING = "\n".join(DOCUMENTS.values())


def shown(default: Any) -> str:
    if default is None:
        return "none"
    return (
        {True: "on", False: "off"}.get(default, str(default))
        if isinstance(default, bool)
        else str(default)
    )


def test_the_table_of_settings_is_complete_and_right() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `?([^|`]+?)`? \|", DOCUMENTS["docs/settings.md"], re.M)
    expected = {variable(setting.name): shown(setting.default) for setting in fields(Settings)}
    assert dict(rows) == expected | {variable(name): default for name, default in FIXED.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    assert name in EVERYTHING
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert f"`{parameter.opts[0]}" in EVERYTHING or f" {parameter.opts[0]}" in EVERYTHING


def test_the_table_of_commands_is_complete_and_right() -> None:
    rows = re.findall(
        r"^\| `(saasus-analysis [^`]+)` \| (.+?) \|", DOCUMENTS["docs/commands.md"], re.M
    )
    assert rows == [
        (name, (COMMANDS[name].help or "").split("\n\n")[0]) for name in sorted(COMMANDS)
    ]


KIB, MIB = 2**10, 2**20

NUMBERS = {
    "docs/security.md": [
        f"counts of {rate_limit.REMEMBERED:,} addresses",
        f"SHA-256 hashes of {brute_force.REMEMBERED:,} right keys",
        f"digests of {len(digest_of('client', 'x'))} bytes",
    ],
    "docs/operating.md": [
        f"room for one of {readiness.ORDINARY_BYTES // KIB} KiB",
        f"as of `PUT /active-users` | {early_refusal.OBJECT_BODY // MIB} MiB |",
        f"form of the dashboard | {early_refusal.FORM_BODY // KIB} KiB |",
        f"nested lists and objects in JSON | {strict_json.MAX_DEPTH} levels |",
        f"Bodies of less than {body_memory.SHORT // KIB} KiB, unpacked",
        f"{listening.CONNECTIONS:,} at most",
        f"| headers | {answer.MAX_HEADERS} | 400 |",
        f"more than {answer.SMALL_BODY // KIB} KiB wait in their sockets",
        f"heads that take over {deadlines.HEAD_SECONDS} seconds",
        f"a connection without progress for {deadlines.EVICT_SECONDS} seconds is closed for them",
        f"make no progress are dropped after {deadlines.STALLED_SECONDS} seconds",
        f"where it has {WAL_LIMIT // MIB} MiB or more, a write waits up to {WAL_PATIENCE} seconds",
        f"`serve` looks every {wal_thread.LOOK_SECONDS} seconds",
    ],
}


@pytest.mark.parametrize(
    ("document", "words"), [(name, words) for name in NUMBERS for words in NUMBERS[name]]
)
def test_numbers_that_no_setting_changes_are_as_documented(document: str, words: str) -> None:
    assert words in " ".join(DOCUMENTS[document].split())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", DOCUMENTS[document]):
        assert (ROOT / Path(document).parent / target).exists(), target


def test_the_readme_names_the_two_commands_that_ci_and_users_run() -> None:
    readme = DOCUMENTS["README.md"]
    assert "saasus-analysis serve\n" in readme
    assert "pip install -q -e '.[test]' && .venv/bin/pytest\n" in readme
    assert "not affiliated with the makers of SaaSus Platform" in readme
