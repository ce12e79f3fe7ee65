"""What is answered when the headers of a request are there, and its body is not."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.auth import keys
from app.config import load_settings
from app.double import application
from app.storage.database import Database
from app.web.request_body import BODY_PENDING

from ..conftest import NOW
from ..support.refusals import ACTIVE_BODY, BASE, READS, WRITES, refused
from ..support.signer import authorization

EVENTS, ACTIVE = f"{BASE}/ingest/events", f"{BASE}/active-users"
HOST = "localhost"


def begin(
    client: FlaskClient,
    method: str,
    path: str,
    *,
    length: int = 100,
    query: dict[str, str] | None = None,
    **headers: str,
) -> TestResponse:
    """Send the headers of a request whose body, of a length, is still to come."""
    given = {"Content-Type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(
        path,
        method=method,
        query_string=query,
        headers=given,
        environ_overrides={BODY_PENDING: True, "CONTENT_LENGTH": str(length)},
    )


def is_asked_for(answer: TestResponse) -> bool:
    """Return whether an answer asks for the body."""
    assert answer.status_code != 100 or answer.data == b""
    return answer.status_code == 100


def watch_views(app: Flask) -> list[str]:
    """Return a list that the endpoints of views come into when they run."""
    ran: list[str] = []

    def watched(endpoint: str, view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def run(*args: Any, **values: Any) -> Any:
            ran.append(endpoint)
            return view(*args, **values)

        return run

    for endpoint, view in app.view_functions.items():
        app.view_functions[endpoint] = watched(endpoint, view)
    return ran


def requests_of(app: Flask) -> list[tuple[str, str, str]]:
    """Return method, path and endpoint for each view of an application."""
    found = []
    for rule in app.url_map.iter_rules():
        path = rule.rule
        for name in rule.arguments:
            for converter in ("", "int:", "path:", "user_id:"):
                path = path.replace(f"<{converter}{name}>", "1")
        found += [(method, path, rule.endpoint) for method in sorted(rule.methods or ())]
    assert len(found) > 30
    return found


@pytest.mark.slow
def test_no_view_that_may_read_a_body_runs_before_it_is_there(
    app: Flask, client: FlaskClient
) -> None:
    ran = watch_views(app)
    for method, path, endpoint in requests_of(app):
        ran.clear()
        answer = begin(client, method, path)
        if method in ("GET", "HEAD"):
            assert not is_asked_for(answer), (method, path)
        else:
            assert ran == [], (method, path, endpoint)
            assert answer.status_code in (100, 400, 401, 404, 413, 415), (method, path)


@pytest.mark.slow
def test_no_view_of_a_double_runs_before_the_body_is_there() -> None:
    app = application.make_double(load_settings({}, {}))
    try:
        ran = watch_views(app)
        for method, path, endpoint in requests_of(app):
            ran.clear()
            answer = begin(app.test_client(), method, path)
            view = app.view_functions[endpoint]
            is_public = getattr(view, "scope", "") is None and not path.startswith("/__double/")
            of_all = hasattr(view, "of_all") or is_public
            assert bool(ran) == (of_all and method in ("GET", "HEAD"))
            assert is_asked_for(answer) != bool(ran), (method, path)
        journal = app.test_client().get("/__double/requests").get_json()
        assert journal == {"requests": [], "dropped": 0}
    finally:
        application.close(app)


@pytest.mark.parametrize("operation", WRITES)
def test_the_body_of_what_is_well_so_far_is_asked_for_and_taken(
    client: FlaskClient, operation: str
) -> None:
    method, path, body = WRITES[operation]
    assert is_asked_for(begin(client, method, BASE + path))
    assert is_asked_for(begin(client, method, BASE + path, Content_Encoding="gzip"))
    assert is_asked_for(begin(client, method, BASE + path, Transfer_Encoding="chunked"))
    assert client.open(BASE + path, method=method, json=body).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "given", "status"),
    [
        ("PUT", f"{BASE}/nothing", {}, 404),
        ("POST", ACTIVE, {}, 405),
        ("PUT", ACTIVE, {"Authorization": ""}, 401),
        ("PUT", ACTIVE, {"Authorization": "Bearer wrong"}, 401),
        ("PUT", ACTIVE, {"Authorization": "Basic eDp5"}, 401),
        ("PUT", ACTIVE, {"length": 2**20 + 1}, 413),
        ("POST", EVENTS, {"length": 2**24 + 1}, 413),
        ("PUT", ACTIVE, {"Content_Type": "application/x-ndjson"}, 415),
        ("PUT", ACTIVE, {"Content_Type": ""}, 415),
        ("POST", EVENTS, {"Content_Type": "text/plain"}, 415),
        ("POST", EVENTS, {"Content_Encoding": "br"}, 415),
        ("POST", f"{EVENTS}?all_or_nothing=maybe", {}, 400),
        ("PUT", f"{ACTIVE}?%ff", {}, 400),
        ("GET", f"{BASE}/users/%00/behavior-histories", {}, 400),
    ],
)
def test_what_is_refused_whatever_the_body_is_refused_at_once(
    client: FlaskClient, method: str, path: str, given: dict[str, Any], status: int
) -> None:
    message = refused(begin(client, method, path, **given), status=status)
    # It is what the whole request is answered with.
    headers = {name.replace("_", "-"): value for name, value in given.items() if name != "length"}
    whole = client.open(
        path,
        method=method,
        headers={"Content-Type": "application/json"} | headers,
        data=b" " * given.get("length", 100),
    )
    assert (whole.status_code, whole.get_json()["message"]) == (status, message)


def test_the_largest_body_depends_on_what_it_is_for(client: FlaskClient) -> None:
    for path, most in {ACTIVE: 2**20, f"{BASE}/user-behavior-day": 2**24}.items():
        assert is_asked_for(begin(client, "PUT", path, length=most))
        refused(begin(client, "PUT", path, length=most + 1), str(most), status=413)
    form = "application/x-www-form-urlencoded"
    path = "/dashboard/sign-in"
    answer = begin(client, "POST", path, Content_Type=form, length=2**16)
    assert is_asked_for(answer)
    answer = begin(client, "POST", path, Content_Type=form, length=2**16 + 1)
    assert answer.status_code == 413
    assert client.post(path, data={"key": "x" * 2**16}).status_code == 413


def test_a_read_does_not_wait_for_a_body_that_nobody_reads(client: FlaskClient) -> None:
    for path, query in READS.items():
        early = begin(client, "GET", BASE + path, query=query)
        assert (early.status_code, early.data) == (
            200,
            client.get(BASE + path, query_string=query).data,
        )
    assert begin(client, "GET", "/healthz").status_code == 200
    answer = begin(client, "GET", "/healthz", length=10**15)
    assert answer.status_code == 200


@pytest.mark.parametrize("settings", [{"allow_from": "10.0.0.0/8"}])
def test_clients_elsewhere_are_refused_at_once(client: FlaskClient) -> None:
    answer = begin(client, "PUT", ACTIVE)
    assert (answer.status_code, answer.get_json()["type"]) == (403, "ip_restricted")


def test_a_form_is_asked_for_of_those_who_are_signed_in(app: Flask) -> None:
    stranger = app.test_client()
    assert begin(stranger, "POST", "/dashboard/links").status_code == 401
    assert begin(stranger, "POST", "/dashboard/sign-out").status_code == 401
    assert begin(stranger, "POST", "/dashboard/shared/x/links").status_code == 404
    assert is_asked_for(begin(stranger, "POST", "/dashboard/sign-in"))


class TestASignature:
    @pytest.fixture
    def key(self, database: Database) -> dict[str, str]:
        return keys.create_signature_key(database, name="sdk", scopes=("read", "ingest"))

    @pytest.fixture
    def signer(self, app: Flask) -> FlaskClient:
        return app.test_client()

    def header(self, key: dict[str, str], method: str, path: str, body: bytes = b"") -> str:
        return authorization(key, at=NOW, method=method, host=HOST, target=path, body=body)

    def test_is_checked_when_the_body_is_there(
        self, signer: FlaskClient, key: dict[str, str]
    ) -> None:
        body = b'{"type": "create_tenant", "tenant_id": "a"}'
        right, wrong = (self.header(key, "POST", EVENTS, each) for each in (body, b"{}"))
        for header, status in ((right, 200), (wrong, 401)):
            assert is_asked_for(begin(signer, "POST", EVENTS, Authorization=header))
            headers = {"Authorization": header, "Content-Type": "application/json"}
            assert signer.post(EVENTS, data=body, headers=headers).status_code == status

    def test_of_a_read_is_over_its_body_too(self, signer: FlaskClient, key: dict[str, str]) -> None:
        path = f"{BASE}/users/ann/behavior-histories"
        header = self.header(key, "GET", path, b"{}")
        assert is_asked_for(begin(signer, "GET", path, Authorization=header))
        answer = signer.get(path, data=b"{}", headers={"Authorization": header})
        assert answer.status_code == 200
        long = begin(signer, "GET", path, Authorization=header, length=2**24)
        refused(long, status=413)

    def test_of_no_key_that_is_there_is_refused_at_once(
        self, database: Database, signer: FlaskClient, key: dict[str, str]
    ) -> None:
        header = self.header(key, "POST", EVENTS)
        wrong = {name: f"{value}x" for name, value in key.items()}
        for name in ("SAASUS_SAAS_ID", "SAASUS_API_KEY"):
            other = self.header(key | {name: wrong[name]}, "POST", EVENTS)
            refused(begin(signer, "POST", EVENTS, Authorization=other), status=401)
        for malformed in (header[:-5].replace("APIKey", "Key"), header.replace("Sig=", "Sig=0")):
            refused(begin(signer, "POST", EVENTS, Authorization=malformed), status=401)
        refused(begin(signer, "PUT", ACTIVE, Authorization=header), "scope write", status=403)
        keys.revoke_key(database, "sdk")
        refused(begin(signer, "POST", EVENTS, Authorization=header), status=401)

    @pytest.mark.parametrize("settings", [{"failed_keys": "3/day"}])
    def test_that_is_not_checked_yet_lets_nobody_guess_on(
        self, signer: FlaskClient, key: dict[str, str]
    ) -> None:
        forged = self.header(key | {"SAASUS_SECRET_KEY": "forged"}, "POST", EVENTS)
        headers = {"Authorization": forged, "Content-Type": "application/json"}
        for _ in range(3):
            assert is_asked_for(begin(signer, "POST", EVENTS, Authorization=forged))
            refused(signer.post(EVENTS, data=b"{}", headers=headers), status=401)
        refused(begin(signer, "POST", EVENTS, Authorization=forged), status=429)
        refused(signer.post(EVENTS, data=b"{}", headers=headers), status=429)

    def test_that_is_not_checked_yet_is_no_use_of_a_key(
        self, database: Database, signer: FlaskClient, key: dict[str, str]
    ) -> None:
        forged = self.header(key | {"SAASUS_SECRET_KEY": "forged"}, "POST", EVENTS)
        begin(signer, "POST", EVENTS, Authorization=forged)
        assert [key["last_used_at"] for key in keys.list_keys(database)] == [None]


class TestNothingIsCountedTwice:
    @pytest.mark.slow
    @pytest.mark.parametrize("settings", [{"rate_limit": "3/day"}])
    def test_by_the_rate_of_a_key(self, client: FlaskClient) -> None:
        for _ in range(3):
            assert is_asked_for(begin(client, "PUT", ACTIVE))
            assert client.put(ACTIVE, json=ACTIVE_BODY).status_code == 200
        refused(begin(client, "PUT", ACTIVE), status=429)
        refused(client.put(ACTIVE, json=ACTIVE_BODY), status=429)

    @pytest.mark.parametrize("settings", [{"rate_limit": "3/day"}])
    @pytest.mark.parametrize("final", [{"Content_Type": "text/plain"}, {"length": 10**12}])
    def test_and_what_is_refused_early_is_counted_once(
        self, client: FlaskClient, final: dict[str, Any]
    ) -> None:
        statuses = [begin(client, "PUT", ACTIVE, **final).status_code for _ in range(4)]
        assert statuses == [statuses[0]] * 3 + [429]
        assert statuses[0] in (413, 415)

    @pytest.mark.parametrize("settings", [{"rate_limit": "2/day", "auth": "off"}])
    def test_by_the_rate_of_an_address(self, app: Flask) -> None:
        client = app.test_client()
        for _ in range(2):
            assert is_asked_for(begin(client, "PUT", ACTIVE))
            assert client.put(ACTIVE, json=ACTIVE_BODY).status_code == 200
        refused(begin(client, "PUT", ACTIVE), status=429)

    @pytest.mark.parametrize("settings", [{"failed_keys": "2/day"}])
    def test_by_the_rate_of_wrong_keys(self, app: Flask) -> None:
        client = app.test_client()
        for _ in range(2):
            refused(begin(client, "PUT", ACTIVE, Authorization="Bearer wrong"), status=401)
        refused(begin(client, "PUT", ACTIVE, Authorization="Bearer wrong"), status=429)

    @pytest.mark.parametrize("settings", [{"metrics": "loopback"}])
    def test_by_metrics_or_the_access_log(
        self, client: FlaskClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "saasus_analysis.access"):
            assert is_asked_for(begin(client, "PUT", ACTIVE))
            assert caplog.records == []
            assert "UpdateActiveUsers" not in client.get("/metrics").text
            caplog.clear()
            refused(begin(client, "PUT", ACTIVE, Content_Type="text/plain"), status=415)
            assert len(caplog.records) == 1
        assert 'operation="UpdateActiveUsers",status="415"} 1.0' in client.get("/metrics").text


class TestOfADouble:
    @pytest.fixture
    def double(self) -> Any:
        made = application.make_double(load_settings({}, {"ANALYSIS_DOUBLE_NAMESPACES": "2"}))
        yield made.test_client()
        application.close(made)

    def test_faults_and_the_journal_see_a_request_once_and_whole(self, double: FlaskClient) -> None:
        fault = {"operation": "UpdateActiveUsers", "statuses": [503, 401]}
        assert double.post("/__double/faults", json=fault).status_code == 200
        for status in (503, 401, 200):
            assert is_asked_for(begin(double, "PUT", ACTIVE))
            assert double.put(ACTIVE, json=ACTIVE_BODY).status_code == status
        (shown,) = double.get("/__double/faults").get_json()["faults"]
        assert (shown["matched"], shown["applied"]) == (3, 2)
        requests = double.get("/__double/requests").get_json()["requests"]
        assert [request["status"] for request in requests] == [503, 401, 200]
        assert [request["body"] for request in requests] == [ACTIVE_BODY] * 3

    def test_only_what_can_never_be_taken_is_refused_at_once(self, double: FlaskClient) -> None:
        for method, path in (("PUT", ACTIVE), ("POST", ACTIVE), ("PUT", "/v1/auth/users")):
            assert is_asked_for(begin(double, method, path, Content_Type="text/plain"))
        refused(begin(double, "PUT", "/__double/nothing"), status=404)
        refused(begin(double, "PUT", ACTIVE, length=2**24 + 1), status=413)
        refused(begin(double, "PUT", f"/ns/-bad{ACTIVE}"), "namespace", status=400)
        assert double.get("/__double/requests").get_json()["requests"] == []
        assert double.get(f"/ns/other{ACTIVE}").status_code == 400
        refused(begin(double, "PUT", f"/ns/third{ACTIVE}"), "2 namespaces", status=400)
        assert is_asked_for(begin(double, "PUT", f"/ns/other{ACTIVE}"))
