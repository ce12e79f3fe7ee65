import os
import subprocess
import sys
from pathlib import Path

from .conftest import ROOT, RunningServer


def test_no_request_made_from_the_description_gets_an_answer_that_is_not_in_it(
    server: RunningServer, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("st"),
            *("--config-file", ROOT / "tests" / "schemathesis.toml"),
            *("run", f"{server.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {server.token}"),
            *("--checks", "all", "--max-examples", "50", "--seed", "1", "--no-color"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 11" in done.stdout
    assert "WARNINGS" not in done.stdout, done.stdout
