"""What the URL of a page says, and what is wrong with it."""

import html
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.days import format_day, parse_day

PATH = "/dashboard"


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"auth": False, "time_zone": "Asia/Tokyo"}


def shown_days(page: str) -> list[str]:
    """Return the days of the chart of active users."""
    return [line.split(",")[0] for line in page.splitlines()[1:]]


def days_of(client: FlaskClient, query: str) -> tuple[str, str, int]:
    answer = client.get(f"{PATH}?{query}&csv=active")
    assert answer.status_code == 200, answer.text
    days = shown_days(answer.data.decode("utf-8-sig"))
    return days[0], days[-1], len(days)


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("", "2026-04-22", "2026-05-19"),
        ("period=today", "2026-05-19", "2026-05-19"),
        ("period=7d", "2026-05-13", "2026-05-19"),
        ("period=90d", "2026-02-19", "2026-05-19"),
        ("period=month", "2026-05-01", "2026-05-19"),
        ("period=last_month", "2026-04-01", "2026-04-30"),
        ("from=2026-01-31&to=2026-03-01", "2026-01-31", "2026-03-01"),
        ("from=2026-05-10", "2026-05-10", "2026-05-19"),
        ("from=2027-01-01", "2027-01-01", "2027-01-01"),
        ("to=2026-03-28", "2026-03-01", "2026-03-28"),
        ("period=7d&from=2026-05-10&to=2026-05-10", "2026-05-10", "2026-05-10"),
        ("period=all", "2026-05-19", "2026-05-19"),
    ],
)
def test_a_period_is_days_of_the_time_zone(
    client: FlaskClient, query: str, first: str, last: str
) -> None:
    # In Tokyo it is the 19th already while it is the 18th in UTC until 15:00.
    count = parse_day(last) - parse_day(first) + 1
    assert days_of(client, query) == (first, last, count)


def test_many_days_are_shown_by_month(client: FlaskClient) -> None:
    text = client.get(f"{PATH}?period=12m&csv=calls").data.decode("utf-8-sig")
    months = [line.split(",")[0] for line in text.splitlines()]
    assert months[:2] == ["month", "2025-06"]
    assert months[-1] == "2026-05"
    assert len(months) == 13


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("period=yesterday", "period: must be one of"),
        ("from=2026-02-30", "from: must be a date that exists"),
        ("from=19.5.2026", "from: must be a date as YYYY-MM-DD"),
        ("from=2026-05-02&to=2026-05-01", "to: must be from 0 to"),
        ("from=1970-01-01&to=2300-01-01", "to: must be from 0 to"),
        ("from=1969-12-31", "from: must be 1970-01-01 or later"),
        ("env=prod", "env: must be a whole number"),
        ("env=-1", "env: must be from 0"),
        ("compare=yes", "compare: must be one of"),
        ("refresh=1", "refresh: must be one of"),
        ("start=-1", "start: must be from 0"),
        ("lang=tlh", "lang: must be one of"),
        ("q=" + "a" * 201, "q: must be 1 to 200 characters long"),
        ("tenant=" + "t" * 129, "tenant: must be 1 to 128 characters long"),
        ("tenant=%00", "tenant: must hold printable characters only"),
        ("period=7d&period=90d", "period: must be given once"),
        ("csv=nothing", "csv: must be one of"),
    ],
)
def test_what_is_wrong_in_a_url_is_named(client: FlaskClient, query: str, named: str) -> None:
    answer = client.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert answer.content_type == "text/html; charset=utf-8"
    assert named in html.unescape(answer.text)


@pytest.mark.parametrize("page", ["/pages", "/tenants"])
def test_a_column_that_is_not_there_is_named(client: FlaskClient, page: str) -> None:
    answer = client.get(f"{PATH}{page}?sort=-colour")
    assert answer.status_code == 400
    assert "sort: must be one of" in answer.text


def test_empty_fields_of_a_form_go_from_the_url(client: FlaskClient) -> None:
    answer = client.get(f"{PATH}/pages?from=2026-05-01&to=&tenant=&env=&q=a%26b")
    assert answer.status_code == 302
    assert answer.location == f"{PATH}/pages?from=2026-05-01&q=a%26b"


@pytest.mark.slow
def test_what_was_chosen_leads_from_page_to_page(client: FlaskClient) -> None:
    page = client.get(f"{PATH}/pages?period=7d&compare=off&env=3&lang=ja&q=x&sort=page_url").text
    assert "/dashboard/tenants?period=7d&amp;compare=off&amp;env=3&amp;lang=ja" in page
    assert "/dashboard/pages?period=90d&amp;compare=off&amp;env=3&amp;lang=ja&amp;q=x" in page


@pytest.mark.slow
def test_no_control_is_lost_in_a_form(client: FlaskClient) -> None:
    client.post("/v1/analysis/ingest/events", json={"type": "userinfo", "user_id": "ann"})
    page = client.get(f"{PATH}/pages?period=7d&lang=ja&sort=page_url&start=100").text
    search = page[page.index('role="search"') :]
    assert '<input type="hidden" name="period" value="7d">' in search
    assert '<input type="hidden" name="lang" value="ja">' in search
    assert '<input type="hidden" name="sort" value="page_url">' in search
    assert 'name="start"' not in search


@pytest.mark.slow
def test_a_page_that_is_asked_for_is_escaped(client: FlaskClient) -> None:
    page = client.get(f"{PATH}/pages/page", query_string={"id": "<script>alert(1)</script>"}).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_today_is_a_day_of_the_time_zone(client: FlaskClient, clock: Any) -> None:
    start = clock.timestamp // 86400 * 86400 - 9 * 3600  # midnight in Tokyo
    for timestamp, day in ((start - 1, -1), (start, 0), (start + 86399, 0), (start + 86400, 1)):
        clock.timestamp = timestamp
        expected = format_day(parse_day("2026-05-19") + day)
        assert days_of(client, "period=today")[0] == expected


@pytest.mark.slow
def test_a_long_table_comes_in_parts_that_hold_each_row_once(client: FlaskClient) -> None:
    urls = [f"/page/{number:03}" for number in range(120)]
    events = [{"type": "userinfo", "user_id": "ann", "referer": url} for url in urls]
    client.post("/v1/analysis/ingest/events", json=events)
    shown: list[str] = []
    path = f"{PATH}/pages?sort=page_url"
    while path:
        page = html.unescape(client.get(path).text)
        shown += re.findall(r'<th scope="row"[^>]*><a [^>]*>([^<]+)</a>', page)
        (path,) = re.findall('<a href="([^"]+)" rel="next">', page) or [""]
    assert shown == urls
    assert "/page/000" in client.get(f"{PATH}/pages?sort=page_url&start=120").text


@pytest.mark.slow
def test_an_environment_of_others_is_not_offered_beside_a_tenant(client: FlaskClient) -> None:
    for tenant, env in (("acme", 3), ("umbrella", 77)):
        event = {"type": "userinfo", "user_id": "ann", "tenant_id": tenant, "env_id": env}
        client.post("/v1/analysis/ingest/events", json=event)
    assert '<option value="77">' in client.get(PATH).text
    assert '<option value="77">' not in client.get(f"{PATH}?tenant=acme").text


@pytest.mark.slow
def test_a_page_of_a_tenant_says_how_many_users_it_leaves_out(client: FlaskClient) -> None:
    for user, tenant in (("ann", "acme"), ("bob", "acme"), ("bob", "umbrella")):
        event = {"type": "userinfo", "user_id": user, "tenant_id": tenant, "env_id": 3}
        client.post("/v1/analysis/ingest/events", json=event | {"referer": f"/of-{user}"})
    page = client.get(f"{PATH}/pages?tenant=acme").text
    assert "in other tenants too: 1<" in page
    assert "/of-ann" in page
    assert "/of-bob" not in page
    assert "are not counted" not in client.get(f"{PATH}/pages").text
