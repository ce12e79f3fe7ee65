"""What the official operations answer, short enough to compare."""

from typing import Any

from flask.testing import FlaskClient

DAY = "2026-05-19"


def counts(client: FlaskClient, type_: str) -> dict[str, Any]:
    """Return the counts of a type by date: of userinfo and tenant users by tenant too."""
    if type_ == "userinfo":
        query = {"start_date": "1970-01-01", "end_date": "2099-12-31"}
        metrics = client.get("/v1/analysis/userinfo/aggregated", query_string=query).json
        assert metrics is not None
        return {metric["date"]: metric["details"] for metric in metrics["metrics"]}
    query = {"metrics_type": type_, "start_date": "1970-01-01", "end_date": "2099-12-31"}
    metrics = client.get("/v1/analysis/metrics/aggregated", query_string=query).json
    assert metrics is not None
    return {metric["date"]: metric.get("details", metric["count"]) for metric in metrics["metrics"]}


def active(client: FlaskClient, type_: str = "daily") -> list[tuple[str, str, int, int]]:
    """Return (date, tenant, environment, users) for all that is known."""
    date_from = {"daily": "1970-01-01", "monthly": "1970-01"}[type_]
    query = {"type": type_, "date_from": date_from}
    answer = client.get("/v1/analysis/active-users", query_string=query).json
    assert answer is not None
    return [
        (row["date"], row["tenant_id"], row["env_id"], row["active_users"])
        for row in answer["data"]
    ]


def histories(client: FlaskClient, user: str) -> list[tuple[int, str]]:
    """Return (timestamp, referer) of a user's last month."""
    answer = client.get(f"/v1/analysis/users/{user}/behavior-histories").json
    assert answer is not None
    return [
        (entry["timestamp"], entry["referer"])
        for day in answer["histories"]
        for entry in day["histories"]
    ]


def pages(client: FlaskClient) -> list[tuple[str, int, int]]:
    """Return (page, views, users) of all time."""
    query = {"start_timestamp": 0, "end_timestamp": 253402300799}
    answer = client.get("/v1/analysis/metrics/page-statistics", query_string=query).json
    assert answer is not None
    return [
        (page["page_url"], page["total_views"], page["unique_users"])
        for page in answer["page_statistics"]
    ]


def everything(client: FlaskClient) -> list[Any]:
    """Return all that can be read, to tell that nothing changed."""
    types = ("userinfo", "create_tenant", "create_saas_user", "create_tenant_user")
    return [
        *(counts(client, type_) for type_ in types),
        active(client),
        active(client, "monthly"),
        pages(client),
    ]
