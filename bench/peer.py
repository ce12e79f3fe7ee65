"""The peer of `rates`: the same operations on active users with FastAPI, on the same schema."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, Field

from app.analytics.active_user_counts import PUT_ACTIVE_USERS
from app.days import PERIODS, format_day

SELECT_ACTIVE_USERS = """
select active_users.period, tenant.name, active_users.env_id,
       coalesce(active_users.put, active_users.computed)
from active_users
join tenant on tenant.id = active_users.tenant_id
where active_users.monthly = :monthly
  and active_users.period >= :date_from
  and (:date_to is null or active_users.period <= :date_to)
  and (:tenant_id is null or tenant.name = :tenant_id)
  and (:env_id is null or active_users.env_id = :env_id)
order by active_users.period, tenant.name, active_users.env_id
"""

FIND_TENANT = "select id from tenant where name = ?"
ADD_TENANT = "insert into tenant (name) values (?) returning id"

Id = Annotated[str, Field(min_length=1, max_length=128)]
Number = Annotated[int, Field(ge=0, lt=2**63, strict=True)]

app = FastAPI()
local = threading.local()


class UpdateActiveUsersParam(BaseModel):
    type: Literal["daily", "monthly"]
    date: str
    tenant_id: Id
    env_id: Number
    active_users: Number


class ActiveUserData(BaseModel):
    date: str
    tenant_id: str
    env_id: int
    active_users: int


class ActiveUsers(BaseModel):
    data: list[ActiveUserData]


@app.get("/v1/analysis/active-users")
def get_active_users(
    type: Literal["daily", "monthly"],
    date_from: str,
    date_to: str | None = None,
    tenant_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
    env_id: Annotated[int | None, Query(ge=0)] = None,
) -> ActiveUsers:
    """Return active users by date, tenant and environment."""
    period = PERIODS[type]
    parameters = {
        "monthly": period.monthly,
        "date_from": period.parse(date_from),
        "date_to": None if date_to is None else period.parse(date_to),
        "tenant_id": tenant_id,
        "env_id": env_id,
    }
    rows = connection().execute(SELECT_ACTIVE_USERS, parameters)
    return ActiveUsers(
        data=[
            ActiveUserData(
                date=_written(type, date), tenant_id=tenant, env_id=env, active_users=count
            )
            for date, tenant, env, count in rows
        ]
    )


@app.put("/v1/analysis/active-users")
def update_active_users(body: UpdateActiveUsersParam) -> Response:
    """Set the number of active users of a date, tenant and environment."""
    period = PERIODS[body.type]
    with writing() as writer:
        row = writer.execute(FIND_TENANT, (body.tenant_id,)).fetchone()
        if row is None:
            row = writer.execute(ADD_TENANT, (body.tenant_id,)).fetchone()
        values: dict[str, Any] = {
            "monthly": period.monthly,
            "period": period.parse(body.date),
            "tenant_id": row[0],
            "env_id": body.env_id,
            "put": body.active_users,
        }
        writer.execute(PUT_ACTIVE_USERS, values)
    return Response()


def _written(type: str, date: int) -> str:
    if type == "daily":
        return format_day(date)
    return f"{date // 12:04d}-{date % 12 + 1:02d}"


def connection() -> sqlite3.Connection:
    """Return the connection of this thread."""
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect(os.environ["PEER_DATABASE"], isolation_level=None)
        local.connection.execute("pragma synchronous = full")
        local.connection.execute("pragma foreign_keys = on")
    found: sqlite3.Connection = local.connection
    return found


lock = threading.Lock()


@contextmanager
def writing() -> Iterator[sqlite3.Connection]:
    """Yield a connection in a transaction, for one thread at a time."""
    with lock:
        writer = connection()
        writer.execute("begin immediate")
        yield writer
        writer.execute("commit")
