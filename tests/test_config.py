import json
import os
from dataclasses import fields
from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from app import create_app
from app.config import Settings, load_settings, service_variables, variable
from app.errors import StartError

from .conftest import run, serving

LOG = "ANALYSIS_LOG_FORMAT"
SIGNATURE_KEY = {"saasus_saas_id": "saas", "saasus_api_key": "api", "saasus_secret_key": "hush"}
RATE = "must be a rate such as 600/minute or 10/second;5000/hour, or off"
GOOD: list[tuple[str, str, Any]] = [
    ("database", "/tmp/x.db", Path("/tmp/x.db")),
    ("time_zone", "Asia/Tokyo", "Asia/Tokyo"),
    ("auth", "off", False),
    ("auth", "True", True),
    ("host", "::1", "::1"),
    ("port", "0", 0),
    ("port", "65535", 65535),
    ("threads", "1", 1),
    ("drain_seconds", "0", 0),
    ("queue", "0", 0),
    ("receive_seconds", "1", 1),
    ("send_seconds", "1", 1),
    ("max_buffered", "1048576", 1048576),
    ("allow_from", "10.0.0.0/8,::1", (ip_network("10.0.0.0/8"), ip_network("::1"))),
    ("allow_from", "::ffff:192.0.2.0/120", (ip_network("192.0.2.0/24"),)),
    ("proxies", "1", 1),
    ("prefix", "/analytics/", "/analytics"),
    ("prefix", "/~a/b-c_d.e", "/~a/b-c_d.e"),
    ("prefix", "/", None),
    ("hosts", "Demo.test., [::1], 192.0.2.1, demo", ("demo.test", "::1", "192.0.2.1", "demo")),
    ("cors_origins", "https://A.example, http://b:1", ("https://a.example", "http://b:1")),
    ("dashboard", "off", False),
    ("session_hours", "1", 1),
    ("frame_origins", "https://*.a.example", ("https://*.a.example",)),
    ("log_format", "json", "json"),
    ("metrics", "off", "off"),
    ("max_body", "1024", 1024),
    ("max_header", "1024", 1024),
    ("max_records", "1", 1),
    ("body_memory", "1048576", 1048576),
    ("keep_histories", "1", 1),
    ("keep_counts", "36500", 36_500),
    ("keep_event_ids", "7", 7),
    ("accept_ahead", "0", 0),
    ("accept_from", "2026-05-01", date(2026, 5, 1)),
    ("prune_days", "7", 7),
    ("rate_limit", "10/second;5000/hour", "10/second;5000/hour"),
    ("rate_limit", "1 per 5 minutes", "1 per 5 minutes"),
    ("failed_keys", "off", None),
    ("keep_query", "1", True),
    ("collapse_ids", "off", False),
    ("synchronous", "normal", "normal"),
    ("busy_seconds", "0", 0),
    ("double_seed", "{}", "{}"),
    ("double_auth", "strict", "strict"),
    ("double_remote", "on", True),
    ("double_namespaces", "1", 1),
]


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_setting_comes_from_the_environment_or_a_keyword(
    name: str, text: str, value: Any
) -> None:
    assert getattr(load_settings({}, {variable(name): text}), name) == value
    assert getattr(load_settings({name: value}, {}), name) == value


PAGES_LONGER = {"keep_histories": 7, "keep_page_statistics": 30}


def test_every_setting_is_tried_above() -> None:
    tried = {name for name, _, _ in GOOD} | SIGNATURE_KEY.keys() | PAGES_LONGER.keys()
    assert tried == {setting.name for setting in fields(Settings)}


def test_page_statistics_are_kept_as_long_as_histories_or_longer() -> None:
    assert load_settings(PAGES_LONGER, {}).keep_page_statistics == 30
    assert load_settings(PAGES_LONGER | {"keep_histories": 30}, {}).keep_histories == 30


def test_a_keyword_wins_over_the_environment() -> None:
    assert load_settings({"port": 1}, {"ANALYSIS_PORT": "2"}).port == 1


def test_other_variables_of_the_environment_are_not_looked_at() -> None:
    assert load_settings({}, {"PORT": "x", "SAASUS_BASE_URL": "y"}) == Settings()


KUBERNETES = {
    "ANALYSIS_SERVICE_HOST": "10.0.0.1",
    "ANALYSIS_SERVICE_PORT": "8000",
    "ANALYSIS_SERVICE_PORT_HTTP": "8000",
    "ANALYSIS_PORT": "tcp://10.0.0.1:8000",
    "ANALYSIS_PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "ANALYSIS_PORT_8000_TCP_PROTO": "tcp",
    "ANALYSIS_PORT_8000_TCP_PORT": "8000",
    "ANALYSIS_PORT_8000_TCP_ADDR": "10.0.0.1",
    "ANALYSIS_PORT_53_UDP": "udp://[fd00::1]:53",
    "ANALYSIS_PORT_53_UDP_PROTO": "udp",
    "ANALYSIS_DB_SERVICE_HOST": "fd00::1",
    "ANALYSIS_DB_SERVICE_PORT_POSTGRES": "5432",
    "ANALYSIS_DB_PORT": "tcp://[fd00::1]:5432",
    "ANALYSIS_DB_PORT_5432_TCP_ADDR": "fd00::1",
    "ANALYSIS_2_EDGE_PORT": "sctp://10.0.0.1:9",
    "ANALYSIS_2_EDGE_PORT_9_SCTP": "sctp://10.0.0.1:9",
    # Services named like settings.
    "ANALYSIS_HOST_SERVICE_HOST": "10.0.0.1",
    "ANALYSIS_PORT_SERVICE_PORT": "8000",
    "ANALYSIS_PORT_PORT": "tcp://10.0.0.1:8000",
}
DOCKER = {
    "ANALYSIS_NAME": "/web/analysis",
    "ANALYSIS_ENV_ANALYSIS_PORT": "8000",
    "ANALYSIS_ENV_GPG_KEY": "x",
    "ANALYSIS_PORT": "tcp://172.17.0.5:8000",
    "ANALYSIS_PORT_8000_TCP_START": "tcp://172.17.0.5:8000",
    "ANALYSIS_PORT_8000_TCP_PORT_END": "8001",
    "ANALYSIS_DB_NAME": "/web/analysis-db",
    "ANALYSIS_DB_ENV_POSTGRES_PASSWORD": "x",
}


@pytest.mark.parametrize("environment", [KUBERNETES, DOCKER])
def test_what_a_cluster_tells_of_a_service_of_our_name_is_passed_over(
    environment: dict[str, str],
) -> None:
    assert service_variables(environment) == sorted(environment)
    assert load_settings({}, environment) == Settings()
    assert load_settings({}, environment | {"ANALYSIS_HOST": "::1"}).host == "::1"
    for name, value in environment.items():
        if "_ENV_" not in name:
            assert load_settings({}, {name: value}) == Settings(), "each alone, too"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANALYSIS_PORT", "tcp:8000"),
        ("ANALYSIS_PORT", "http://10.0.0.1:8000"),
        ("ANALYSIS_PORT", ""),
        ("ANALYSIS_SERVICE_PORT", "http"),
        ("ANALYSIS_SERVICE", "10.0.0.1"),
        ("ANALYSIS_DB_PORT", "5432"),
        ("ANALYSIS_PORTS", "tcp://10.0.0.1:8000"),
        ("ANALYSIS_PORT_HTTP", "8000"),
        ("ANALYSIS_PORT_8000", "tcp://10.0.0.1:8000"),
        ("ANALYSIS_PORT_8000_TLS_ADDR", "10.0.0.1"),
        ("ANALYSIS_NAME", "analysis"),
        ("ANALYSIS_ENV_PORT", "8000"),
        ("ANALYSIS_HOST_NAME", "x"),
    ],
)
def test_what_only_looks_like_it_is_refused(name: str, value: str) -> None:
    with pytest.raises(StartError, match=name):
        load_settings({}, {name: value})
    assert service_variables({name: value}) == []


@pytest.mark.slow
def test_a_start_beside_a_service_of_our_name_says_what_it_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        serving("--database", tmp_path / "a.db", stderr=stderr, **KUBERNETES, **{LOG: "json"}),
    ):
        pass
    first = json.loads(log.read_text().splitlines()[0])
    assert (
        first["message"]
        == f"ignored, since they describe a service: {', '.join(sorted(KUBERNETES))}"
    )
    done = run("doctor", "--database", tmp_path / "a.db", env=os.environ | KUBERNETES)
    assert (
        "environment: ignored, since Kubernetes sets them for a service: ANALYSIS_2_EDGE_PORT,"
        in done.stdout
    )


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        ({"databse": "x"}, {}, "databse is not a setting; did you mean database?"),
        ({}, {"ANALYSIS_PROT": "1"}, "ANALYSIS_PROT is not a setting; did you mean ANALYSIS_PORT?"),
        ({"qqq": 1}, {}, "qqq is not a setting; settings are accept_ahead, accept_from, "),
        ({}, {"ANALYSIS_PORT": "x"}, "ANALYSIS_PORT: must be a whole number from 0 to 65535"),
        ({}, {"ANALYSIS_PORT": "65536"}, "ANALYSIS_PORT: must be a whole number from 0 to 65535"),
        ({"port": True}, {}, "port: must be a whole number"),
        ({"port": 1.0}, {}, "port: must be a whole number"),
        ({"allow_from": "10.0.0.1/8"}, {}, "allow_from: must be networks such as"),
        ({}, {"ANALYSIS_ALLOW_FROM": ""}, "ANALYSIS_ALLOW_FROM: must be networks such as"),
        ({}, {"ANALYSIS_CORS_ORIGINS": "*"}, "ANALYSIS_CORS_ORIGINS: must be origins such as"),
        *(
            ({}, {"ANALYSIS_PREFIX": prefix}, "ANALYSIS_PREFIX: must be a path such as /analytics")
            for prefix in (
                *("analytics", "//evil.example", "/a//b", "/../a", "/a/.", "https://a", "/a?b"),
                *(
                    "/a%2Fb",
                    "/a b",
                    "/a\r\nb",
                    "/a\n",
                    "/" + "a" * 300,
                    "javascript:alert(1)",
                    "/日",
                ),
            )
        ),
        *(
            (
                {},
                {"ANALYSIS_PREFIX": prefix},
                "ANALYSIS_PREFIX: must not begin like a path of this server",
            )
            for prefix in ("/dashboard", "/v1", "/v1/a", "/docs/", "/ns", "/a/dashboard/shared/b")
        ),
        ({"cors_origins": "https://a/b"}, {}, "cors_origins: must be origins such as"),
        *(
            ({}, {"ANALYSIS_HOSTS": name}, "ANALYSIS_HOSTS: must be names or addresses such as")
            for name in ("", "*", "http://demo.test", "demo.test:8000", "a,,b", "a/b", ".test")
        ),
        ({"frame_origins": "'none'"}, {}, "frame_origins: must be origins such as"),
        ({"frame_origins": "https://a; x"}, {}, "frame_origins: must be origins such as"),
        ({"session_hours": 0}, {}, "session_hours: must be a whole number from 1 to 8760"),
        *(
            ({}, {"ANALYSIS_RATE_LIMIT": rate}, f"ANALYSIS_RATE_LIMIT: {RATE}")
            for rate in (
                "",
                "600",
                "600/",
                "600/fortnight",
                "-1/day",
                "1/day;",
                "0/day",
                "1/367days",
                "1/day;x",
            )
        ),
        ({}, {"ANALYSIS_FAILED_KEYS": "9" * 5000 + "/day"}, f"ANALYSIS_FAILED_KEYS: {RATE}"),
        ({"failed_keys": 60}, {}, f"failed_keys: {RATE}"),
        ({"max_header": 1023}, {}, "max_header: must be a whole number from 1024 to 1048576"),
        ({"keep_histories": 0}, {}, "keep_histories: must be a whole number from 1 to 36500"),
        (
            {},
            {"ANALYSIS_KEEP_PAGE_STATISTICS": "3"},
            "keep_page_statistics needs keep_histories, and",
        ),
        (
            {"keep_histories": 9, "keep_page_statistics": 8},
            {},
            "keep_page_statistics needs keep_histories",
        ),
        ({"max_records": 0}, {}, "max_records: must be a whole number from 1 to "),
        ({"threads": 0}, {}, "threads: must be a whole number from 1 to 512"),
        ({}, {"ANALYSIS_AUTH": ""}, "ANALYSIS_AUTH: must be on or off"),
        ({"auth": 1}, {}, "auth: must be on or off"),
        ({}, {"ANALYSIS_DATABASE": ""}, "ANALYSIS_DATABASE: must be the path of a file"),
        ({"database": 5}, {}, "database: must be the path of a file"),
        ({}, {"ANALYSIS_TIME_ZONE": "Mars/Base"}, "ANALYSIS_TIME_ZONE: 'Mars/Base' is not an IANA"),
        ({"time_zone": "../etc/passwd"}, {}, "time_zone: '../etc/passwd' is not an IANA"),
        ({"time_zone": ""}, {}, "time_zone: '' is not an IANA"),
        ({"synchronous": "extra; drop"}, {}, "synchronous: must be one of full, normal, off"),
        (
            {"saasus_api_key": "a,b"} | SIGNATURE_KEY | {"saasus_api_key": "a,b"},
            {},
            "saasus_api_key:",
        ),
        ({}, {"SAASUS_SECRET_KEY": ""}, "SAASUS_SECRET_KEY: must be printable text"),
        (
            {},
            {"SAASUS_API_KEY": "a"},
            "SAASUS_SAAS_ID, SAASUS_API_KEY and SAASUS_SECRET_KEY must be",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    given: dict[str, object], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(StartError) as refused:
        load_settings(given, environment)
    assert str(refused.value).startswith(message)


def test_a_secret_is_not_in_what_settings_show() -> None:
    assert "hush" not in repr(load_settings(SIGNATURE_KEY, {}))


def test_create_app_takes_settings_in_either_way_and_flask_s_own(tmp_path: Path) -> None:
    app = create_app({"DATABASE": tmp_path / "a.db", "TESTING": True}, max_body=2048)
    assert app.testing
    assert app.extensions["settings"].max_body == 2048
    assert (tmp_path / "a.db").exists()
    app.extensions["database"].close()


def test_create_app_reads_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYSIS_DATABASE", str(tmp_path / "b.db"))
    create_app().extensions["database"].close()
    assert (tmp_path / "b.db").exists()


def test_create_app_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="databse is not a setting"):
        create_app({"DATABSE": tmp_path / "a.db"})
