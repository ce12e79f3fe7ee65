"""Random calls, whose every answer must be the one that the model gives."""

from contextlib import closing
from dataclasses import dataclass
from datetime import date
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from .support.calls import NO_TENANT
from .support.examples import examples
from .support.world import USERS, Moment, World

# America/Sao_Paulo skips the midnight of 2017-10-15 and repeats the last hour of 2018-02-17,
# America/New_York repeats an hour of 2017-11-05.
DAYS = [
    date(2017, 10, 14),
    date(2017, 10, 15),
    date(2017, 10, 31),
    date(2017, 11, 1),
    date(2017, 11, 5),
    date(2017, 11, 15),  # 31 days after 2017-10-15
    date(2017, 11, 16),
    date(2018, 2, 17),
]

days = st.just(date(2017, 10, 15)) | st.sampled_from(DAYS)
seconds = st.sampled_from([0, 1, 3600, -3600, -1])
moments = st.builds(Moment, days, seconds)
users = st.just("ann") | st.sampled_from(USERS)
# Text order differs between code points and UTF-16 for the last two.
TENANTS = ["acme", "Acme", NO_TENANT, "\uff9e", "\U0001f600"]
tenants = st.just("acme") | st.sampled_from(TENANTS)
envs = st.just(3) | st.sampled_from([0, 3])
referers = st.sampled_from(
    ["", "?q=1", "/p", "/p?q=1", "/p?q=1#top", "/p#top?q=1", "/P", "https://a.example/頁?q=1"]
)
ids = st.sampled_from(["e1", "e2", "e3", "E1"])
entries = st.lists(st.tuples(seconds, referers), max_size=5)


def events(type_: str, **needed: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    optional = {
        "user_id": users,
        "tenant_id": tenants,
        "env_id": envs,
        "referer": referers,
        "id": ids,
        "unknown": st.just({"type": "userinfo"}),
    }
    others = {name: strategy for name, strategy in optional.items() if name not in needed}
    return st.fixed_dictionaries({"type": st.just(type_)} | needed, optional=others)


good_records = st.one_of(
    events("userinfo", user_id=users),
    events("userinfo", user_id=users, timestamp=moments, referer=referers),
    events("userinfo", user_id=users, timestamp=moments, tenant_id=tenants, env_id=envs),
    events("userinfo", user_id=users, timestamp=moments, tenant_id=tenants, env_id=envs),
    events("create_tenant", tenant_id=tenants, timestamp=moments),
    events("create_saas_user", user_id=users, timestamp=moments),
    events("create_tenant_user", user_id=users, tenant_id=tenants, timestamp=moments),
)
BAD_RECORDS: list[Any] = [
    None,
    "userinfo",
    [],
    {},
    {"type": "userinfo"},
    {"type": "login", "user_id": "ann"},
    {"type": "userinfo", "user_id": "ann", "timestamp": -1},
    {"type": "userinfo", "user_id": "ann", "timestamp": 1_508_036_400_000},
    {"type": "userinfo", "user_id": "ann", "tenant_id": "acme", "env_id": True, "id": "e1"},
    {"type": "userinfo", "user_id": "ann", "referer": 7, "id": "e2"},
    {"type": "create_tenant", "user_id": "ann", "id": "e3"},
    {"type": "create_tenant_user", "user_id": "ann"},
    {"type": "create_saas_user", "tenant_id": "acme"},
]
good = st.tuples(good_records, st.just(True))
bad = st.tuples(st.sampled_from(BAD_RECORDS), st.just(False))
records = st.lists(good, max_size=8) | st.lists(good | bad, max_size=8)
tenant_lists = st.none() | st.lists(
    st.lists(tenants, min_size=1, max_size=3), min_size=1, max_size=2
)

INVALID_CALLS: list[tuple[str, str, Any]] = [
    ("PUT", "/user-behavior-day", []),
    ("PUT", "/user-behavior-day", {"user_id": "ann", "histories": []}),
    ("PUT", "/user-behavior-day", {"timestamp": 1_508_036_400, "user_id": "ann"}),
    ("PUT", "/user-behavior-day", {"timestamp": 1_508_036_400, "user_id": "", "histories": []}),
    ("PUT", "/user-behavior-day", {"timestamp": "0", "user_id": "ann", "histories": []}),
    ("POST", "/ingest/events", {"type": "userinfo"}),
    ("POST", "/ingest/events?all_or_nothing=yes", {"type": "userinfo", "user_id": "ann"}),
    *(
        ("PUT", "/active-users", {"type": "daily", "date": "2017-10-15"} | rest)
        for rest in (
            {"tenant_id": "acme", "env_id": 1},
            {"tenant_id": "acme", "env_id": 1, "active_users": -1},
            {"tenant_id": "acme", "env_id": -1, "active_users": 1},
            {"tenant_id": "acme", "env_id": 1, "active_users": 1, "date": "2017-10"},
            {"tenant_id": "acme", "env_id": 1, "active_users": 1, "date": "2017-11-31"},
            {"tenant_id": "acme", "env_id": 1, "active_users": 1, "type": "monthly"},
            {"tenant_id": "acme", "env_id": 1, "active_users": 1, "type": "weekly"},
            {"tenant_id": "\n", "env_id": 1, "active_users": 1},
        )
    ),
]


@dataclass(frozen=True)
class Call:
    """A method of World with its arguments."""

    name: str
    arguments: dict[str, Any]


def calls(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.builds(Call, st.just(name), st.fixed_dictionaries(arguments))


day_pairs = st.tuples(days, days).map(sorted)
put_day = calls("put_day", user=users, moment=moments, entries=entries, times=st.integers(1, 2))
ingest = calls("ingest", records=records, all_or_nothing=st.booleans(), lines=st.booleans())
put_active_users = calls(
    "put_active_users",
    day=days,
    monthly=st.booleans(),
    tenant=tenants,
    env=envs,
    number=st.sampled_from([0, 5, 2**63 - 1]),
    times=st.integers(1, 2),
)
writes = st.one_of(
    put_day,
    put_day,
    put_active_users,
    put_active_users,
    ingest,
    ingest,
    calls(
        "put_day_with_entry_outside",
        user=users,
        moment=moments,
        entries=entries,
        outside=st.sampled_from([(-1, -1), (1, 0)]),
        at=st.integers(0, 5),
    ),
    calls("call_invalidly", call=st.sampled_from(INVALID_CALLS)),
    calls("set_clock", moment=moments),
)
reads = st.one_of(
    calls(
        "read_active_users",
        dates=day_pairs,
        monthly=st.booleans(),
        open_end=st.booleans(),
        tenant=st.none() | tenants,
        env=st.none() | envs,
    ),
    calls("read_counts", dates=day_pairs, groups=tenant_lists),
    calls("read_page_statistics", moments=st.tuples(moments, moments)),
    calls("read_page_statistics_of_few_seconds", moment=moments, length=st.integers(0, 1)),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("zone", "keep_query"),
    [
        ("UTC", False),
        ("Asia/Tokyo", True),
        ("America/New_York", False),
        ("America/Sao_Paulo", False),
    ],
)
@settings(max_examples=examples(50), phases=[Phase.generate, Phase.shrink])
@given(
    written=st.lists(writes, min_size=6, max_size=12),
    read=st.lists(reads, min_size=12, max_size=24),
)
def test_every_answer_is_the_one_of_the_model(
    zone: str, keep_query: bool, written: list[Call], read: list[Call]
) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(World(zone, keep_query=keep_query, folder=folder)) as world,
    ):
        for call in written:
            note(str(call))
            getattr(world, call.name)(**call.arguments)
            world.compare_everything()
        for call in read:
            note(str(call))
            getattr(world, call.name)(**call.arguments)
