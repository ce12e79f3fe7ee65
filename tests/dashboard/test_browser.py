"""The dashboard as somebody sees and uses it, in a real browser."""

import csv
import io
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from app.days import Calendar, parse_day

from ..conftest import RunningServer, serving
from ..support.browser import visiting
from ..support.examples import PROFILE, cases
from .conftest import ZONE, signed_in, state_of

pytestmark = pytest.mark.slow

NARROW = {"width": 360, "height": 740}
PAGES = (
    "",
    "/pages",
    "/pages/page?id=%2Fprojects",
    "/tenants",
    "/tenants/tenant?id=00000000-0000-0000-0000-000000000000",
    "/users",
    "/users/user?id=nobody",
    "/links",
    "/nothing/here",
)
"""A view of each kind; the last two of them in the place of those that data decide."""


def ask(server: RunningServer, path: str, accept: str = "application/json") -> Any:
    """Return what the API answers."""
    headers = server.headers | {"Accept": accept}
    with urlopen(Request(f"{server.url}/v1/analysis{path}", headers=headers)) as answer:
        text = answer.read().decode()
    return json.loads(text) if accept == "application/json" else text


def download(page: Page, name: str) -> list[dict[str, str]]:
    """Return the rows of the CSV that a link of the page leads to."""
    with page.expect_download() as found:
        page.get_by_role("link", name=f"CSV {name}", exact=True).click()
    assert found.value.suggested_filename.endswith(".csv")
    text = Path(found.value.path()).read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_somebody_signs_in_looks_and_signs_out(browser: Browser, saas: RunningServer) -> None:
    refused = ("Failed to load resource: the server responded with a status of 401 (UNAUTHORIZED)",)
    with visiting(browser, saas.url, refused) as page:
        page.goto(f"{saas.url}/dashboard/pages?period=7d")
        expect(page).to_have_url(re.compile("/dashboard/sign-in"))
        page.get_by_label("Key with the scope read").fill("saa_00000000_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("saa_")
        page.get_by_label("Key with the scope read").fill(saas.token)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{saas.url}/dashboard/pages?period=7d")
        expect(page.get_by_role("heading", level=1)).to_have_text("Pages")
        (cookie,) = (each for each in page.context.cookies() if "session" in each["name"])
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Sign out").click()
        page.goto(f"{saas.url}/dashboard")
        expect(page).to_have_url(re.compile("/dashboard/sign-in"))


def test_two_servers_on_one_host_are_signed_in_to_and_out_of_apart(
    browser: Browser, saas: RunningServer, blank: RunningServer
) -> None:
    context = browser.new_context(storage_state=state_of(browser, saas))
    page = context.new_page()
    page.goto(f"{blank.url}/dashboard")
    page.get_by_label("Key with the scope read").fill(blank.token)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{blank.url}/dashboard")
    page.goto(f"{saas.url}/dashboard")
    expect(page).to_have_url(f"{saas.url}/dashboard")
    page.goto(f"{blank.url}/dashboard")
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{blank.url}/dashboard")
    expect(page).to_have_url(re.compile("/dashboard/sign-in"))
    page.goto(f"{saas.url}/dashboard")
    expect(page).to_have_url(f"{saas.url}/dashboard")
    context.close()


def test_the_overview_leads_to_a_tenant_its_pages_and_a_user(
    browser: Browser, saas: RunningServer
) -> None:
    with signed_in(browser, saas) as page:
        page.get_by_role("link", name="90 days").click()
        page.get_by_role("link", name="Tenants", exact=True).click()
        expect(page).to_have_url(re.compile("/dashboard/tenants.*period=90d"))
        first = page.locator("table.data tbody th a").first
        tenant = first.inner_text()
        first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(tenant)
        expect(page.get_by_role("row", name=re.compile(r"3 \(prod\)"))).to_be_visible()
        page.get_by_role("link", name="Pages viewed by its users").click()
        expect(page.locator(".filters summary")).to_contain_text(tenant)
        page.locator("table.data tbody th a").first.click()
        expect(page.locator("figure.chart canvas").first).to_be_visible()

        page.get_by_role("link", name="Users", exact=True).click()
        user = page.locator("table.data tbody th a").first.inner_text()
        page.get_by_label("Search for a user by id").fill(user[:18])
        page.keyboard.press("Enter")
        page.get_by_role("link", name=user).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(user)
        told = ask(saas, f"/users/{quote(user, safe='')}/behavior-histories")["histories"]
        shown = page.locator(".timeline li").count()
        entries = [entry for day in told for entry in day["histories"]]
        assert shown >= min(len(entries), 1)


def test_filters_are_in_the_url_and_stay(browser: Browser, saas: RunningServer) -> None:
    with signed_in(browser, saas) as page:
        page.locator(".filters summary").click()
        page.get_by_label("Environment").fill("3")
        page.get_by_label("Compare with").select_option("off")
        page.get_by_role("button", name="Apply").click()
        assert parse_qs(urlsplit(page.url).query) == {"env": ["3"], "compare": ["off"]}
        expect(page.locator(".filters summary")).to_contain_text("3 (prod)")
        expect(page.locator(".change")).to_have_count(0)
        expect(page.get_by_text("Only active users are filtered by environment")).to_be_visible()
        page.get_by_role("link", name="Tenants", exact=True).click()
        assert parse_qs(urlsplit(page.url).query) == {"env": ["3"], "compare": ["off"]}
        page.locator(".filters summary").click()
        page.get_by_role("link", name="Reset").click()
        assert urlsplit(page.url).query == ""


def test_a_table_as_csv_holds_what_the_api_answers(browser: Browser, saas: RunningServer) -> None:
    with signed_in(browser, saas) as page:
        active = download(page, "Active users by day")
        calls = download(page, "GetUserInfo calls")
        first, last = active[0]["day"], active[-1]["day"]
        dates = f"start_date={first}&end_date={last}"
        told = ask(saas, f"/userinfo/aggregated?{dates}")["metrics"]
        by_day = {metric["date"]: str(sum(metric["details"].values())) for metric in told}
        assert {row["day"]: row["calls"] for row in calls if row["calls"] != "0"} == by_day
        range_ = f"type=daily&date_from={first}&date_to={last}"
        days = {row["date"] for row in ask(saas, f"/active-users?{range_}")["data"]}
        assert {row["day"] for row in active if row["active_users"] != "0"} == days

        page.get_by_role("link", name="Pages", exact=True).click()
        rows = download(page, "Pages")
        calendar = Calendar(ZONE)
        start, end = calendar.day_start(parse_day(first)), calendar.day_start(parse_day(last) + 1)
        query = f"/metrics/page-statistics?start_timestamp={start}&end_timestamp={end - 1}"
        api = csv.DictReader(io.StringIO(ask(saas, query, "text/csv"), newline=""))
        columns = ("page_url", "total_views", "unique_users")
        assert [{name: row[name] for name in columns} for row in rows] == list(api)


def test_a_chart_is_drawn_of_the_table_behind_it(browser: Browser, saas: RunningServer) -> None:
    with signed_in(browser, saas) as page:
        figure = page.locator("figure.chart").first
        expect(figure.locator("canvas")).to_be_visible()
        expect(figure.locator("table")).to_be_hidden()
        drawn = page.evaluate("Chart.getChart(document.querySelector('canvas')).data")
        figure.get_by_text("As a table").click()
        expect(figure.locator("table")).to_be_visible()
        cells = figure.locator("tbody tr td:nth-child(2)").all_inner_texts()
        assert [f"{number:,}" for number in drawn["datasets"][0]["data"]] == cells
        assert len(drawn["datasets"]) == 2
        assert any(drawn["datasets"][0]["data"])


@pytest.mark.parametrize(
    ("locale", "width"),
    cases(
        [(locale, width) for locale in ("en-US", "ja-JP") for width in (360, 1280)],
        [("en-US", 1280), ("ja-JP", 360)],
    ),
)
def test_every_page_fits_its_width(
    browser: Browser, saas: RunningServer, width: int, locale: str
) -> None:
    viewport = {"width": width, "height": 800}
    with visiting_anything(browser, saas, viewport=viewport, locale=locale) as page:
        for path in PAGES:
            page.goto(f"{saas.url}/dashboard{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@contextmanager
def visiting_anything(browser: Browser, server: RunningServer, **options: Any) -> Iterator[Page]:
    """Give a page of somebody who is signed in, who may ask for what is not there."""
    context = browser.new_context(storage_state=state_of(browser, server), **options)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(
    ("server_name", "scheme"),
    cases(
        [(name, scheme) for name in ("saas", "blank") for scheme in ("light", "dark")],
        [("saas", "light"), ("blank", "dark")],
    ),
)
def test_a_checker_of_accessibility_finds_nothing(
    browser: Browser, axe: str, scheme: Any, server_name: str, request: pytest.FixtureRequest
) -> None:
    server: RunningServer = request.getfixturevalue(server_name)
    options = {"color_scheme": scheme, "bypass_csp": True}
    # Only colors depend on the scheme, and what is open shows the more of a page.
    is_short = PROFILE == "work"
    rules = "['color-contrast']" if scheme == "dark" and is_short else "undefined"
    asked = f"axe.run(document, {{resultTypes: ['violations'], runOnly: {rules}}})"
    with visiting_anything(browser, server, **options) as page:
        tenant = user = ""
        if server_name == "saas":
            page.goto(f"{server.url}/dashboard/tenants")
            tenant = page.locator("table.data tbody th a").first.inner_text()
            page.goto(f"{server.url}/dashboard/users")
            user = page.locator("table.data tbody th a").first.inner_text()
        found = []
        for viewport in ({"width": 1280, "height": 900}, NARROW):
            page.set_viewport_size(viewport)  # type: ignore[arg-type]
            for path in (*PAGES, f"/tenants/tenant?id={tenant}", f"/users/user?id={user}"):
                page.goto(f"{server.url}/dashboard{path}")
                page.evaluate(axe)
                for opened in (True,) if is_short else (False, True):
                    if opened:
                        page.evaluate(
                            "document.querySelectorAll('details').forEach(each => each.open = true)"
                        )
                    answer = page.evaluate(asked)
                    found += [
                        (path, fault["id"], [node["html"] for node in fault["nodes"]][:3])
                        for fault in answer["violations"]
                    ]
        page.context.clear_cookies()
        page.goto(f"{server.url}/dashboard")
        page.evaluate(axe)
        assert page.evaluate("axe.run(document)")["violations"] == []
        assert found == []


def test_it_speaks_japanese_to_who_prefers_that(browser: Browser, saas: RunningServer) -> None:
    with signed_in(browser, saas, locale="ja-JP") as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("概要")
        assert page.locator("html").get_attribute("lang") == "ja"
        expect(page.locator("footer")).to_contain_text("Asia/Tokyo")
        page.get_by_role("link", name="English").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        page.get_by_role("link", name="Pages", exact=True).click()
        assert page.locator("html").get_attribute("lang") == "en"
        expect(page).to_have_url(re.compile("lang=en"))


def test_its_colours_follow_the_system(browser: Browser, saas: RunningServer) -> None:
    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    def line() -> str:
        chart = "Chart.getChart(document.querySelector('canvas'))"
        return str(page.evaluate(f"{chart}.data.datasets[0].borderColor"))

    with signed_in(browser, saas, color_scheme="light") as page:
        light = ground(), line()
        page.emulate_media(color_scheme="dark")
        expect(page.locator("canvas").first).to_be_visible()
        dark = ground(), line()
    assert light[0] != dark[0]
    assert light[1] != dark[1]


def test_it_works_without_scripts(browser: Browser, saas: RunningServer) -> None:
    with signed_in(browser, saas, java_script_enabled=False) as page:
        expect(page.locator("canvas")).to_have_count(0)
        for table in page.locator("figure.chart table").all():
            expect(table).to_be_visible()
        page.locator(".filters summary").click()
        page.get_by_label("Compare with").select_option("off")
        page.get_by_role("button", name="Apply").click()
        assert parse_qs(urlsplit(page.url).query) == {"compare": ["off"]}


def test_it_works_with_the_keyboard_alone(browser: Browser, saas: RunningServer) -> None:
    def focused() -> str:
        return str(page.evaluate("document.activeElement.innerText || document.activeElement.id"))

    with signed_in(browser, saas) as page:
        page.goto(f"{saas.url}/dashboard/pages")
        page.keyboard.press("Tab")
        assert focused() == "Skip to the content"
        assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert focused() == "Today"
        for _ in range(8):
            page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert focused() == "from"
        page.get_by_label("Search for pages").focus()
        page.keyboard.type("PROJ")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("q=PROJ"))
        for cell in page.locator("table.data tbody th").all_inner_texts():
            assert "proj" in cell


def test_it_refreshes_itself_only_where_that_is_wanted(
    browser: Browser, saas: RunningServer
) -> None:
    with signed_in(browser, saas) as page:
        page.clock.install()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for query, loads in (("", 1), ("?refresh=60", 2)):
            url = f"{saas.url}/dashboard/pages{query}"
            page.goto(url)
            page.clock.run_for(61_000)
            page.wait_for_load_state("networkidle")
            assert asked.count(url) == loads


def test_every_page_and_all_it_loads_is_small(browser: Browser, saas: RunningServer) -> None:
    with visiting_anything(browser, saas) as page:
        sizes: list[float] = []
        devtools = page.context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
        devtools.on("Network.loadingFinished", lambda each: sizes.append(each["encodedDataLength"]))
        for path in PAGES:
            sizes.clear()
            page.goto(f"{saas.url}/dashboard{path}", wait_until="networkidle")
            assert 1000 < sum(sizes) < 500_000, path


def test_a_link_shows_one_tenant_and_nothing_else(browser: Browser, saas: RunningServer) -> None:
    with signed_in(browser, saas) as page:
        page.goto(f"{saas.url}/dashboard/tenants?period=90d")
        mine, *others = page.locator("table.data tbody th a").all_inner_texts()
        page.goto(f"{saas.url}/dashboard/links")
        page.get_by_label("Name").fill("customer")
        page.get_by_label("Only this tenant").fill(mine)
        page.get_by_role("button", name="Make a link").click()
        url = page.locator(".made code").inner_text()
    assert url.startswith(f"{saas.url}/dashboard/shared/")
    with visiting(browser, saas.url) as page:
        page.goto(f"{url}?period=90d")
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        for link in ("Overview", "Pages", "Tenants"):
            page.get_by_role("link", name=link, exact=True).click()
            assert page.url.startswith(url)
            assert not [each for each in others if each in page.content()]
            page.goto(f"{page.url}&tenant={others[0]}" if "?" in page.url else page.url)
            expect(page.locator(".filters summary")).to_contain_text(mine)
            assert not [each for each in others[1:] if each in page.content()]
        for name in ("Users", "Links", "Sign out"):
            expect(page.get_by_text(name, exact=True)).to_have_count(0)
    context = browser.new_context()
    page = context.new_page()
    for path in ("/users", "/users/user?id=x", "/links", "/sign-in"):
        answer = page.goto(url + path)
        assert answer is not None
        assert answer.status == 404
    answer = page.goto(f"{saas.url}/dashboard")
    expect(page).to_have_url(re.compile("/dashboard/sign-in"))
    with signed_in(browser, saas) as boss:
        boss.goto(f"{saas.url}/dashboard/links")
        boss.get_by_role("button", name="Revoke customer").click()
        expect(boss.get_by_text("revoked", exact=False).first).to_be_visible()
    answer = page.goto(url)
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", level=1)).to_have_text("This link is not valid any more.")
    context.close()


class Framing(BaseHTTPRequestHandler):
    """A page of another site with a frame."""

    def __init__(self, framed: str, *arguments: Any) -> None:
        self.framed = framed
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f'<iframe src="{self.framed}" width="800"></iframe>'.encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def framing(url: str) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Framing, url)) as site:
        thread = Thread(target=site.serve_forever)
        thread.start()
        yield site
        site.shutdown()
        thread.join()


def test_only_sites_that_are_named_can_frame_what_a_link_shows(
    browser: Browser, tmp_path: Path
) -> None:
    with framing("about:blank") as named, framing("about:blank") as other:
        origin = "http://127.0.0.1:{}".format
        path = tmp_path / "framed.db"
        with serving(
            "--database", path, ANALYSIS_FRAME_ORIGINS=origin(named.server_port)
        ) as server:
            with signed_in(browser, server) as page:
                page.goto(f"{server.url}/dashboard/links")
                page.get_by_label("Name").fill("partner")
                page.get_by_role("button", name="Make a link").click()
                url = page.locator(".made code").inner_text()
            context = browser.new_context()
            page = context.new_page()
            for site, framed, heading in (
                (named, url, "Overview"),
                (other, url, None),
                (named, f"{server.url}/dashboard", None),
            ):
                site.RequestHandlerClass = partial(Framing, framed)
                page.goto(origin(site.server_port), wait_until="networkidle")
                headings = page.frames[1].get_by_role("heading", level=1).all_inner_texts()
                assert headings == ([heading] if heading else [])
            context.close()


@pytest.mark.parametrize("path", cases(["", "/pages", "/tenants", "/users"], ["", "/users"]))
def test_without_data_a_page_says_what_to_send_and_that_works(
    browser: Browser, tmp_path: Path, path: str
) -> None:
    with (
        serving("--database", tmp_path / "first.db") as server,
        signed_in(browser, server) as page,
    ):
        page.goto(f"{server.url}/dashboard{path}")
        command = page.locator("pre code").inner_text()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            env={"TOKEN": server.token, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert json.loads(done.stdout)["accepted"] == 1, done.stderr
        page.reload()
        expect(page.locator("pre code")).to_have_count(0)
        expect(page.locator("main")).to_contain_text(
            {"": "1", "/pages": "/home", "/tenants": "acme", "/users": "ann"}[path]
        )
