"""Namespaces: parallel tests that share a process without seeing each other."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.double import Double, DoubleError
from app.double.middleware import HEADER
from app.double.namespaces import name_in

from ..conftest import NOW
from ..support.calls import BASE

PATH = f"{BASE}/active-users?type=daily&date_from=2026-01-01"
SIGNED = f"SAASUSSIGV1 Sig={'0' * 64}, SaaSID=any, APIKey=ns-mine"


def number(client: FlaskClient, path: str = PATH, **headers: str) -> int | None:
    """Return the one number of active users that a namespace shows."""
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    data = answer.get_json()["data"]
    return data[0]["active_users"] if data else None


def set_number(client: FlaskClient, value: int, prefix: str = "", **headers: str) -> None:
    body = {"type": "daily", "date": "2026-05-19", "tenant_id": "acme", "env_id": 3}
    answer = client.put(
        f"{prefix}{BASE}/active-users", json=body | {"active_users": value}, headers=headers
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("prefix", "headers"),
    [
        ("", {HEADER: "mine"}),
        ("/ns/mine", {}),
        ("", {"Authorization": "Bearer ns-mine"}),
        ("", {"Authorization": SIGNED}),
        ("/ns/mine", {HEADER: "other", "Authorization": "Bearer ns-third"}),
        ("", {HEADER: "mine", "Authorization": "Bearer ns-third"}),
    ],
)
def test_a_namespace_is_chosen_by_path_then_header_then_key(
    client: FlaskClient, prefix: str, headers: dict[str, str]
) -> None:
    set_number(client, 1)
    set_number(client, 2, prefix, **headers)
    assert number(client) == 1
    assert number(client, prefix + PATH, **headers) == 2
    assert number(client, f"/ns/mine{PATH}") == 2
    listed = client.get("/__double/namespaces").get_json()
    assert listed == {"namespaces": ["default", "mine"], "limit": 1000}


def test_everything_is_its_own(d: Double) -> None:
    other = d.namespace("other")
    d.seed([{"type": "create_tenant", "tenant_id": "t", "timestamp": NOW}])
    d.clock.freeze(NOW)
    d.snapshot("s")
    d.fail("*", 500)
    assert other.state["events"] == []
    assert other.state["clock"] == {"mode": "real"}
    assert other.faults() == other.requests() == []
    other.reset()
    assert len(d.state["events"]) == len(d.faults()) == 1
    d.delete()
    assert d.state["events"] == d.faults() == []


def test_a_namespace_begins_with_the_seed_of_the_process(settings: dict[str, Any]) -> None:
    from app.double import double

    with double(seed=[{"type": "create_tenant", "tenant_id": "t", "timestamp": NOW}]) as d:
        for namespace in (d, d.namespace("other")):
            assert len(namespace.state["events"]) == 1
            namespace.events({"type": "create_tenant", "tenant_id": "u"})
            namespace.delete()
            assert len(namespace.state["events"]) == 1


@pytest.mark.parametrize("settings", [{"double_namespaces": 2}])
def test_one_too_many_is_refused_until_one_is_deleted(client: FlaskClient) -> None:
    for name in ("a", "b"):
        assert number(client, f"/ns/{name}{PATH}") is None
    refused = client.get(f"/ns/c{PATH}")
    assert refused.status_code == 400
    assert refused.get_json()["message"].startswith("there are already 2 namespaces, so c cannot")
    assert number(client, f"/ns/a{PATH}") is None
    assert client.delete("/__double/namespaces/b").status_code == 200
    assert number(client, f"/ns/c{PATH}") is None
    assert client.delete("/__double/namespaces/b").status_code == 404
    assert client.get("/__double/health").get_json()["namespaces"] == 2


@pytest.mark.parametrize("name", ["", "-", "a b", "ü", ".", "a" * 101, "%00", "a\n"])
def test_a_bad_name_is_refused(client: FlaskClient, name: str) -> None:
    for answer in (
        client.get(f"/ns/{quote(name, safe='')}{PATH}"),
        client.delete(f"/__double/namespaces/{quote(name, safe='')}"),
    ):
        assert answer.status_code in (400, 404, 405)
        assert answer.get_json().keys() == {"type", "message"}
    assert client.get("/__double/namespaces").get_json()["namespaces"] in ([], ["default"])


@pytest.mark.parametrize(
    ("authorization", "name"),
    [
        ("Bearer ns-a", "a"),
        ("bearer ns-a.b_c-d ", "a.b_c-d"),
        ("Bearer ns-", None),
        ("Bearer ns--", None),
        ("Bearer xns-a", None),
        ("Bearer ns-a/b", None),
        ("Basic ns-a", None),
        (SIGNED, "mine"),
        ("SAASUSSIGV1 Sig=00, SaaSID=ns-no, APIKey=key", None),
        ("SAASUSSIGV1 APIKey=ns-first, Sig=00, SaaSID=x", "first"),
        ("", None),
    ],
)
def test_a_name_is_read_from_keys_that_have_one(authorization: str, name: str | None) -> None:
    assert name_in(authorization) == name


def test_who_is_refused_makes_no_namespace(client: FlaskClient) -> None:
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
    assert client.get(f"/ns/evil{PATH}", environ_overrides=elsewhere).status_code == 403
    assert client.get(f"/ns/evil{BASE}/users/%FF/behavior-histories").status_code == 400
    assert client.get("/__double/namespaces").get_json()["namespaces"] == []


@pytest.mark.parametrize("name", ["", "a/b", "__main__.T.test", "a" * 101])
def test_a_bad_name_is_refused_in_python_too(d: Double, name: str) -> None:
    with pytest.raises(DoubleError, match="must match"):
        d.namespace(name)


@pytest.mark.slow
def test_many_first_uses_at_once_make_one_namespace(app: Flask) -> None:
    def put(value: int) -> None:
        body = {"events": [{"type": "create_tenant", "tenant_id": f"t{value}"}]}
        answer = app.test_client().post("/ns/new/__double/state", json=body)
        assert answer.status_code == 200, answer.text

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(64)))
    state = json.loads(app.test_client().get("/ns/new/__double/state").data)
    assert {event["tenant_id"] for event in state["events"]} == {f"t{n}" for n in range(64)}


@pytest.mark.slow
def test_a_namespace_that_is_deleted_under_its_requests_is_made_anew(app: Flask) -> None:
    def ask(turn: int) -> int:
        client = app.test_client()
        if turn % 4 == 0:
            return int(client.delete("/__double/namespaces/n").status_code)
        return int(client.get(f"/ns/n{PATH}").status_code)

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(400)))
    assert set(statuses[1::4] + statuses[2::4] + statuses[3::4]) == {200}
    assert set(statuses[::4]) <= {200, 404}
