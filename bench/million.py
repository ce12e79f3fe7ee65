"""Every page and operation with a thousand and with a million of each kind of row."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask.testing import FlaskClient

from app import create_app
from app.auth import keys, sessions
from app.auth.tokens import make_token
from app.days import month_of
from app.storage.database import Database
from app.storage.event_ids import digest_of, store_in_order

from .data import DAY, NOW, TODAY, Then, opened
from .measuring import in_turns, ms, times, write

FEW, MANY = 1_000, 1_000_000
API = "/v1/analysis"
YESTERDAY = TODAY // DAY - 1

# A thousand users of one tenant, each with a view yesterday; the rows of a kind are added to these.
BASE = (
    "insert into tenant (id, name) values (1, 'acme')",
    "insert into page (id, url) values (1, '/home')",
    "insert into referer (id, url, page_id) values (1, '/home', 1)",
    """
    with recursive each (i) as (select 1 union all select i + 1 from each where i < 1000)
    insert into user (id, name)
    select i, 'user-' || i
    from each
    """,
    """
    insert into behavior (block, user_id, second, seq, referer_id)
    select (:yesterday * 86400 + id * 80) / 14400, id, (:yesterday * 86400 + id * 80) % 14400, 0, 1
    from user
    order by 1, 2
    """,
    """
    insert into active_user (monthly, period, tenant_id, env_id, user_id, calls)
    select monthly, iif(monthly, :month, :yesterday), 1, 3, id, not monthly
    from (select 0 as monthly union all select 1)
    cross join user
    """,
    """
    insert into active_users (monthly, period, tenant_id, env_id, computed)
    values (0, :yesterday, 1, 3, 1000), (1, :month, 1, 3, 1000)
    """,
    """
    insert into call_count (type, day, tenant_id, count)
    values (0, :yesterday, 1, 1000)
    """,
)

# The integers of the new rows, from 10,001 on, since the base uses those below.
NUMBERS = """
create temp table many as
with recursive each (i) as (select 1 union all select i + 1 from each where i < :number)
select i + 10000 as i, :yesterday * 86400 + i % 86400 as timestamp, 1 + i % 1000 as user_id
from each
"""

NO_NUMBERS = "drop table many"

MANY_VIEWS = """
insert into behavior (block, user_id, second, seq, referer_id)
select timestamp / 14400, user_id, timestamp % 14400, i, i
from many
order by 1, 2, 3, 4
"""

MANY_TENANTS = "insert into tenant (id, name) select i, 'tenant-' || i from many"

MANY_CELLS = """
insert into active_users (monthly, period, tenant_id, env_id, computed)
select monthly, iif(monthly, :month, :yesterday), i, 3, 1
from (select 0 as monthly union all select 1)
cross join many
"""

MANY_CALLS = """
insert into call_count (type, day, tenant_id, count)
select 0, :yesterday, i, 1
from many
"""

KINDS: dict[str, Sequence[str]] = {
    "environments": (
        """
        insert into active_users (monthly, period, tenant_id, env_id, computed)
        select monthly, iif(monthly, :month, :yesterday), 1, i, 1
        from (select 0 as monthly union all select 1)
        cross join many
        """,
        """
        insert into active_user (monthly, period, tenant_id, env_id, user_id, calls)
        select monthly, iif(monthly, :month, :yesterday), 1, i, user_id, 0
        from (select 0 as monthly union all select 1)
        cross join many
        """,
    ),
    "tenants": (
        MANY_TENANTS,
        MANY_CELLS,
        MANY_CALLS,
        """
        insert into active_user (monthly, period, tenant_id, env_id, user_id, calls)
        select monthly, iif(monthly, :month, :yesterday), i, 3, user_id, not monthly
        from (select 0 as monthly union all select 1)
        cross join many
        """,
    ),
    "tenants of one user": (
        MANY_TENANTS,
        MANY_CELLS,
        MANY_CALLS,
        """
        insert into active_user (monthly, period, tenant_id, env_id, user_id, calls)
        select monthly, iif(monthly, :month, :yesterday), i, 3, 1, not monthly
        from (select 0 as monthly union all select 1)
        cross join many
        """,
    ),
    "users": (
        "insert into user (id, name) select i, 'member-' || i from many",
        """
        insert into behavior (block, user_id, second, seq, referer_id)
        select timestamp / 14400, i, timestamp % 14400, 0, 1
        from many
        order by 1, 2
        """,
        """
        insert into active_user (monthly, period, tenant_id, env_id, user_id, calls)
        select monthly, iif(monthly, :month, :yesterday), 1, 3, i, not monthly
        from (select 0 as monthly union all select 1)
        cross join many
        """,
        "update active_users set computed = computed + :number",
        "update call_count set count = count + :number",
    ),
    "pages": (
        "insert into page (id, url) select i, '/items/' || i from many",
        "insert into referer (id, url, page_id) select i, '/items/' || i, i from many",
        MANY_VIEWS,
    ),
    "referers": (
        "insert into referer (id, url, page_id) select i, '/home?action=a' || i, 1 from many",
        MANY_VIEWS,
    ),
    "entries of one user": (
        """
        insert into behavior (block, user_id, second, seq, referer_id)
        select timestamp / 14400, 1, timestamp % 14400, i, 1
        from many
        order by 1, 2, 3, 4
        """,
    ),
    "event ids": (),  # SQL cannot make the digests
    "keys": (
        """
        insert into key (name, prefix, token_hash, scopes, created_at, revoked_at)
        select 'key-' || i, printf('saa_%08x', i), randomblob(32), 'read', :now - 1, :now
        from many
        """,
    ),
    "links": (
        """
        insert into link (name, token_hash, created_at, expires_at)
        select 'link-' || i, randomblob(32), :now - 1, :now + 86400
        from many
        """,
    ),
    "sessions": (
        """
        insert into key (id, name, prefix, token_hash, scopes, created_at)
        values (1, 'old', 'saa_old', zeroblob(32), 'read', :now)
        """,
        """
        insert into session (token_hash, key_id, created_at, expires_at)
        select randomblob(32), 1, :now - 2, :now - 1
        from many
        """,
    ),
    "audit rows": (
        """
        insert into audit (at, action, details)
        select :now, 'prune', '{"histories": 1}'
        from many
        """,
    ),
}
"""The statements that make many rows of a kind, from the table `many`."""

PAGES = {
    "overview": "/dashboard",
    "overview of a tenant": "/dashboard?tenant=acme",
    "overview of an environment": "/dashboard?env=3",
    "pages": "/dashboard/pages",
    "pages of a tenant": "/dashboard/pages?tenant=acme",
    "pages, searched": "/dashboard/pages?q=777",
    "a page": "/dashboard/pages/page?id=/home",
    "tenants": "/dashboard/tenants",
    "tenants, searched": "/dashboard/tenants?q=777",
    "a tenant": "/dashboard/tenants/tenant?id=acme",
    "users": "/dashboard/users",
    "users, searched": "/dashboard/users?q=r-99",
    "a user": "/dashboard/users/user?id=user-1",
    "links": "/dashboard/links",
    "most viewed pages": f"{API}/metrics/page-statistics?limit=10"
    f"&start_timestamp={TODAY - 27 * DAY}&end_timestamp={NOW}",
    "/metrics": "/metrics",
}
"""Requests that show a part of the rows; a full list takes as long as it has rows."""

EVENT = {"type": "userinfo", "timestamp": NOW, "user_id": "user-2", "tenant_id": "acme"}

COMMANDS = (("keys", "list"), ("links", "list"), ("audit",), ("doctor",))


def build(path: Path, kind: str, number: int) -> None:
    """Make a database with a number of rows of a kind."""
    parameters = {
        "number": number,
        "yesterday": YESTERDAY,
        "month": month_of(YESTERDAY),
        "now": NOW,
    }
    with closing(opened(path)) as database:
        with database.writing() as connection:
            for statement in (*BASE, NUMBERS, *KINDS[kind], NO_NUMBERS):
                connection.execute(statement, parameters)
            if kind == "event ids":
                digests = sorted(digest_of("client", str(i)) for i in range(number))
                store_in_order(connection, ((digest, YESTERDAY) for digest in digests))
        database.empty_wal()


def run() -> None:
    """Measure everything with a thousand and with a million of each kind."""
    cells: dict[str, list[str]] = {}
    with TemporaryDirectory() as folder:
        for kind in KINDS:
            few, many = (_measure(Path(folder), kind, number) for number in (FEW, MANY))
            for name, taken in many.items():
                cells.setdefault(name, []).append(f"{ms(taken)} ({times(taken / few[name])})")
    write(
        "million",
        "A million of each",
        f"""
The time in the server with {MANY:,} rows of one kind, all of them from yesterday, for a repeated
request; in parentheses: how many times as long as with {FEW:,} rows it takes. Pages show a part of
the rows: they may take longer if the part is chosen from all of them, but not {MANY // FEW:,} times
as long.
""",
        ["", *KINDS],
        [[name, *found] for name, found in cells.items()],
    )


def _measure(folder: Path, kind: str, number: int) -> dict[str, float]:
    """Return the time of each request, with a database of a number of rows of a kind."""
    path = folder / "many.db"
    build(path, kind, number)
    app = create_app(database=path, auth=False, clock=Then(), synchronous="off")
    with closing(app.extensions["database"]) as database:
        client = app.test_client()
        actions: dict[str, Callable[[], object]] = {
            name: partial(_get, client, url) for name, url in PAGES.items()
        }
        actions["an event"] = partial(client.post, f"{API}/ingest/events", json=EVENT)
        actions["signing in"] = partial(_sign_in, database)
        taken = in_turns(actions, repetitions=3)
    for words in COMMANDS:
        command = [sys.executable, "-m", "app", *words, "--database", str(path)]
        action = partial(
            subprocess.run, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        taken |= in_turns({f"`{' '.join(words)}`": action}, repetitions=1)
    for file in folder.glob("many.db*"):
        file.unlink()
    return taken


def _get(client: FlaskClient, url: str) -> None:
    answer = client.get(url)
    if answer.status_code != 200:
        raise SystemExit(f"{url}: {answer.status_code}")


def _sign_in(database: Database) -> None:
    name = f"key-{make_token()}"
    token = keys.create_bearer_key(database, name=name, scopes=("read",))
    key: Any = keys.find_bearer_key(database, token)
    sessions.begin_session(database, key, 60)
