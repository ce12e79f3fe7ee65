import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, serving
from .support.examples import examples

pytestmark = pytest.mark.slow


def schemathesis(folder: Path, *arguments: str | Path) -> str:
    """Let schemathesis find no answer that a description does not have; return its report."""
    common = ("--seed", "1", "--no-color")
    done = subprocess.run(
        [Path(sys.executable).with_name("st"), *arguments, *common],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    return done.stdout


def test_no_request_made_from_the_description_gets_an_answer_that_is_not_in_it(
    tmp_path: Path,
) -> None:
    # The description does not know what the clock says.
    with serving("--database", tmp_path / "a.db", ANALYSIS_ACCEPT_AHEAD="3000000") as server:
        report = schemathesis(
            tmp_path,
            *("--config-file", ROOT / "tests" / "support" / "schemathesis.toml"),
            *("run", f"{server.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {server.token}"),
            *("--checks", "all", "--max-examples", str(examples(50))),
        )
    assert "Tested: 12" in report
    assert "WARNINGS" not in report, report
