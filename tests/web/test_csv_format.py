import csv
import io
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.web.csv_format import csv_text, wants_csv

from ..support.calls import BASE, NO_TENANT, get, ingest, put, utc

NAMES = ["=1+1", "+1", "-1", "@a", 'a "b", c', "テナント\U0001f600"]
DAY = {"start_date": "2026-05-01", "end_date": "2026-05-31"}
ASKED: dict[str, dict[str, Any]] = {
    "/active-users": {"type": "daily", "date_from": "0001-01-01"},
    "/metrics/aggregated": DAY | {"metrics_type": "create_tenant"},
    "/userinfo/aggregated": DAY,
    "/metrics/page-statistics": {"start_timestamp": 0, "end_timestamp": 2_000_000_000},
}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/*", False),
        ("text/html, */*;q=0.8", False),
        ("text/html", False),
        ("nonsense", False),
        ("application/json, text/csv", False),
        ("text/csv;q=0.5, application/json", False),
        ("text/csv;q=0", False),
        ("text/csv;q=0, */*", False),
        ("text/csv;q=x", False),
        ("text/csv", True),
        ("TEXT/CSV", True),
        ("text/*", True),
        ("text/csv, */*", True),
        ("text/csv;q=0.9, application/json;q=0.8", True),
        ("application/json;q=0, */*", True),
        ("text/csv; header=present; charset=utf-8", True),
        ("text/csv;charset=utf-8;q=0.3, application/json;q=0.2", True),
    ],
)
def test_what_a_client_prefers_decides(accept: str | None, expected: bool) -> None:
    assert wants_csv(accept) is expected


def test_cells_are_quoted_where_rfc_4180_wants_it_and_else_left_as_they_are() -> None:
    rows = [("a", "b"), ('say "x"', "1,2"), ("", "=1+1"), (2**63 - 1, " x ")]
    assert csv_text(rows) == ('a,b\r\n"say ""x""","1,2"\r\n,=1+1\r\n9223372036854775807, x \r\n')


def ask(client: FlaskClient, path: str, **query: Any) -> list[list[str]]:
    answer = client.get(BASE + path, query_string=query, headers={"Accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["Vary"] == "Accept"
    assert answer.text.endswith("\r\n")
    return list(csv.reader(io.StringIO(answer.text, newline=""), strict=True))


@pytest.fixture
def fed(client: FlaskClient) -> FlaskClient:
    at = utc("2026-05-19T02:22:58")
    for name in NAMES:
        event = {"timestamp": at, "tenant_id": name, "user_id": name}
        ingest(client, event | {"type": "userinfo", "env_id": 2**63 - 1, "referer": name})
        ingest(client, event | {"type": "create_tenant"}, event | {"type": "create_tenant_user"})
    ingest(client, {"type": "create_saas_user", "user_id": "u", "timestamp": at})
    return client


@pytest.mark.slow
def test_active_users_have_the_rows_of_the_json(fed: FlaskClient) -> None:
    put(
        fed,
        "/active-users",
        {
            "type": "monthly",
            "date": "2026-05",
            "tenant_id": "t",
            "env_id": 0,
            "active_users": 2**63 - 1,
        },
    )
    for type_, first in (("daily", "2026-05-19"), ("monthly", "2026-05")):
        query = {"type": type_, "date_from": first}
        told = get(fed, "/active-users", **query)["data"]
        header, *rows = ask(fed, "/active-users", **query)
        assert header == ["date", "tenant_id", "env_id", "active_users"]
        assert rows == [[str(value) for value in row.values()] for row in told]
        assert rows


@pytest.mark.slow
def test_counts_are_a_row_a_day_and_tenant(fed: FlaskClient) -> None:
    by_tenant = [["2026-05-19", name, "1"] for name in sorted(NAMES)]
    header = ["date", "tenant_id", "count"]
    assert ask(fed, "/userinfo/aggregated", **DAY) == [header, *by_tenant]
    path = "/metrics/aggregated"
    created = ask(fed, path, metrics_type="create_tenant_user", **DAY)
    assert created == [header, *by_tenant]
    for type_, count in (("create_tenant", len(NAMES)), ("create_saas_user", 1)):
        rows = ask(fed, path, metrics_type=type_, **DAY)
        assert rows == [["date", "count"], ["2026-05-19", str(count)]]


@pytest.mark.slow
def test_page_statistics_are_the_pages_without_the_totals(fed: FlaskClient) -> None:
    header, *rows = ask(fed, "/metrics/page-statistics", **ASKED["/metrics/page-statistics"])
    assert header == ["page_url", "total_views", "unique_users"]
    assert rows == [[name, "1", "1"] for name in sorted(NAMES)]


@pytest.mark.parametrize("path", ASKED)
def test_without_data_there_is_the_header_alone(client: FlaskClient, path: str) -> None:
    assert len(ask(client, path, **ASKED[path])) == 1


@pytest.mark.parametrize("path", ASKED)
def test_json_stays_what_is_answered_to_anything_else(client: FlaskClient, path: str) -> None:
    for accept in ("*/*", "application/json", "text/html"):
        answer = client.get(BASE + path, query_string=ASKED[path], headers={"Accept": accept})
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Vary"] == "Accept"
        assert answer.get_json()


@pytest.mark.parametrize("path", ASKED)
def test_errors_stay_json(client: FlaskClient, path: str) -> None:
    answer = client.get(BASE + path, headers={"Accept": "text/csv"})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.get_json()["type"] == "invalid_request"


@pytest.mark.slow
def test_both_types_are_described(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    for path in ASKED:
        content = paths[path]["get"]["responses"]["200"]["content"]
        assert list(content) == ["application/json", "text/csv"]
        assert content["text/csv"]["schema"]["type"] == "string"
        assert "$ref" in content["application/json"]["schema"]


def test_no_tenant_is_shown_as_in_json(client: FlaskClient) -> None:
    ingest(client, {"type": "userinfo", "user_id": "u", "timestamp": utc("2026-05-01T00:00:00")})
    assert ask(client, "/userinfo/aggregated", **DAY)[1:] == [["2026-05-01", NO_TENANT, "1"]]
