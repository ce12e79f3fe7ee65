"""The control API's own description."""

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ..support.examples import examples
from ..support.refusals import refused
from ..test_schemathesis import schemathesis
from .conftest import running

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,negative_data_rejection"
)


def test_every_route_is_described_once(app: Flask, client: FlaskClient) -> None:
    described = client.get("/__double/openapi.json").get_json()
    operations = {
        (path, method): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule.removeprefix("/__double")), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/__double/") and rule.rule != "/__double/openapi.json"
        for method in rule.methods or ()
        if method != "HEAD"
    }
    assert operations.keys() == routes
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids) == 22
    assert {tag for operation in operations.values() for tag in operation["tags"]} == {"double"}
    assert described["servers"] == [{"url": "/__double"}]
    assert "security" not in described


def test_the_api_s_own_description_is_that_of_the_service(client: FlaskClient) -> None:
    described = client.get("/openapi.json").get_json()
    assert len(described["paths"]) == 10
    assert not [path for path in described["paths"] if "__double" in path]


def test_a_double_has_no_operation_that_deletes(client: FlaskClient) -> None:
    """Its control API puts it back as a whole."""
    for body in ({"user_id": "ann"}, {"page_url": "/", "dry_run": True}):
        refused(client.post("/v1/analysis/retention/delete", json=body), status=404)


@pytest.mark.slow
def test_no_answer_of_the_control_api_is_not_in_it(tmp_path: Path) -> None:
    with running() as double:
        report = schemathesis(
            tmp_path,
            *("run", f"{double.ready['control']}/openapi.json"),
            *("--checks", CHECKS, "--phases", "examples,coverage,fuzzing"),
            *("--max-examples", str(examples(30))),
        )
    assert "Tested: 22" in report
