"""The facts of the contract about the eight operations, compared with what the server describes."""

from typing import Any

import pytest
from flask.testing import FlaskClient

# operation id: path, method, tag, parameters (name: place, required, kind), body, answer
OPERATIONS: dict[str, tuple[str, str, str, dict[str, tuple[str, bool, Any]], Any, Any]] = {
    "UpdateUserBehaviorHistoriesByDay": (
        "/user-behavior-day",
        "put",
        "userAnalysis",
        {},
        "UpdateUserBehaviorHistoriesByDayParam",
        None,
    ),
    "GetUserBehaviorHistories": (
        "/users/{user_id}/behavior-histories",
        "get",
        "userAnalysis",
        {"user_id": ("path", True, "string")},
        None,
        "UserBehaviorHistories",
    ),
    "GetActiveUsers": (
        "/active-users",
        "get",
        "userAnalysis",
        {
            "type": ("query", True, ["monthly", "daily"]),
            "date_from": ("query", True, "string"),
            "date_to": ("query", False, "string"),
            "tenant_id": ("query", False, "Uuid"),
            "env_id": ("query", False, "Id"),
        },
        None,
        "ActiveUsers",
    ),
    "UpdateActiveUsers": (
        "/active-users",
        "put",
        "userAnalysis",
        {},
        "UpdateActiveUsersParam",
        None,
    ),
    "GetAggregatedMetrics": (
        "/metrics/aggregated",
        "get",
        "metrics",
        {
            "metrics_type": (
                "query",
                True,
                ["create_tenant", "create_saas_user", "create_tenant_user"],
            ),
            "start_date": ("query", True, "string"),
            "end_date": ("query", True, "string"),
            "tenant_ids": ("query", False, "array"),
        },
        None,
        "AggregatedMetrics",
    ),
    "GetPageStatistics": (
        "/metrics/page-statistics",
        "get",
        "metrics",
        {
            "start_timestamp": ("query", True, "integer"),
            "end_timestamp": ("query", True, "integer"),
            "limit": ("query", False, "integer"),  # ours
        },
        None,
        "PageStatistics",
    ),
    "GetAggregatedUserInfo": (
        "/userinfo/aggregated",
        "get",
        "metrics",
        {
            "start_date": ("query", True, "string"),
            "end_date": ("query", True, "string"),
            "tenant_ids": ("query", False, "array"),
        },
        None,
        "AggregatedUserInfoMetrics",
    ),
    "ReturnInternalServerError": (
        "/errors/internal-server-error",
        "get",
        "error",
        {},
        None,
        None,
    ),
}

# schema: fields (name: kind); a name that ends in ? is not required
SCHEMAS: dict[str, dict[str, Any]] = {
    "Error": {"type": "string", "message": "string"},
    "UserBehaviorHistory": {"timestamp": "integer", "referer": "string"},
    "UpdateUserBehaviorHistoriesByDayParam": {
        "timestamp": "integer",
        "user_id": "Uuid",
        "histories": ["UserBehaviorHistory"],
    },
    "DailyBehaviorHistory": {"behaved_at": "integer", "histories": ["UserBehaviorHistory"]},
    "UserBehaviorHistories": {"histories": ["DailyBehaviorHistory"]},
    "ActiveUserData": {
        "date": "string",
        "tenant_id": "Uuid",
        "env_id": "Id",
        "active_users": "integer",
    },
    "ActiveUsers": {"data": ["ActiveUserData"]},
    "UpdateActiveUsersParam": {
        "type": ("daily", "monthly"),
        "date": "string",
        "tenant_id": "Uuid",
        "env_id": "Id",
        "active_users": "integer",
    },
    "DailyMetric": {"date": "string", "count": "integer", "details?": {"integer"}},
    "AggregatedMetrics": {"metrics": ["DailyMetric"]},
    "PageStatistic": {"page_url": "string", "total_views": "integer", "unique_users": "integer"},
    "PageStatistics": {
        "start_date": "integer",
        "end_date": "integer",
        "total_page_views": "integer",
        "total_unique_users": "integer",
        "page_statistics": ["PageStatistic"],
    },
    "DailyUserInfoMetric": {"date": "string", "details": {"integer"}},
    "AggregatedUserInfoMetrics": {"metrics": ["DailyUserInfoMetric"]},
}


@pytest.fixture
def description(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/openapi.json").json
    assert isinstance(answer, dict)
    return answer


def kind(schema: dict[str, Any]) -> Any:
    """Return a schema's kind, as the tables above write it."""
    if "$ref" in schema:
        return schema["$ref"].removeprefix("#/components/schemas/")
    if "enum" in schema:
        return tuple(schema["enum"])
    if schema["type"] == "array" and "$ref" in schema["items"]:
        return [kind(schema["items"])]
    if "additionalProperties" in schema:
        return {kind(schema["additionalProperties"])}
    return schema["type"]


def content(body: dict[str, Any]) -> Any:
    """Return the schema of a JSON body, or None if it has no content. CSV beside it is ours."""
    if "content" not in body:
        return None
    media = dict(body["content"])
    media.pop("text/csv", None)
    assert list(media) == ["application/json"]
    return kind(media["application/json"]["schema"])


@pytest.mark.slow
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_an_operation_is_described_as_the_contract_says(
    description: dict[str, Any], operation_id: str
) -> None:
    path, method, tag, parameters, body, answer = OPERATIONS[operation_id]
    item = description["paths"][path]
    operation = item[method]
    assert operation["operationId"] == operation_id
    assert operation["tags"] == [tag]
    described = {
        parameter["name"]: (
            parameter["in"],
            parameter["required"],
            list(shown) if isinstance(shown := kind(parameter["schema"]), tuple) else shown,
        )
        for parameter in [*item.get("parameters", []), *operation.get("parameters", [])]
    }
    assert described == parameters
    if body is None:
        assert "requestBody" not in operation
    else:
        assert operation["requestBody"]["required"] is True
        assert content(operation["requestBody"]) == body
    if operation_id == "ReturnInternalServerError":
        assert "200" not in operation["responses"]
    else:
        assert content(operation["responses"]["200"]) == answer
    assert operation["responses"].keys() >= {"400", "401", "403", "429", "500", "503"}
    for status, response in operation["responses"].items():
        if status != "200":
            assert content(response) == "Error"


def test_no_other_operation_has_an_official_tag(description: dict[str, Any]) -> None:
    ours = {
        operation["operationId"]
        for item in description["paths"].values()
        for method, operation in item.items()
        if method != "parameters" and operation["tags"] not in (["ingest"], ["retention"])
    }
    assert ours == OPERATIONS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_described_as_the_contract_says(description: dict[str, Any], name: str) -> None:
    schema = description["components"]["schemas"][name]
    assert schema["type"] == "object"
    required = set(schema["required"])
    described = {
        field if field in required else f"{field}?": kind(inner)
        for field, inner in schema["properties"].items()
    }
    assert described == SCHEMAS[name]


def test_ids_are_components_of_their_own(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    assert schemas["Uuid"]["type"] == "string"
    assert "format" not in schemas["Uuid"]
    assert schemas["Id"]["type"] == "integer"


@pytest.mark.slow
def test_arrays_repeat_their_key(description: dict[str, Any]) -> None:
    for path in ("/metrics/aggregated", "/userinfo/aggregated"):
        parameters = description["paths"][path]["get"]["parameters"]
        (tenant_ids,) = [each for each in parameters if each["name"] == "tenant_ids"]
        assert (tenant_ids["style"], tenant_ids["explode"]) == ("form", True)


@pytest.mark.slow
def test_clients_find_the_base_path_and_the_bearer_scheme(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.0.")
    assert description["servers"] == [{"url": "/v1/analysis"}]
    assert description["security"] == [{"Bearer": []}]
    assert description["components"]["securitySchemes"] == {
        "Bearer": {"type": "http", "scheme": "bearer"}
    }
