from pathlib import Path

import pytest

from .conftest import done

pytestmark = pytest.mark.slow


def completed(folder: Path, *words: str) -> list[str]:
    """Return what bash is offered for the last of the words."""
    typed = " ".join(f"'{word}'" for word in words)
    ended = done(
        'eval "$(_SAASUS_ANALYSIS_COMPLETE=bash_source saasus-analysis)";'
        f"COMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1));"
        'eval "$(complete -p saasus-analysis | sed "s/.*-F \\([^ ]*\\).*/\\1/")" saasus-analysis;'
        'printf "%s\\n" "${COMPREPLY[@]}"',
        folder,
    )
    assert ended.stderr == ""
    return str(ended.stdout).split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["s"], ["serve", "summaries"]),
        (["keys", ""], ["create", "list", "revoke", "rotate"]),
        (["keys", "create", "x", "--scope", ""], ["read", "write", "ingest", "admin"]),
        (["keys", "revoke", ""], ["web", "old"]),
        (["keys", "rotate", "w"], ["web"]),
        (["links", ""], ["create", "list", "revoke"]),
        (["links", "revoke", ""], ["wall"]),
        (["keys", "revoke", "--database", "none.db", ""], []),
        (["keys", "revoke", "--database", "january.ndjson", ""], []),
        (["export", "c"], ["calls"]),
        (["import", ""], ["events", "eventbridge", "apilog", "export"]),
        (["serve", "--no"], ["--no-auth"]),
        (["summaries", "rebuild", "--keep-query", ""], ["on", "off"]),
    ],
    ids=" ".join,
)
def test_bash_completes(folder: Path, words: list[str], expected: list[str]) -> None:
    assert completed(folder, "saasus-analysis", *words) == expected
    assert not (folder / "none.db").exists()


def test_names_of_keys_are_those_of_the_database_that_is_named(folder: Path) -> None:
    at = "--database other.db"
    assert done(f"saasus-analysis import events january.ndjson {at}", folder).returncode == 0
    assert done(f"saasus-analysis keys create app {at}", folder).returncode == 0
    assert completed(folder, "saasus-analysis", "keys", "revoke", *at.split(), "") == ["app"]
