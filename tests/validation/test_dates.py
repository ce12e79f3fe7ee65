"""Impossible times: what feeds refuse, and every date in a URL is a page or a 400."""

import json
import re
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.config import load_settings
from app.days import MAX_TIMESTAMP, format_day, parse_day
from app.double.application import close, make_double
from app.errors import StartError
from app.storage.database import Database

from ..conftest import NOW, SetClock, run
from ..support.calls import BASE
from ..support.reading import everything
from ..support.records import api_log, eventbridge, page

DAY = 86400
LATEST = NOW + DAY
BAD = [LATEST + 1, NOW + 10 * 365 * DAY, MAX_TIMESTAMP]


def iso(timestamp: int) -> str:
    second = timestamp % DAY
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{format_day(timestamp // DAY)}T{clock}Z"


def records(timestamp: int, id_: str) -> dict[str, tuple[str, Any]]:
    """Return the field of the time and a record of it, by the path of each feed."""
    event = {"type": "userinfo", "user_id": "ann", "referer": "/", "timestamp": timestamp}
    log = api_log(id=id_, created_at=timestamp)
    bridge = eventbridge("create_tenant", id=id_) | {"time": iso(timestamp)}
    return {
        "/ingest/events": ("timestamp", event),
        "/ingest/eventbridge": ("time", bridge),
        "/ingest/apilog": ("created_at", page(log)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/ingest/events", "/ingest/eventbridge", "/ingest/apilog"])
def test_what_is_far_ahead_of_the_clock_is_refused(client: FlaskClient, path: str) -> None:
    everything(client)
    before = everything(client)
    for timestamp in BAD:
        field, record = records(timestamp, "bad")[path]
        answer = client.post(BASE + path, json=record)
        assert answer.status_code == 400
        assert f"{field}: must not be after {LATEST}: that is too far ahead" in answer.text
    assert everything(client) == before
    field, record = records(LATEST, "good")[path]
    assert client.post(BASE + path, json=record).get_json()["accepted"] == 1


def put_day(client: FlaskClient, timestamp: int, entries: int = 1) -> Any:
    histories = [{"timestamp": timestamp, "referer": "/"}] * entries
    body = {"timestamp": timestamp, "user_id": "ann", "histories": histories}
    return client.put(BASE + "/user-behavior-day", json=body)


@pytest.mark.parametrize("kind", ["service", "double"])
def test_a_day_of_a_time_to_come_is_refused_and_can_be_cleared(app: Flask, kind: str) -> None:
    made = make_double(load_settings({}, {})) if kind == "double" else None
    client = (made or app).test_client()
    if made:
        clock = {"mode": "frozen", "at": NOW}
        assert client.put("/__double/clock", json=clock).status_code == 200
    else:
        from app.auth import keys

        token = keys.create_bearer_key(app.extensions["database"], name="a", scopes=keys.SCOPES)
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    for timestamp in (NOW + 2 * DAY, MAX_TIMESTAMP):
        answer = put_day(client, timestamp)
        assert answer.status_code == 400
        assert f"timestamp: must not be after {LATEST}" in answer.get_json()["message"]
        assert put_day(client, timestamp, entries=0).status_code == 200
    assert put_day(client, NOW + DAY).status_code == 200
    event = records(LATEST + 1, "")["/ingest/events"][1]
    assert client.post(BASE + "/ingest/events", json=event).status_code == 400
    if made:
        # What a state says is taken as it is: the clock may have been another one.
        state = {"events": [event]}
        assert client.put("/__double/state", json=state).status_code == 200
        assert client.get("/__double/state").get_json()["events"][0]["timestamp"] == LATEST + 1
        close(made)


class TestFrom:
    """With a first day, nothing earlier is taken in: neither events nor numbers."""

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"accept_from": "2026-05-01", "time_zone": "Asia/Tokyo"}

    def test_what_is_earlier_is_refused(self, client: FlaskClient) -> None:
        first = parse_day("2026-05-01") * DAY - 9 * 3600
        for timestamp, status in ((0, 400), (first - 1, 400), (first, 200)):
            for path, (field, record) in records(timestamp, str(timestamp)).items():
                answer = client.post(BASE + path, json=record)
                assert (answer.status_code, field in answer.text) == (status, status == 400)
            answer = put_day(client, timestamp)
            assert answer.status_code == status
            assert status == 200 or f"must not be before {first}" in answer.text
        for type_, date, status in (
            ("daily", "2026-04-30", 400),
            ("daily", "2026-05-01", 200),
            ("monthly", "2026-04", 400),
            ("monthly", "2026-05", 200),
            ("monthly", "9999-12", 200),
        ):
            body = {"type": type_, "date": date, "tenant_id": "t", "env_id": 1, "active_users": 1}
            answer = client.put(BASE + "/active-users", json=body)
            assert (answer.status_code, "date: " in answer.text) == (status, status == 400)


@pytest.mark.parametrize(
    "given", [{"accept_ahead": -1}, {"accept_from": "2026-13-01"}, {"accept_from": "yesterday"}]
)
def test_a_setting_that_cannot_be_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(StartError, match="accept_"):
        load_settings(given, {})


def bad_database(path: Path, zone: str) -> None:
    """Make a database with entries of impossible times, as older versions took them."""
    settings = {"auth": False, "time_zone": zone, "accept_ahead": 3_000_000}
    app = create_app({"database": path} | settings, clock=SetClock())
    client = app.test_client()
    event = {"type": "userinfo", "user_id": "ann", "tenant_id": "t", "env_id": 1, "referer": "/a"}
    times = (0, 1, NOW - 100 * DAY, NOW, MAX_TIMESTAMP - 50_000, MAX_TIMESTAMP)
    answer = client.post(BASE + "/ingest/events", json=[event | {"timestamp": t} for t in times])
    assert answer.get_json()["accepted"] == len(times)
    for type_, date in (("daily", "0001-01-01"), ("daily", "9999-12-31"), ("monthly", "0001-01")):
        body = {"type": type_, "date": date, "tenant_id": "t", "env_id": 1, "active_users": 3}
        assert client.put(BASE + "/active-users", json=body).status_code == 200
    app.extensions["database"].close()


PAGES = ["", "/pages", "/pages/page?id=/a", "/tenants", "/tenants/tenant?id=t", "/users"]
PAGES.append("/users/user?id=ann")
DATES = [
    "from=0001-01-01",
    "to=0001-01-01",
    "to=0001-01-28&compare=on",
    "from=0001-01-01&to=0001-01-02",
    "from=1969-12-31",
    "to=1969-12-31",
    "to=1970-01-01",
    "from=1970-01-01&to=1970-01-01",
    "from=1970-01-02&to=1970-01-02",
    "to=1970-02-01",
    "from=1970-01-01&to=9999-12-31",
    "from=2026-05-19&to=2026-05-19",
    "from=9999-12-30&to=9999-12-31",
    "from=9999-12-31",
    "to=9999-12-31",
    "period=all",
]
ZONES = ["UTC", "Asia/Tokyo", "Pacific/Kiritimati", "America/Adak", "Australia/Lord_Howe"]


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_every_date_is_a_page_or_a_400(tmp_path: Path, zone: str) -> None:
    """Each page with each date in some zone, and what is about the ends of time in all zones."""
    path = tmp_path / "a.db"
    bad_database(path, zone)
    app = create_app({"database": path, "auth": False}, clock=SetClock())
    client = app.test_client()
    for number, place in enumerate(PAGES):
        for index, query in enumerate(DATES):
            is_turn = (number + index) % len(ZONES) == ZONES.index(zone)
            if is_turn or (place.startswith("/users/user") and "9999" in query):
                url = f"/dashboard{place}{'&' if '?' in place else '?'}{query}"
                expected = 400 if re.search("=(0001|1969)|1970-01-01&to=9999", query) else 200
                assert client.get(url).status_code == expected, url
    csv = client.get("/dashboard/users/user?id=ann&from=9999-12-31&csv=histories").text
    assert csv.count("/a") == 2
    days = {"start_date": "0001-01-01", "end_date": "9999-12-31"}
    for place, parameters, text in (
        ("/users/ann/behavior-histories", {}, f'"timestamp":{NOW}'),
        ("/metrics/aggregated", days | {"metrics_type": "create_tenant"}, "[]"),
        ("/userinfo/aggregated", days, '"date":"9999-12-31","details":{"t":2}'),
        ("/active-users", {"type": "daily", "date_from": "0001-01-01"}, '"date":"0001-01-01"'),
        *(
            (
                "/metrics/page-statistics",
                {"start_timestamp": start, "end_timestamp": end},
                f'"total_page_views":{views}',
            )
            for start, end, views in (
                (0, MAX_TIMESTAMP, 6),
                (0, 0, 1),
                (MAX_TIMESTAMP, MAX_TIMESTAMP, 1),
            )
        ),
    ):
        answer = client.get(BASE + place, query_string=parameters)
        assert (answer.status_code, text in answer.text) == (200, True), answer.text
    app.extensions["database"].close()


@pytest.mark.slow
def test_all_is_of_plausible_days_and_tells_of_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    bad_database(path, "Asia/Tokyo")
    app = create_app({"database": path, "auth": False}, clock=SetClock())
    with closing(app.extensions["database"]):
        client = app.test_client()
        text = unescape(client.get("/dashboard?period=all").text)
        assert re.findall('class="shown">(.*?)<', text) == ["Feb 1, 2026 \u2013 May 19, 2026"]
        assert (
            "4 history entries and 4 calls are before Feb 1, 2026 or after May 19, 2026, and are "
            "not shown."
        ) in text
        assert "are not shown" not in client.get("/dashboard?period=28d").text
        tenants = client.get("/dashboard/tenants?csv=tenants").data.decode("utf-8-sig")
        assert tenants.splitlines()[1].endswith("2026-05-19")
        user = unescape(client.get("/dashboard/users/user?id=ann").text)
        assert "Last seen</dt><dd>May 19, 2026" in re.sub(r"\s", " ", user)
        (link,) = re.findall(r'Entries in the future</dt><dd><a href="([^"]*)">2</a>', user)
        assert client.get(link).text.count("<li><time") == 2


@pytest.mark.slow
def test_a_copy_of_a_database_with_impossible_times_says_what_it_leaves_out(
    tmp_path: Path,
) -> None:
    path, copy, export = tmp_path / "a.db", tmp_path / "b.db", tmp_path / "export.ndjson"
    bad_database(path, "UTC")
    assert run("export", "--database", path, "--output", export).returncode == 0
    done = run("import", "export", export, "--database", copy, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert {refusal["message"].split(":")[0] for refusal in told["refusals"]} == {
        "timestamp",
        "date",
    }
    # Two entries, and of that day and month: calls, whose, who was active.
    assert told["refused"] == 2 + 1 + 1 + 2
    everything_ = {"ANALYSIS_ACCEPT_AHEAD": "3000000"}
    done = run("import", "export", export, "--database", copy, env=everything_)
    assert done.returncode == 0
    with closing(Database(copy)):
        again = tmp_path / "again.ndjson"
        assert run("export", "--database", copy, "--output", again).returncode == 0
    assert again.read_bytes() == export.read_bytes()
