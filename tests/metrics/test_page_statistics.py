"""Page statistics: contract B.6 and B.9."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from ..conftest import NOW
from ..support.calls import get, ingest, put, utc

DAY = 24 * 3600
TODAY = utc("2026-05-19")
LAST_SECOND = 253402300799

Page = tuple[str, int, int]


def view(client: FlaskClient, page: str, *, user: str = "ann", at: int = NOW) -> None:
    ingest(client, {"type": "userinfo", "user_id": user, "timestamp": at, "referer": page})


def put_day(client: FlaskClient, user: str, history: list[tuple[int, str]]) -> None:
    histories = [{"timestamp": at, "referer": referer} for at, referer in history]
    body = {"timestamp": TODAY, "user_id": user, "histories": histories}
    put(client, "/user-behavior-day", body)


def statistics(client: FlaskClient, start: int = 0, end: int = LAST_SECOND, **query: Any) -> Any:
    timestamps = {"start_timestamp": start, "end_timestamp": end}
    return get(client, "/metrics/page-statistics", **timestamps, **query)


def pages(client: FlaskClient, start: int = 0, end: int = LAST_SECOND, **query: Any) -> list[Page]:
    found = statistics(client, start, end, **query)["page_statistics"]
    return [(page["page_url"], page["total_views"], page["unique_users"]) for page in found]


def views(client: FlaskClient, start: int, end: int) -> int:
    total = statistics(client, start, end)["total_page_views"]
    assert total == sum(page[1] for page in pages(client, start, end))
    assert isinstance(total, int)
    return total


def test_views_and_users_are_answered_in_total_and_by_page(client: FlaskClient) -> None:
    view(client, "/home", user="ann")
    view(client, "/home", user="bob")
    view(client, "/settings", user="ann")
    assert statistics(client, NOW - 5, NOW + 5) == {
        "start_date": NOW - 5,
        "end_date": NOW + 5,
        "total_page_views": 3,
        "total_unique_users": 2,
        "page_statistics": [
            {"page_url": "/home", "total_views": 2, "unique_users": 2},
            {"page_url": "/settings", "total_views": 1, "unique_users": 1},
        ],
    }


def test_without_views_all_is_zero(client: FlaskClient) -> None:
    assert statistics(client, 7, 7) == {
        "start_date": 7,
        "end_date": 7,
        "total_page_views": 0,
        "total_unique_users": 0,
        "page_statistics": [],
    }


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (NOW, NOW, 1),
        (NOW - 1, NOW, 1),
        (NOW, NOW + 1, 1),
        (NOW - 1, NOW - 1, 0),
        (NOW + 1, NOW + 1, 0),
        (NOW + 1, LAST_SECOND, 0),
        (0, NOW - 1, 0),
        (0, LAST_SECOND, 1),
    ],
)
def test_both_ends_are_included_to_the_second(
    client: FlaskClient, start: int, end: int, expected: int
) -> None:
    view(client, "/home")
    assert views(client, start, end) == expected


def test_a_range_may_begin_and_end_within_days(client: FlaskClient) -> None:
    for at in (TODAY - 2, TODAY - 1, TODAY, TODAY + DAY - 1, TODAY + DAY, TODAY + DAY + 1):
        view(client, "/home", at=at)
    assert views(client, TODAY - 1, TODAY + DAY) == 4
    assert views(client, TODAY, TODAY + DAY - 1) == 2


@pytest.mark.parametrize("settings", [{"time_zone": "Asia/Tokyo"}])
def test_a_range_is_one_of_seconds_in_every_time_zone(client: FlaskClient) -> None:
    midnight = utc("2026-05-18T15:00:00")
    for at in (midnight - 1, midnight, TODAY - 1, TODAY):
        view(client, "/home", at=at)
    assert views(client, midnight - 1, midnight) == 2
    assert views(client, midnight, TODAY - 1) == 2
    assert views(client, TODAY, TODAY) == 1


@pytest.mark.parametrize("at", [0, LAST_SECOND])
@pytest.mark.parametrize(
    "settings",
    [
        {"time_zone": zone, "accept_ahead": 3_000_000}
        for zone in ("Pacific/Kiritimati", "UTC", "Etc/GMT+12")
    ],
)
def test_the_first_and_last_timestamps_are_counted(client: FlaskClient, at: int) -> None:
    view(client, "/home", at=at)
    assert views(client, 0, LAST_SECOND) == views(client, at, at) == 1


def test_users_are_counted_once_a_page_and_once_in_total(client: FlaskClient) -> None:
    for user in ("ann", "bob", "ann", "Ann"):
        view(client, "/home", user=user)
        view(client, "/settings", user=user, at=NOW - DAY)
    assert pages(client) == [("/home", 4, 3), ("/settings", 4, 3)]
    assert statistics(client)["total_unique_users"] == 3


def test_each_entry_is_a_view(client: FlaskClient) -> None:
    put_day(client, "ann", [(NOW, "/home")] * 3)
    view(client, "/home")
    assert pages(client) == [("/home", 4, 1)]


def test_entries_that_were_replaced_are_no_views(client: FlaskClient) -> None:
    put_day(client, "ann", [(NOW, "/old"), (NOW, "/home")])
    put_day(client, "ann", [(NOW, "/home")])
    assert pages(client) == [("/home", 1, 1)]


def test_a_call_without_a_referer_is_no_view(client: FlaskClient) -> None:
    ingest(client, {"type": "userinfo", "user_id": "ann", "timestamp": NOW})
    assert pages(client) == []


@pytest.mark.parametrize("type_", ["create_tenant", "create_saas_user", "create_tenant_user"])
def test_a_creation_is_no_view(client: FlaskClient, type_: str) -> None:
    event = {"type": type_, "user_id": "ann", "tenant_id": "acme", "referer": "/home"}
    ingest(client, event)
    assert pages(client) == []


@pytest.mark.parametrize(
    ("referer", "page"),
    [
        ("/users", "/users"),
        ("/users/", "/users/"),
        ("/users?action=delete_user", "/users"),
        ("/users#list", "/users"),
        ("/users?a=1#list", "/users"),
        ("/users#list?a=1", "/users"),
        ("/users?a=1?b=2", "/users"),
        ("/users?", "/users"),
        ("https://app.example/users?a=1", "https://app.example/users"),
        ("https://app.example?a=1", "https://app.example"),
        ("/ページ?名=1", "/ページ"),
        ("/a%3Fb", "/a%3Fb"),
        ("?a=1", ""),
        ("", ""),
    ],
)
def test_a_page_is_the_referer_without_query_and_fragment(
    client: FlaskClient, referer: str, page: str
) -> None:
    put_day(client, "ann", [(NOW, referer)])
    assert pages(client) == [(page, 1, 1)]


REFERERS = ["/users?action=delete_user", "/users?action=add_user", "/users", "/users#list"]


def test_referers_of_one_page_are_counted_together(client: FlaskClient) -> None:
    for referer in REFERERS:
        view(client, referer)
    view(client, "/users?action=add_user", user="bob")
    assert pages(client) == [("/users", 5, 2)]


@pytest.mark.parametrize("settings", [{"keep_query": True}])
def test_keep_query_counts_referers_apart(client: FlaskClient) -> None:
    for referer in REFERERS:
        view(client, referer)
    view(client, "/users?action=add_user", user="bob")
    assert pages(client) == [
        ("/users?action=add_user", 2, 2),
        ("/users", 1, 1),
        ("/users#list", 1, 1),
        ("/users?action=delete_user", 1, 1),
    ]
    assert statistics(client)["total_unique_users"] == 2


UUID = "1B4E28BA-2fa1-11d2-883f-0016d3cca427"


@pytest.mark.parametrize("settings", [{"collapse_ids": True}])
@pytest.mark.parametrize(
    ("referer", "page"),
    [
        ("/users/5", "/users/{id}"),
        ("/users/5/", "/users/{id}/"),
        ("/users/5/posts/0012?page=3", "/users/{id}/posts/{id}"),
        ("/5/6/7", "/{id}/{id}/{id}"),
        (f"/users/{UUID}#x", "/users/{id}"),
        (f"/users/{UUID}0", f"/users/{UUID}0"),
        ("/users/5a", "/users/5a"),
        ("/users/-5", "/users/-5"),
        ("/v1.5/x", "/v1.5/x"),
        ("/users/５", "/users/５"),  # noqa: RUF001
        ("5", "5"),
        ("https://127/5", "https://127/{id}"),
        ("http://app.example:8080/5?id=6", "http://app.example:8080/{id}"),
    ],
)
def test_numbers_and_uuids_in_a_path_can_be_counted_as_one(
    client: FlaskClient, referer: str, page: str
) -> None:
    put_day(client, "ann", [(NOW, referer)])
    assert pages(client) == [(page, 1, 1)]
    history = get(client, "/users/ann/behavior-histories")["histories"][0]["histories"]
    assert history == [{"timestamp": NOW, "referer": referer}]


@pytest.mark.parametrize("settings", [{"collapse_ids": True, "keep_query": True}])
def test_collapsed_pages_can_keep_their_query(client: FlaskClient) -> None:
    put_day(client, "ann", [(NOW, "/users/5?page=6"), (NOW, "/users/7?page=6")])
    assert pages(client) == [("/users/{id}?page=6", 2, 1)]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1, ["/b"]),
        (2, ["/b", "/a"]),
        (3, ["/b", "/a", "/c"]),
        (4, ["/b", "/a", "/c", "/d"]),
        (5, ["/b", "/a", "/c", "/d"]),
        (2**63 - 1, ["/b", "/a", "/c", "/d"]),
    ],
)
def test_a_limit_shows_the_most_viewed_pages_and_totals_cover_all(
    client: FlaskClient, limit: int, expected: list[str]
) -> None:
    put_day(client, "ann", [(NOW, page) for page in ("/d", "/c", "/b", "/a", "/b")])
    found = statistics(client, limit=limit)
    assert [page["page_url"] for page in found["page_statistics"]] == expected
    assert (found["total_page_views"], found["total_unique_users"]) == (5, 1)


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5"])
def test_a_limit_is_a_number_from_1(client: FlaskClient, limit: str) -> None:
    query = {"start_timestamp": 0, "end_timestamp": 1, "limit": limit}
    answer = client.get("/v1/analysis/metrics/page-statistics", query_string=query)
    assert answer.status_code == 400
    assert answer.get_json()["message"].startswith("limit: must be ")


@pytest.mark.slow
def test_pages_are_sorted_by_views_then_url(client: FlaskClient) -> None:
    twice = ["/Z", "/b", "/z", "/é", "/ページ", "/\uff9e", "/\U0001f600"]
    for page in reversed(twice):
        view(client, page)
        view(client, page)
    view(client, "/a")
    for _ in range(10):
        view(client, "/often")
    assert [page[0] for page in pages(client)] == ["/often", *twice, "/a"]


def test_pages_are_compared_exactly(client: FlaskClient) -> None:
    for referer in ("/users", "/Users", "/users/", "//users", "https://app.example/users"):
        view(client, referer)
    assert len(pages(client)) == 5


def test_unknown_parameters_are_ignored(client: FlaskClient) -> None:
    view(client, "/home")
    query: dict[str, Any] = {
        "tenant_ids": "acme",
        "keep_query": "true",
        "unknown": ["a", "b"],
    }
    assert pages(client, **query) == [("/home", 1, 1)]
