"""The package without a server: docs/embedding.md does what it says, and loads nothing of Flask."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT

DOCUMENT = (ROOT / "docs" / "embedding.md").read_text()


@pytest.mark.slow
def test_the_example_prints_what_the_document_shows(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", DOCUMENT, re.DOTALL)
    program = program.replace("saasus_analysis", "app")
    program += "import sys\nprint(sorted(name for name in sys.modules if 'flask' in name))\n"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == shown + "[]\n", done.stderr
