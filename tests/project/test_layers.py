"""The rooms of the house: each imports only from rooms below its own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.storage.blocks import BLOCK

from ..conftest import ROOT

LAYERS = (
    {"__main__", "health"},
    {"cli"},
    {"pytest_plugin"},
    {"double"},
    {"__init__"},
    {"application", "exports"},
    {"dashboard", "user_analysis", "metrics", "ingest", "operations", "maintenance"},
    {"analytics", "auth", "server"},
    {"web", "summaries"},
    {"storage"},
    {"config"},
    {"config_values", "validation", "demo"},
    {"days", "errors", "addresses"},
)
"""The rooms from top to bottom; those of one layer know nothing of each other."""

WITHOUT_FLASK = {"analytics", "storage", "summaries", "validation"}
"""Rooms that work without an application: see docs/embedding.md."""

WITH_SQL = {"analytics", "storage", "summaries", "maintenance"}
"""Rooms that another storage engine would need other statements for."""

STATEMENT = re.compile(
    r"\s*(select|insert|update|delete|with|create|pragma|alter|drop|savepoint|rollback)\b"
)

RANKS = {room: rank for rank, layer in enumerate(LAYERS) for room in layer}
APP = ROOT / "app"
FILES = sorted(APP.rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the room of a file: a folder or a module of `app`."""
    return path.relative_to(APP).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, Path]]:
    """Yield the line and the file of each import of our own, also of those inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        folder = path.parents[node.level - 1]
        base = folder.joinpath(*(node.module or "").split("."))
        for alias in node.names:
            found = [base / alias.name, base] if base.is_dir() else [base]
            for place in found:
                if place.with_suffix(".py").exists():
                    yield node.lineno, place.with_suffix(".py")
                    break
                if (place / "__init__.py").exists():
                    yield node.lineno, place / "__init__.py"
                    break
            else:
                pytest.fail(f"{path}:{node.lineno}: no file for {alias.name}")


def test_every_room_has_its_layer() -> None:
    assert {room_of(path) for path in FILES} == RANKS.keys()


@pytest.mark.slow
def test_each_room_imports_from_rooms_below_it() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {other.relative_to(ROOT)}"
        for path in FILES
        for line, other in imported(path)
        if (room := room_of(path)) != (below := room_of(other)) and RANKS[below] <= RANKS[room]
    ]
    assert wrong == []


@pytest.mark.slow
def test_facts_and_answers_know_nothing_of_flask() -> None:
    wrong = []
    for path in FILES:
        if room_of(path) not in WITHOUT_FLASK:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            else:
                continue
            if any(module.startswith("flask") for module in modules):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} imports {modules}")
    assert wrong == []


def test_sql_is_run_by_the_rooms_of_the_data_alone() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} runs a statement"
        for path in FILES
        if room_of(path) not in WITH_SQL
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("execute")
    ]
    assert wrong == []


def test_the_statements_are_counted_in_the_design_notes() -> None:
    counted = {
        str(path.relative_to(APP).with_suffix("")): number
        for path in FILES
        if room_of(path) in WITH_SQL and (number := statements_of(path))
    }
    text = (ROOT / "docs" / "design.md").read_text()
    rows = re.findall(r"^\| .* \| `(\S+)` \| ([0-9]+) \|$", text, re.MULTILINE)
    assert {module: int(number) for module, number in rows} == counted
    assert f"{sum(counted.values())} statements" in text


def statements_of(path: Path) -> int:
    """Return how many SQL statements the constants of a module hold."""
    return sum(
        isinstance(node, ast.Constant) and bool(STATEMENT.match(str(node.value)))
        for constant in ast.parse(path.read_text()).body
        if isinstance(constant, (ast.Assign, ast.AnnAssign))
        for node in ast.walk(constant)
    )


def test_a_block_is_defined_in_one_place() -> None:
    told = {path.name for path in FILES if str(BLOCK) in path.read_text()}
    assert told == {"blocks.py", "migration_steps.py"}
    schema = (APP / "storage" / "schema.sql").read_text()
    assert f"as (block * {BLOCK} + second)" in schema
