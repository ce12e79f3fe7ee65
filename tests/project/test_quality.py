import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT


@pytest.mark.parametrize(
    "file", sorted((ROOT / "app").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT))
)
def test_no_sql_is_put_together_of_values(file: Path) -> None:
    """Only pragmas are, which take no parameters."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        if getattr(node.func, "attr", "") in ("execute", "executemany", "executescript"):
            sql = ast.unparse(node.args[0])
            made = (ast.JoinedStr, ast.BinOp, ast.Call)
            is_made = any(isinstance(part, made) for part in ast.walk(node.args[0]))
            assert not is_made or sql.startswith("f'pragma ") or sql.startswith('f"pragma '), sql


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [("ruff", "format", "--check"), ("ruff", "check"), ("mypy",)],
    ids=" ".join,
)
def test_the_code_is_formatted_clean_and_typed(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
