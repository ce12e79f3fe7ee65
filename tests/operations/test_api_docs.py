from playwright.sync_api import Browser

from ..conftest import RunningServer
from ..support.browser import visiting


def test_the_page_asks_no_other_host_and_its_authorize_button_works(
    browser: Browser, server: RunningServer
) -> None:
    with visiting(browser, server.url) as page:
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
        status = operation.locator(".live-responses-table .response-col_status").last
        assert status.inner_text() == "200"
