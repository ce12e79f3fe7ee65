"""How often a key may ask, and how many wrong keys an address may send."""

import http.client
import logging
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.auth import brute_force, keys, rate_limit
from app.storage.database import Database

from ..conftest import NOW, ROOT, serving
from ..support.refusals import BASE, WRITES, refused
from ..support.signer import authorization
from .test_keys import bearer

PATH = f"{BASE}/users/ann/behavior-histories"
LOGGED = PATH.replace("/ann/", "/***/")
WRONG = bearer("wrong")


@pytest.fixture
def anonymous(app: Flask) -> FlaskClient:
    return app.test_client()


def make_key(database: Database, name: str, scope: str = "read") -> dict[str, str]:
    return bearer(keys.create_bearer_key(database, name=name, scopes=(scope,)))


def ask(client: FlaskClient, headers: dict[str, str], address: str = "192.0.2.1") -> TestResponse:
    return client.get(PATH, headers=headers, environ_overrides={"REMOTE_ADDR": address})


def refused_for_a_while(answer: TestResponse, *words: str, most: int = 86401) -> None:
    refused(answer, *words, "ask again later", status=429)
    assert 1 <= int(answer.headers["Retry-After"]) <= most
    assert "WWW-Authenticate" not in answer.headers


def answered_again(client: FlaskClient, headers: dict[str, str]) -> int:
    """Ask until the answer is no 429, half a minute at most, and return its status."""
    until = time.monotonic() + 30
    while (status := ask(client, headers).status_code) == 429 and time.monotonic() < until:
        time.sleep(0.05)
    return status


@pytest.mark.parametrize("settings", [{"rate_limit": "3/day"}])
class TestARateOfKeys:
    def test_each_key_has_its_own(self, anonymous: FlaskClient, database: Database) -> None:
        one, other = make_key(database, "one"), make_key(database, "other")
        for headers in (one, other):
            statuses = [ask(anonymous, headers, f"192.0.2.{n}").status_code for n in range(3)]
            assert statuses == [200, 200, 200]
            refused_for_a_while(ask(anonymous, headers), "too many requests")

    @pytest.mark.slow
    def test_what_is_no_operation_is_not_counted(self, client: FlaskClient) -> None:
        for _ in range(4):
            for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/"):
                assert client.get(path).status_code == 200
            assert client.get(f"{BASE}/nothing").status_code == 404
            assert client.get("/dashboard").status_code == 303
        assert client.get(PATH).status_code == 200

    def test_what_is_refused_is_counted(self, anonymous: FlaskClient, database: Database) -> None:
        key = make_key(database, "k", "write")
        method, path, body = WRITES["UpdateActiveUsers"]
        assert ask(anonymous, key).status_code == 403
        bad = anonymous.open(BASE + path, method=method, json={}, headers=key)
        assert bad.status_code == 400
        good = anonymous.open(BASE + path, method=method, json=body, headers=key)
        assert good.status_code == 200
        refused_for_a_while(anonymous.open(BASE + path, method=method, json=body, headers=key))

    def test_the_log_names_the_key(
        self, client: FlaskClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "saasus_analysis.access"):
            for _ in range(4):
                client.get(PATH)
        assert f"GET {LOGGED} 429 " in caplog.messages[-1]
        assert caplog.messages[-1].endswith("key=test")


@pytest.mark.parametrize("settings", [{"rate_limit": "2/day", "auth": False}])
def test_without_keys_the_rate_is_that_of_an_address(anonymous: FlaskClient) -> None:
    for address in ("127.0.0.1", "127.0.0.2"):
        for _ in range(3):
            assert anonymous.get("/healthz").status_code == 200
        assert [ask(anonymous, {}, address).status_code for _ in range(2)] == [200, 200]
        refused_for_a_while(ask(anonymous, {}, address))


@pytest.mark.parametrize("settings", [{"rate_limit": "1/day", "metrics": "key"}])
def test_a_metrics_page_that_needs_a_key_is_not_counted(client: FlaskClient) -> None:
    assert [client.get("/metrics").status_code for _ in range(3)] == [200, 200, 200]
    assert [client.get(PATH).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("settings", [{"rate_limit": "9/second;2/day"}])
def test_of_several_rates_each_holds(client: FlaskClient) -> None:
    assert [client.get(PATH).status_code for _ in range(2)] == [200, 200]
    answer = client.get(PATH)
    refused_for_a_while(answer)
    assert int(answer.headers["Retry-After"]) > 1


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"rate_limit": "1/3second", "failed_keys": "1/3second"}])
def test_a_window_ends(anonymous: FlaskClient, database: Database) -> None:
    key = make_key(database, "k")
    for headers, status in ((key, 200), (WRONG, 401)):
        assert ask(anonymous, headers).status_code == status
        refused_for_a_while(ask(anonymous, headers), most=4)
        assert answered_again(anonymous, headers) == status


@pytest.mark.slow
def test_two_clients_at_once_get_no_more_than_one(tmp_path: Path) -> None:
    def client(_: int) -> list[int]:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        statuses = []
        for _ in range(30):
            connection.request("GET", PATH, headers=server.headers)
            answer = connection.getresponse()
            assert answer.read()
            statuses.append(answer.status)
        connection.close()
        return statuses

    limit = {"ANALYSIS_RATE_LIMIT": "25/day"}
    with serving("--database", tmp_path / "a.db", **limit) as server, ThreadPoolExecutor() as pool:
        counted = Counter(status for statuses in pool.map(client, range(2)) for status in statuses)
    assert counted == {200: 25, 429: 35}


@pytest.mark.slow
def test_threads_count_exactly() -> None:
    """The library's storage alone fails here now and then: it is not made for threads."""
    rate = rate_limit.Rate("10000/day")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            waits = pool.map(lambda _: [rate.take("one") for _ in range(2000)], range(8))
            allowed = sum(some.count(0) for some in waits)
    finally:
        sys.setswitchinterval(before)
    assert allowed == 10000


def test_counting_begins_anew_before_it_takes_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "REMEMBERED", 3)
    rate = rate_limit.Rate("1/day")
    assert [rate.take(name) for name in "abc"] == [0, 0, 0]
    assert all(rate.take(name) for name in "abc")
    assert rate.take("d") == 0
    assert rate.take("d") > 0
    assert rate.take("a") == 0


@pytest.mark.parametrize("settings", [{"failed_keys": "3/day"}])
class TestWrongKeys:
    def exhaust(self, client: FlaskClient, address: str = "192.0.2.1") -> None:
        tried = [ask(client, bearer(f"wrong{n}"), address).status_code for n in range(3)]
        assert tried == [401, 401, 401]
        refused_for_a_while(ask(client, WRONG, address), "too many wrong keys")

    def test_an_address_that_sent_many_has_to_wait_and_others_do_not(
        self, anonymous: FlaskClient, database: Database
    ) -> None:
        key = make_key(database, "k")
        self.exhaust(anonymous)
        refused_for_a_while(ask(anonymous, key))
        assert ask(anonymous, key, "192.0.2.2").status_code == 200
        assert ask(anonymous, WRONG, "192.0.2.2").status_code == 401

    def test_a_key_that_was_right_there_goes_on_and_counts_nothing(
        self, anonymous: FlaskClient, database: Database
    ) -> None:
        key, stranger = make_key(database, "k"), make_key(database, "stranger")
        assert ask(anonymous, key).status_code == 200
        self.exhaust(anonymous)
        assert [ask(anonymous, key).status_code for _ in range(5)] == [200] * 5
        token = key["Authorization"]
        refused_for_a_while(ask(anonymous, {"Authorization": f"{token}x"}))
        refused_for_a_while(ask(anonymous, {"Authorization": token[:-1]}))
        refused_for_a_while(ask(anonymous, stranger))
        assert ask(anonymous, stranger, "192.0.2.2").status_code == 200
        refused_for_a_while(ask(anonymous, stranger))

    def test_a_key_that_was_revoked_is_refused_as_ever(
        self, anonymous: FlaskClient, database: Database
    ) -> None:
        key = make_key(database, "k")
        assert ask(anonymous, key).status_code == 200
        keys.revoke_key(database, "k")
        assert [ask(anonymous, key).status_code for _ in range(5)] == [401] * 5
        self.exhaust(anonymous)
        refused_for_a_while(ask(anonymous, key))

    def test_a_client_that_signs_goes_on_too(
        self, anonymous: FlaskClient, database: Database
    ) -> None:
        def signed(key: dict[str, str], target: str) -> int:
            header = authorization(key, at=NOW, method="GET", host="localhost", target=target)
            return anonymous.get(
                target,
                headers={"Authorization": header},
                environ_overrides={"REMOTE_ADDR": "192.0.2.1"},
            ).status_code

        key = keys.create_signature_key(database, name="sdk", scopes=("read",))
        other = keys.create_signature_key(database, name="other", scopes=("read",))
        assert signed(key, PATH) == 200
        for _ in range(5):
            assert signed(key | {"SAASUS_SECRET_KEY": "wrong"}, PATH) == 401
        self.exhaust(anonymous)
        assert signed(key, f"{PATH}?another=signature") == 200
        assert signed(key | {"SAASUS_SECRET_KEY": "wrong"}, PATH) == 429
        assert signed(other, PATH) == 429

    def test_what_carries_no_key_or_needs_none_is_not_counted(self, anonymous: FlaskClient) -> None:
        for _ in range(5):
            assert ask(anonymous, {}).status_code == 401
            for path, status in (("/healthz", 200), (f"{BASE}/nothing", 404)):
                assert anonymous.get(path, headers=WRONG).status_code == status
        self.exhaust(anonymous)
        assert ask(anonymous, {}).status_code == 401
        health = anonymous.get(
            "/healthz", headers=WRONG, environ_overrides={"REMOTE_ADDR": "192.0.2.1"}
        )
        assert health.status_code == 200

    @pytest.mark.parametrize(
        ("address", "same", "other"),
        [
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", "2001:db8:0:2::1"),
            ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
        ],
    )
    def test_addresses_count_as_those_who_have_them(
        self, anonymous: FlaskClient, address: str, same: str, other: str
    ) -> None:
        self.exhaust(anonymous, address)
        refused_for_a_while(ask(anonymous, WRONG, same))
        assert ask(anonymous, WRONG, other).status_code == 401

    def test_the_log_tells_whose_keys_are_refused(
        self, anonymous: FlaskClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "saasus_analysis.access"):
            self.exhaust(anonymous)
        assert caplog.messages[-1].startswith(f"192.0.2.1 GET {LOGGED} 429 ")
        assert not [line for line in caplog.messages if "wrong" in line]

    def test_right_keys_are_remembered_as_hashes_and_not_without_end(
        self, app: Flask, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(brute_force, "REMEMBERED", 2)
        client, key = app.test_client(), make_key(database, "k")
        for n in (1, 2, 1, 3):
            assert ask(client, key, f"192.0.2.{n}").status_code == 200
        kept = app.extensions["guesses"]._right
        assert {len(mark) for mark in kept} == {32}
        for n, status in ((1, 200), (2, 429), (3, 200)):
            self.exhaust(client, f"192.0.2.{n}")
            assert ask(client, key, f"192.0.2.{n}").status_code == status


@pytest.mark.parametrize("settings", [{"failed_keys": "1/day", "proxies": 1}])
def test_behind_a_proxy_it_is_the_client_that_waits(anonymous: FlaskClient) -> None:
    def status(client: str) -> int:
        return ask(anonymous, WRONG | {"X-Forwarded-For": client}).status_code

    assert [status("198.51.100.1"), status("198.51.100.1")] == [401, 429]
    assert status("198.51.100.2") == 401


@pytest.mark.parametrize("settings", [{"failed_keys": "2/day", "proxies": 1}])
@pytest.mark.parametrize(
    ("told", "same"),
    [
        ("198.51.100.1:5678", "198.51.100.1"),
        ("[2001:db8::1]:443", "2001:db8::2"),
        ("::ffff:198.51.100.1", "198.51.100.1:1"),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
    ],
)
def test_strangers_whose_address_is_not_known_keep_nobody_out(
    anonymous: FlaskClient, database: Database, told: str, same: str | None
) -> None:
    def status(headers: dict[str, str], client: str) -> int:
        return ask(anonymous, headers | {"X-Forwarded-For": f"198.51.100.9, {client}"}).status_code

    key = make_key(database, "new")
    assert [status(bearer(f"wrong{n}"), told) for n in range(4)] == [401, 401] + (
        [429, 429] if same else [401, 401]
    )
    assert status(key, same or told) == (429 if same else 200)
    for other in ("198.51.100.2", "[2001:db8:1::1]:80", "junk"):
        assert status(key, other) == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "refused_ones"), [({}, 10), ({"failed_keys": "off"}, 0)], ids=["default", "off"]
)
def test_sixty_a_minute_are_looked_at_unless_it_is_off(
    anonymous: FlaskClient, refused_ones: int
) -> None:
    answers = [ask(anonymous, WRONG) for _ in range(70)]
    for answer in answers[60:]:
        if refused_ones:
            refused_for_a_while(answer, most=61)
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {401: 70 - refused_ones} | ({429: refused_ones} if refused_ones else {})


@pytest.mark.slow
def test_the_library_is_loaded_with_the_first_wrong_key(tmp_path: Path) -> None:
    code = """
import sys
from app import create_app
client = create_app(database=sys.argv[1]).test_client()
for authorization in ("", "Bearer wrong"):
    client.get("/v1/analysis/active-users", headers={"Authorization": authorization})
    print("limits" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.db")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True"], done.stderr
