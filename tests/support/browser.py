"""A real browser for the tests of pages: the system's Chromium, which must ask no other host."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NPM = shutil.which("npm")


def require(tool: str | None, name: str) -> None:
    """Skip a test for want of a tool; in CI, which sets TESTS_MUST_RUN, fail."""
    if tool is None:
        missing = f"the tests of pages need `{name}`, which is NOT on this machine"
        if os.environ.get("TESTS_MUST_RUN"):
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for all modules: while it is there, no test can run an event loop of its own.
    require(CHROMIUM, "chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield launched
        launched.close()


@contextmanager
def visiting(
    browser: Browser, url: str, expected: tuple[str, ...] = (), **options: Any
) -> Iterator[Page]:
    """Give a page of a browser of its own; what it asks and logs must be without a fault.

    No request may leave the origin of the URL, and no script may fail, log an error, or be blocked,
    but for the faults that are expected.
    """
    hosts: set[str] = set()
    faults: list[str] = []

    def note(request: Request) -> None:
        hosts.add(urlsplit(request.url).netloc)

    context = browser.new_context(**options)
    page = context.new_page()
    page.on("request", note)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    try:
        yield page
        page.wait_for_load_state("networkidle")
        assert hosts <= {urlsplit(url).netloc}
        assert faults == list(expected)
    finally:
        context.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, as npm has it."""
    require(NPM, "npm")
    folder: Path = tmp_path_factory.mktemp("axe")
    subprocess.run(
        [str(NPM), "install", "--prefix", folder, "--no-save", "--no-audit", "axe-core@4"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return Path(folder, "node_modules", "axe-core", "axe.min.js").read_text()
