import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request, sync_playwright

from .conftest import RunningServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="the tests of pages need `chromium`, which is NOT on this machine"
)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser.new_page()
        browser.close()


def test_the_page_asks_no_other_host_and_its_authorize_button_works(
    page: Page, server: RunningServer
) -> None:
    hosts: set[str] = set()
    faults: list[str] = []

    def note(request: Request) -> None:
        hosts.add(urlsplit(request.url).netloc)

    page.on("request", note)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.goto(f"{server.url}/docs")
    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(server.token)
    page.get_by_label("Apply credentials").click()
    page.get_by_role("button", name="Close").click()
    operation = page.locator("#operations-userAnalysis-GetUserBehaviorHistories")
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_placeholder("user_id").fill("ann")
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response-col_description pre").first
    answer.wait_for()
    assert '"histories": []' in answer.inner_text()
    assert (
        operation.locator(".live-responses-table .response-col_status").last.inner_text() == "200"
    )
    page.wait_for_load_state("networkidle")
    assert hosts == {urlsplit(server.url).netloc}
    assert faults == []
