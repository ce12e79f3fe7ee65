"""Who is answered: modes of keys, and other machines."""

from typing import Any

import httpx
import pytest
from flask.testing import FlaskClient
from werkzeug.test import Client

from app.double import Double

from ..conftest import NOW
from ..support.calls import BASE
from ..support.signer import authorization

PATH = f"{BASE}/active-users?type=daily&date_from=2026-01-01"
SIGNED = f"SAASUSSIGV1 Sig={'0' * 64}, SaaSID=any, APIKey=any"

WELL_FORMED = ["Bearer x", "bearer  x ", SIGNED, SIGNED.replace("SAASUSSIGV1", "SaasusSigv1")]
MALFORMED = [
    "",
    "Bearer",
    "Bearer ",
    "Basic eDp5",
    "x",
    SIGNED.replace("SIGV1", "SIGV2"),
    SIGNED.replace("0" * 64, "0" * 63),
    SIGNED.replace("0" * 64, "G" * 64),
    SIGNED.replace(", APIKey=any", ""),
]


def status(client: FlaskClient, given: str | None, path: str = PATH, **options: Any) -> int:
    headers = {} if given is None else {"Authorization": given}
    answer = client.get(path, headers=headers, **options)
    if answer.status_code == 401:
        assert answer.get_json()["type"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"]
    return answer.status_code


@pytest.mark.parametrize("given", WELL_FORMED)
@pytest.mark.parametrize("settings", [{}, {"double_auth": "required"}])
def test_any_well_formed_key_is_taken(client: FlaskClient, given: str) -> None:
    assert status(client, given) == 200


@pytest.mark.parametrize(
    "settings", [{"double_auth": "strict", "failed_keys": "1/day", "rate_limit": "1/day"}]
)
def test_a_double_has_no_rates(client: FlaskClient) -> None:
    assert [status(client, "Bearer wrong") for _ in range(3)] == [401, 401, 401]


@pytest.mark.parametrize("given", MALFORMED)
@pytest.mark.parametrize("settings", [{}, {"double_auth": "required"}, {"double_auth": "strict"}])
def test_a_malformed_one_is_refused(client: FlaskClient, given: str) -> None:
    assert status(client, given) == 401


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, 200), ({"double_auth": "required"}, 401), ({"double_auth": "strict"}, 401)],
)
def test_a_key_may_be_left_out_only_where_any_will_do(client: FlaskClient, expected: int) -> None:
    assert status(client, None) == expected
    for path in ("/__double/state", "/healthz", "/openapi.json", "/__double/openapi.json"):
        assert status(client, None, path) == 200
    assert status(client, None, f"{BASE}/nothing") == 404


@pytest.mark.parametrize("settings", [{"double_auth": "strict"}])
def test_a_strict_double_checks_keys_and_scopes(client: FlaskClient) -> None:
    assert status(client, "Bearer ns-a") == 401

    def create(**body: Any) -> Any:
        return client.post("/__double/keys", json=body).get_json()

    reader = create(name="reader", scopes=["read"])["token"]
    assert status(client, f"Bearer {reader}") == 200
    body = {"type": "create_tenant", "tenant_id": "t"}
    headers = {"Authorization": f"Bearer {reader}"}
    refused = client.post(f"{BASE}/ingest/events", json=body, headers=headers)
    assert (refused.status_code, refused.get_json()["type"]) == (403, "permission_denied")
    client.post("/__double/reset")
    assert status(client, f"Bearer {reader}", f"/ns/other{PATH}") == 200
    assert create(name="reader") == {
        "type": "invalid_request",
        "message": "name: there is already a key reader",
    }
    assert create(name="x", scopes=["root"])["message"].startswith("scopes[0]: must be one of")
    assert create(name="x", kind="password")["message"].startswith("kind: must be one of")


@pytest.mark.parametrize("settings", [{"double_auth": "strict"}])
def test_a_strict_double_checks_signatures_with_the_prefix_that_was_signed(
    client: FlaskClient,
) -> None:
    client.put("/ns/a/__double/clock", json={"mode": "frozen", "at": NOW})
    key = client.post("/__double/keys", json={"name": "sdk", "kind": "signature"}).get_json()
    target = f"/ns/a{PATH}"
    good = authorization(key, at=NOW, method="GET", host="localhost", target=target)
    assert status(client, good, target) == 200
    no_raw_target = {"REQUEST_URI": None, "RAW_URI": None}
    assert status(client, good, target, environ_overrides=no_raw_target) == 200
    assert status(client, good.replace("SAASUSSIGV1", "saasussigv1"), target) == 200
    absolute = {"REQUEST_URI": f"http://other:1{target}"}
    by_proxy = authorization(key, at=NOW, method="GET", host="other:1", target=target)
    assert status(client, by_proxy, target, environ_overrides=absolute) == 403
    absolute = {"REQUEST_URI": f"http://localhost:1{target}"}
    by_proxy = authorization(key, at=NOW, method="GET", host="localhost:1", target=target)
    assert status(client, by_proxy, target, environ_overrides=absolute) == 200
    by_proxy = authorization(key, at=NOW, method="GET", host="localhost:2", target=target)
    assert status(client, by_proxy, target, environ_overrides=absolute) == 401
    assert status(client, good, PATH) == 401
    assert status(client, authorization(key, at=NOW, method="GET", host="h", target=target)) == 401


@pytest.mark.parametrize(("settings", "expected"), [({}, 403), ({"double_remote": True}, 200)])
@pytest.mark.parametrize("path", [PATH, "/__double/state", "/__double/namespaces", "/healthz"])
def test_other_machines_are_answered_only_if_it_was_said(
    client: FlaskClient, path: str, expected: int
) -> None:
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
    assert status(client, None, path, environ_overrides=elsewhere) == expected


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {"localhost:1", "127.0.0.2"}),
        ({"hosts": "double"}, {"localhost:1", "127.0.0.2", "double:8000"}),
        ({"double_remote": True}, {"localhost:1", "127.0.0.2", "192.0.2.1:8000", "[2001:db8::1]"}),
        ({"double_remote": True, "host": "double"}, {"localhost:1", "double:8000", "192.0.2.1"}),
    ],
)
def test_it_is_asked_by_a_name_that_is_its_own(client: FlaskClient, names: set[str]) -> None:
    others = {"evil.example", "double:8000", "192.0.2.1"} - names
    others -= {"192.0.2.1"} if "192.0.2.1:8000" in names else set()
    for path in (PATH, "/__double/state", "/__double/namespaces", "/ns/a/nothing"):
        for name in names | others:
            answer = client.get(path, headers={"Host": name})
            assert (answer.status_code != 403) == (name in names), name
    for name in others:
        assert client.get("/healthz", headers={"Host": name}).status_code == 200


def test_a_call_in_this_process_may_have_any_host(d: Double) -> None:
    with httpx.Client(transport=d.httpx_transport()) as client:
        answer = client.get(f"https://api.saasus.io{PATH}", headers={"Origin": "https://a.example"})
    assert answer.status_code == 200
    environ = {"HTTP_HOST": "api.saasus.io"}
    assert Client(d.wsgi).get(PATH, environ_overrides=environ).status_code == 200


@pytest.mark.slow
def test_pages_of_other_sites_make_no_namespaces(client: FlaskClient) -> None:
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    visit["Sec-Fetch-Dest"] = "document"
    image = visit | {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    paths = ["/healthz", "/readyz", "/docs/", "/docs", "/openapi.json", "/robots.txt", "/nothing"]
    paths += [PATH, "/__double/state", "/__double/openapi.json", "/__double/nothing"]
    for headers in (visit, image, {"Origin": "null"}, {"Host": "evil.example"}):
        for path in paths:
            client.get(f"/ns/evil{path}", headers=headers)
            client.get(path, headers=headers | {"X-Double-Namespace": "evil"})
    assert client.get("/__double/namespaces").get_json()["namespaces"] == []


@pytest.mark.parametrize("settings", [{"cors_origins": "http://localhost:3000"}])
def test_what_a_browser_asks_before_a_request_is_not_in_the_journal(client: FlaskClient) -> None:
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "PUT"}
    for path in (PATH, f"/ns/a{PATH}"):
        assert client.options(path, headers=headers).status_code == 204
    assert client.get("/__double/namespaces").get_json()["namespaces"] == []
    assert client.options(PATH).status_code == 405
    assert client.get("/__double/requests/count").get_json() == {"count": 1}
