"""What Prometheus reads, and the log."""

import json
import logging
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from app.config import load_settings
from app.operations.histogram import BUCKETS, Histogram
from app.storage.database import Database
from app.web.log_format import JsonFormatter, TextFormatter

from ..conftest import NOW, ROOT, run, serving
from ..support.calls import BASE, ingest, put

EVENT = {"type": "userinfo", "user_id": "ann", "timestamp": NOW, "referer": "/"}


def samples(client: FlaskClient) -> dict[tuple[str, str], float]:
    """Return the samples of /metrics by name and the values of their labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.content_type.startswith("text/plain")
    return {
        (
            sample.name.removeprefix("saasus_analysis_"),
            "/".join(sample.labels.values()),
        ): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_operation_and_status(client: FlaskClient) -> None:
    for _ in range(3):
        client.get(f"{BASE}/users/ann/behavior-histories")
    client.get(f"{BASE}/active-users")
    client.get(f"{BASE}/users/ann/behavior-histories", headers={"Authorization": "Bearer x"})
    client.get("/nothing")
    found = samples(client)
    assert found["requests_total", "GetUserBehaviorHistories/200"] == 3
    assert found["requests_total", "GetUserBehaviorHistories/401"] == 1
    assert found["requests_total", "GetActiveUsers/400"] == 1
    assert found["requests_total", "other/404"] == 1
    assert found["request_seconds_count", "GetUserBehaviorHistories"] == 4
    assert 0 < found["request_seconds_sum", "GetUserBehaviorHistories"] < 60


def test_records_are_counted_by_outcome(client: FlaskClient) -> None:
    ingest(client, EVENT | {"id": "1"}, EVENT)
    client.post(f"{BASE}/ingest/events", json=[EVENT | {"id": "1"}, {"type": "x"}])
    found = samples(client)
    outcomes = ("accepted", "duplicates", "ignored", "refused")
    assert [found["ingested_records_total", outcome] for outcome in outcomes] == [2, 1, 0, 1]


def test_the_database_is_measured(client: FlaskClient, database: Database) -> None:
    hours = [EVENT | {"timestamp": NOW - 10**6 - 60 * number} for number in range(600)]
    ingest(client, *hours)
    span = {"start_timestamp": 0, "end_timestamp": NOW}
    client.get(f"{BASE}/metrics/page-statistics", query_string=span)
    found = samples(client)
    assert found["database_bytes", ""] == database.path.stat().st_size
    assert found["wal_bytes", ""] == Path(f"{database.path}-wal").stat().st_size
    assert found["page_summaries", "0"] > 0
    assert found["write_wait_seconds_count", ""] >= 2


def test_each_metric_is_documented(client: FlaskClient) -> None:
    (page,) = re.findall(
        r"^## Metrics$.*?^## ", (ROOT / "docs/operating.md").read_text(), re.M | re.S
    )
    documented = set(re.findall("`saasus_analysis_(\\w+)`", page))
    ingest(client, EVENT)
    answer = client.get("/metrics").text
    told = {
        family.name.removeprefix("saasus_analysis_") + "_total" * (family.type == "counter")
        for family in text_string_to_metric_families(answer)
    }
    assert told == documented


@pytest.mark.slow
def test_a_label_is_never_what_a_client_wrote(client: FlaskClient) -> None:
    """A client could otherwise make as many series as it likes."""
    for number in range(50):
        client.get(f"/path-{number}")
        client.get(f"{BASE}/users/user-{number}/behavior-histories")
    text = client.get("/metrics").text
    assert "path-" not in text
    assert "user-" not in text


@pytest.mark.slow
def test_counts_of_many_threads_add_up(app: Flask) -> None:
    def ask() -> None:
        client = app.test_client()
        for _ in range(50):
            client.get("/healthz")

    threads = [Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert samples(app.test_client())["requests_total", "other/200"] == 400


def test_times_fall_into_the_bucket_that_they_do_not_exceed() -> None:
    histogram = Histogram()
    for seconds in (0, BUCKETS[0], BUCKETS[0] + 1e-9, BUCKETS[-1], BUCKETS[-1] + 1):
        histogram.observe(seconds)
    counts, total = histogram.read()
    assert (counts[0], counts[1], counts[-2], counts[-1], sum(counts)) == (2, 1, 1, 1, 5)
    assert total == pytest.approx(2 * BUCKETS[0] + 2 * BUCKETS[-1] + 1)


@pytest.mark.slow
def test_a_start_does_not_load_what_only_prometheus_needs(tmp_path: Path) -> None:
    code = (
        "import sys; from app import create_app\n"
        "client = create_app(database=sys.argv[1], auth=False).test_client()\n"
        "client.get('/healthz')\n"
        "print('prometheus_client' in sys.modules)\n"
        "client.get('/metrics'); print('prometheus_client' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.db")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"], done.stderr


@pytest.mark.slow
def test_a_line_of_the_log_is_an_object_with_the_trace_id(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        serving(
            "--database", tmp_path / "a.db", stderr=stderr, ANALYSIS_LOG_FORMAT="json"
        ) as server,
    ):
        headers = {**server.headers, "X-Saasus-Trace-Id": "my-trace"}
        url = f"{server.url}{BASE}/active-users?type=%0A"
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(url, headers=headers))
        refused.value.close()
    made, line = [json.loads(line) for line in log.read_text().splitlines()]
    told = "; its time zone is UTC and cannot be changed"
    assert made["message"] == f"made a new database at {tmp_path}/a.db{told}"
    assert line["trace"] == "my-trace"
    assert (line["level"], line["logger"]) == ("info", "saasus_analysis.access")
    assert (line["method"], line["status"], line["key"]) == ("GET", 400, "first")
    assert line["target"] == f"{BASE}/active-users?type=%0A"
    assert server.token not in log.read_text()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/v1/analysis/users/ann/behavior-histories", "/v1/analysis/users/***/behavior-histories"),
        ("/v1/analysis/us%65rs/%61nn%2Fx/behavior-histories/", "/v1/analysis/users/***"),
        ("/v1/analysis//users//ann", "/v1/analysis//users//***"),
        ("/v1/analysis/active-users?type=daily&tenant_id=ann", "type=daily&tenant_id=***"),
        ("/v1/analysis/active-users?tenant_ids[]=ann&ann&ann=1&=ann", "tenant_ids[]=***&***&"),
        ("/v1/analysis/active-users?tenant%5Fid=ann", "?tenant_id=***"),
        ("/dashboard/users/user?id=ann&period=7d&q=ann", "?id=***&period=7d&q=***"),
        ("/dashboard/sign-in?next=/dashboard/users/user?id=ann", "/dashboard/sign-in?next=***"),
    ],
)
def test_the_log_names_no_user_tenant_or_page(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, target: str, told: str
) -> None:
    with caplog.at_level(logging.INFO, "saasus_analysis.access"):
        path, _, query = target.partition("?")
        environ = {"REQUEST_URI": target, "QUERY_STRING": query}
        client.get(unquote(path), environ_overrides=environ)
    assert told in caplog.text
    assert "ann" not in caplog.text


@pytest.mark.parametrize("before", ["users/", "/users//", "%75sers/", "Users/", "USERS%2F"])
@pytest.mark.parametrize(
    "after", ["", "/", "/x", "//behavior-histories", "/behavior-histories/ann"]
)
def test_the_log_names_no_user_whatever_the_id_is_like(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, before: str, after: str
) -> None:
    ids = (
        "ann/ann",
        "behavior-histories/ann",
        "ann?ann",
        "ann#;ann",
        "../ann",
        "ann%2Fann",
        "あann",
    )
    with caplog.at_level(logging.INFO, "saasus_analysis.access"):
        for user in ids:
            for safe in ("", "/"):
                target = f"{BASE}/{before}{quote(user, safe)}{after}"
                client.get(unquote(target), environ_overrides={"REQUEST_URI": target})
    assert len(caplog.messages) == 2 * len(ids)
    assert all("/***" in line for line in caplog.messages)
    assert "ann" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_clients_write_stands_in_the_log_in_one_line_without_control_characters(
    tmp_path: Path, log_format: str
) -> None:
    bad = ["\x1b[2J", "\x7f", "\x85", "\xa0", "\u2028", "\u202e", "a\tb", "%0a%1b[2J%e2%80%a8", '"']
    head = "GET {} HTTP/1.1\r\nHost: {}\r\nX-Saasus-Trace-Id: {}\r\nX-Forwarded-For: {}\r\n\r\n"
    requests = [
        request
        for text in bad
        for request in (
            head.format(f"/{text}", "a", "t", "192.0.2.1"),
            head.format(f"/healthz?type={text}", "a", "t", "192.0.2.1"),
            head.format("/healthz", text, text, text),
            head.format("/healthz", "a", f"t{text}", f"192.0.2.1, fe80::1%{text}"),
            head.format("/healthz", "a", "t", f"192.0.2.1:_{text}"),
            head.format("/healthz", "a", "t", "192.0.2.1").replace("GET", f"GE{text}T"),
        )
    ]
    log = tmp_path / "log"
    given = {"ANALYSIS_PROXIES": "1", "ANALYSIS_LOG_FORMAT": log_format}
    Database(tmp_path / "a.db").close()
    with (
        log.open("w") as stderr,
        serving("--database", tmp_path / "a.db", stderr=stderr, **given) as server,
    ):
        at = (urlsplit(server.url).hostname, urlsplit(server.url).port)
        for request in requests:
            with socket.create_connection(at, timeout=20) as connection:
                connection.sendall(request.encode())
                assert connection.recv(7) == b"HTTP/1."
    written = log.read_text()
    assert re.fullmatch("(?:[ -~]+\n)+", written)
    lines = written.splitlines()
    assert len(lines) == len(requests)
    assert sum("healthz" in line for line in lines) >= 2 * len(bad)
    if log_format == "json":
        assert {json.loads(line)["level"] for line in lines} == {"info"}


@pytest.mark.parametrize(
    ("settings", "told", "shown"),
    [
        ({}, None, "127.0.0.1"),
        ({}, "192.0.2.7", "127.0.0.1"),
        ({"proxies": 1}, "192.0.2.7", "192.0.2.7"),
        ({"proxies": 1}, "[2001:db8::7%25eth0]:80", "2001:db8::7"),
        ({"proxies": 1}, "192.0.2.7, unknown", "-"),
        ({"proxies": 1}, "192.0.2.7,", "-"),
        ({"proxies": 1}, "_hidden", "-"),
    ],
)
def test_the_log_shows_whose_address_it_is_if_that_is_known(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, told: str | None, shown: str
) -> None:
    with caplog.at_level(logging.INFO, "saasus_analysis.access"):
        client.get("/nothing", headers={"X-Forwarded-For": told} if told else {})
    assert caplog.messages[-1].startswith(f"{shown} GET /nothing 404 ")


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_line_stays_one_line_whatever_is_in_it(formatter: logging.Formatter, app: Flask) -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 1, "two %s", ("words",), None)
    with app.test_request_context():
        text = formatter.format(record)
    assert "two words" in text
    assert len(text.splitlines()) == 1


def test_an_unknown_form_of_the_log_is_refused(tmp_path: Path) -> None:
    environment = os.environ | {"ANALYSIS_LOG_FORMAT": "xml"}
    done = run("serve", "--database", tmp_path / "a.db", env=environment)
    assert done.returncode == 1
    assert "ANALYSIS_LOG_FORMAT: must be one of text, json" in done.stderr
    assert load_settings({}, {}).log_format == "text"


def test_put_and_read_wait_for_nobody(client: FlaskClient, database: Database) -> None:
    client.get(f"{BASE}/users/ann/behavior-histories")  # which notes the use of the key
    waits: list[float] = []
    database.on_write_wait = waits.append
    put(
        client,
        "/active-users",
        {"type": "daily", "date": "2026-05-19", "tenant_id": "a", "env_id": 1, "active_users": 1},
    )
    client.get(f"{BASE}/users/ann/behavior-histories")
    assert len(waits) == 1
