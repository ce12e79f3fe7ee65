"""What the documents tell a user to type is typed here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT, RunningServer
from ..support.command_tree import FILES

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    (document.name, block)
    for document in DOCUMENTS
    for block in re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)
    if "venv" not in block
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("bash") and shutil.which("curl") and shutil.which("gzip")),
        reason="the documents' examples need bash, curl and gzip, which are NOT all here",
    ),
]


def run_block(block: str, server: RunningServer, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block as a user would: with URL and TOKEN, and the command on the PATH."""
    command = folder / "saasus-analysis"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m app "$@"\n')
    command.chmod(0o755)
    for name, content in FILES.items():
        (folder / name).write_text(content)
    subprocess.run("gzip -c january.ndjson > events.ndjson.gz", shell=True, cwd=folder, check=True)
    environment = os.environ | {
        "URL": server.url,
        "TOKEN": server.token,
        "ANALYSIS_DATABASE": str(folder / "served.db"),
        "PATH": f"{folder}:{os.environ['PATH']}",
    }
    if "erase-" in block or "--tenant" in block:  # of somebody who is there
        block = f"saasus-analysis import events u-1.json\n{block}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(("document", "block"), BLOCKS, ids=lambda value: value.splitlines()[0])
def test_an_example_of_the_documents_works(
    server: RunningServer, tmp_path: Path, document: str, block: str
) -> None:
    done = run_block(block, server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"message"' not in done.stdout


def test_the_readme_s_first_steps_answer_what_it_says(
    server: RunningServer, tmp_path: Path
) -> None:
    feed, ask, *_ = [block for document, block in BLOCKS if document == "README.md"]
    (told,) = re.findall(r"^```json\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    assert run_block(feed, server, tmp_path).stdout == told.strip()
    answers = run_block(ask, server, tmp_path).stdout
    assert '"tenant_id":"acme","env_id":3,"active_users":2}' in answers
    assert '"page_url":"/home","total_views":2,"unique_users":2}' in answers
