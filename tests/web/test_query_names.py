"""Names of query parameters: no filter is lost, however a client writes it."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from app.web.query_names import KNOWN

from ..metrics.test_counts import called
from ..support.calls import ingest

DAYS = "start_date=2026-01-01&end_date=2026-12-31"
BASE = "/v1/analysis"

LISTS = (
    f"{BASE}/userinfo/aggregated?{DAYS}",
    f"{BASE}/metrics/aggregated?metrics_type=create_tenant_user&{DAYS}",
)
"""The operations with a parameter that is a list."""

FILTERED: tuple[tuple[str, list[str]], ...] = (
    ("tenant_ids[]=acme", ["acme"]),
    ("tenant_ids[]=acme&tenant_ids[]=beta", ["acme", "beta"]),
    ("tenant_ids[0]=acme&tenant_ids[1]=beta", ["acme", "beta"]),
    ("tenant_ids[1]=acme&tenant_ids[0]=beta", ["acme", "beta"]),
    ("tenant_ids[17]=acme", ["acme"]),
    ("tenant_ids[]=acme,beta&tenant_ids=gamma", ["acme", "beta", "gamma"]),
    ("tenant_ids[]=&tenant_ids[]=acme", ["acme"]),
    ("tenant_ids=&tenant_ids=acme", ["acme"]),
    ("tenant_ids[]=nobody", []),
    ("tenant_ids%255B%255D=acme", ["acme"]),
)
EMPTY = ("tenant_ids=", "tenant_ids[]=", "tenant_ids[0]=", "tenant_ids=&tenant_ids=", "tenant_ids")
"""Ways of not giving the list."""

REFUSED = (
    *("tenant_ids[a]", "tenant_ids[0][id]", "tenant_ids[-1]", "tenant_ids[0", "tenant_ids]"),
    *("tenant_ids[[]]", "tenant_ids[ 0 ]", "tenant_ids[0].id", "tenant_ids[٣]", "tenant_ids[]x"),
    *("tenantIds", "tenant-ids", "TENANT_IDS", "tenant.ids", "tenat_ids", "tenant_ids_"),
    *("start_date[]", "start_date[0]", "startDate", "strat_date", "endDate"),
)
"""Names that are a known one in a form that is not read, or misspelled."""

IGNORED = ("unknown", "tenant_id", "env_id", "limit", "date_from", "type", "page", "tags[]", "a[b]")
"""Unknown names that mean nothing here (contract B.9)."""


@pytest.fixture(autouse=True)
def fed(client: FlaskClient) -> None:
    for tenant in ("acme", "beta", "gamma"):
        ingest(
            client,
            called("2026-05-19", tenant),
            {
                "type": "create_tenant_user",
                "user_id": "ann",
                "tenant_id": tenant,
                "timestamp": 1_779_100_000,
            },
        )


def tenants(client: FlaskClient, url: str) -> list[str]:
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    metrics = json.loads(answer.text)["metrics"]
    return sorted({tenant for metric in metrics for tenant in metric["details"]})


def encoded(parameters: str) -> str:
    """Return parameters with all brackets and commas encoded."""
    return quote(parameters, safe="=&%")


@pytest.mark.parametrize("url", LISTS)
@pytest.mark.parametrize("written", [str, encoded])
@pytest.mark.parametrize(("parameters", "found"), FILTERED)
def test_a_list_in_brackets_filters(
    client: FlaskClient, url: str, written: Any, parameters: str, found: list[str]
) -> None:
    assert tenants(client, f"{url}&{written(parameters)}") == found


@pytest.mark.parametrize("url", LISTS)
@pytest.mark.parametrize("parameters", EMPTY)
def test_an_empty_list_is_as_if_it_were_not_given(
    client: FlaskClient, url: str, parameters: str
) -> None:
    assert tenants(client, f"{url}&{parameters}") == ["acme", "beta", "gamma"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_is_nearly_a_known_one_is_refused(client: FlaskClient, name: str) -> None:
    answer = client.get(f"{LISTS[0]}&{quote(name)}=acme")
    assert answer.status_code == 400
    meant = next(
        known for known in ("tenant_ids", "start_date", "end_date") if known[0] == name.lower()[0]
    )
    assert json.loads(answer.text)["message"] == f"{name}: is not known here; is {meant} meant?"


@pytest.mark.parametrize("name", IGNORED)
def test_other_unknown_names_are_ignored(client: FlaskClient, name: str) -> None:
    assert tenants(client, f"{LISTS[0]}&{quote(name)}=beta") == ["acme", "beta", "gamma"]


@pytest.mark.parametrize("name", ["date_to", "tenant_id", "env_id"])
def test_an_empty_optional_parameter_is_as_if_it_were_not_given(
    client: FlaskClient, name: str
) -> None:
    url = f"{BASE}/active-users?type=daily&date_from=2026-05-01"
    assert client.get(f"{url}&{name}=").json == client.get(url).json
    url = f"{BASE}/metrics/page-statistics?start_timestamp=0&end_timestamp=9"
    assert client.get(f"{url}&limit=").json == client.get(url).json


def test_an_empty_required_parameter_is_missing(client: FlaskClient) -> None:
    answer = client.get(f"{BASE}/active-users?type=&date_from=2026-05-01")
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["message"].startswith("type: must be one of")


def test_all_parameters_of_the_description_are_known(client: FlaskClient) -> None:
    paths = json.loads(client.get("/openapi.json").text)["paths"]
    named = {
        parameter["name"]
        for operations in paths.values()
        for operation in operations.values()
        if isinstance(operation, dict)
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    }
    assert named == KNOWN
