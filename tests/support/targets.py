"""What is fuzzed: inputs that are nearly valid, and the check of each.

`tests/test_fuzzing.py` tries a few inputs of each target, `python -m bench fuzz` many.
"""

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from app.double.middleware import CONTROL

from ..conftest import NOW
from .fuzzing import (
    ASKED,
    SIGNED,
    TOKEN,
    ask_raw,
    ask_twice,
    authorize,
    control,
    import_twice,
    post_twice,
)
from .mutations import changed, dumped, sometimes_damaged
from .records import api_log, eventbridge, page
from .refusals import ACTIVE_BODY, BASE, DAY_BODY, EVENT, READS, WRITES
from .subject import MAX_BODY, Sent, Subject

CREATIONS = ("create_tenant", "create_saas_user", "create_tenant_user")

FEEDS: dict[str, tuple[str, list[Any]]] = {
    "events": (
        "IngestEvents",
        [
            EVENT,
            {"type": "userinfo", "user_id": "ann", "env_id": 0},
            *({"type": type_, "tenant_id": "acme", "user_id": "ann"} for type_ in CREATIONS),
        ],
    ),
    "eventbridge": (
        "IngestEventBridge",
        [eventbridge(type_, id=str(index % 2)) for index, type_ in enumerate(CREATIONS)],
    ),
    "apilog": (
        "IngestApilog",
        [
            page(api_log(), api_log(id="log-2", referer="", api_log_id=None)),
            page(api_log("POST", "/v1/auth/tenants", {"id": "tenant-a"}, id="log-3")),
            page(api_log("POST", "https://x/v1/auth/tenants/t%2F1/users?a", {"id": "u"}, id="4")),
        ],
    ),
}

HEAD = {"kind": "export", "version": 1, "time_zone": "UTC"}
DATED = {"type": "daily", "date": "2026-05-19", "tenant_id": "acme", "env_id": 3}
EXPORTED = [
    {"kind": "history", "timestamp": NOW, "user_id": "ann", "referer": "/home"},
    {"kind": "call", "type": "userinfo", "date": "2026-05-19", "tenant_id": "acme", "count": 2},
    {"kind": "active-user", **DATED, "user_id": "ann"},
    {"kind": "number", **DATED, "type": "monthly", "date": "2026-05", "active_users": 7},
    {"kind": "event-id", "digest": "0123456789abcdef" * 2, "date": "2026-05-19"},
    {"kind": "event-id", "source": "client", "id": "event-1", "date": "2026-05-19"},
]
PUTS = [operation for operation, (method, _, _) in WRITES.items() if method == "PUT"]
LATIN_1 = st.characters(max_codepoint=255)
BOMB = gzip.compress(b" " * 32 * MAX_BODY, mtime=0)

CSV = [
    b'timestamp,user_id,referer\r\n1779157378,ann,/home\r\n1779157378,"a,""b",\r\n',
    b"type,date,tenant_id,count\r\nuserinfo,2026-05-19,acme,2\r\ncreate_tenant,2026-05-20,b,1\r\n",
    b"type,date,tenant_id,env_id,user_id\r\ndaily,2026-05-19,acme,3,ann\r\n",
    b"type,date,tenant_id,env_id,active_users\r\nmonthly,2026-05,acme,3,7\r\n",
    b"digest,date\r\n0123456789abcdef0123456789abcdef,2026-05-19\r\n",
    b"source,id,date\r\nclient,event-1,2026-05-19\r\n",
]


STATE = {
    "version": 1,
    "settings": {"time_zone": "Asia/Tokyo"},
    "clock": {"mode": "frozen", "at": NOW},
    "events": [EVENT | {"source": "apilog", "log_id": "log-1"}],
    "histories": [DAY_BODY],
    "active_users": [ACTIVE_BODY],
}
FAULT = {"operation": "GetActiveUsers", "times": 2, "skip": 1, "status": 503, "seed": 1}
CONTROLS: list[tuple[str, str, Any]] = [
    ("PUT", "state", STATE),
    ("POST", "state", STATE),
    ("PUT", "seed", [EVENT, EVENT | {"places": [{"tenant_id": "acme", "env_ids": [1]}]}]),
    ("PUT", "clock", {"mode": "offset", "offset": -60}),
    ("PUT", "clock", {"move": 60}),
    ("POST", "faults", FAULT | {"probability": 0.5, "latency_ms": [1, 2], "retry_after": 1}),
    ("POST", "faults", [{"path": "*", "statuses": [500, 200], "message": "x", "type": "y"}]),
    ("POST", "verify", {"operation": "GetActiveUsers", "parameters": {"a": 1}, "times": 0}),
    (
        "POST",
        "verify",
        {"method": "PUT", "body": {"a": [1]}, "times": {"at_least": 0, "at_most": 1}},
    ),
]


@dataclass(frozen=True)
class Target:
    """Inputs, and a check: it raises what is wrong, and tells whether the input was read."""

    inputs: st.SearchStrategy[Any]
    check: Callable[[Subject, Any], bool]


def lines(documents: list[Any]) -> bytes:
    return "\n".join(map(dumped, documents)).encode()


def a_list(documents: list[Any]) -> bytes:
    return f"[{','.join(map(dumped, documents))}]".encode()


def one_behind_the_other(documents: list[Any]) -> bytes:
    return "".join(map(dumped, documents)).encode()


def text(valid: Any) -> st.SearchStrategy[bytes]:
    """Make texts of a document that is nearly the valid one."""
    return changed(valid).map(lambda some: dumped(some).encode()).flatmap(sometimes_damaged)


def texts(valid: list[Any], *forms: Callable[[list[Any]], bytes]) -> st.SearchStrategy[bytes]:
    """Make texts of a few documents that are nearly valid ones."""
    documents = st.lists(st.sampled_from(valid).flatmap(changed), max_size=3)
    made = st.builds(lambda form, some: form(some), st.sampled_from(forms), documents)
    return made.flatmap(sometimes_damaged)


def posted(feed: str) -> Target:
    operation, valid = FEEDS[feed]
    method, path, _ = WRITES[operation]
    bodies = {"application/json": texts(valid, a_list)}
    if feed == "events":
        bodies["application/x-ndjson"] = texts(valid, lines)

    @st.composite
    def requests(draw: st.DrawFn) -> Sent:
        type_ = draw(st.sampled_from([*bodies]))
        query = draw(st.sampled_from(["", "", "all_or_nothing=true", "all_or_nothing=x"]))
        return Sent(method, BASE + path, draw(bodies[type_]), query, {"CONTENT_TYPE": type_})

    return Target(requests(), partial(post_twice, feed))


def imported(feed: str) -> Target:
    _, valid = FEEDS[feed]
    return Target(texts(valid, a_list, lines, one_behind_the_other), partial(import_twice, feed))


def exported() -> Target:
    with_head = st.builds(b"\n".join, st.tuples(texts([HEAD], lines), texts(EXPORTED, lines)))
    tables = st.sampled_from(CSV).flatmap(sometimes_damaged)
    return Target(with_head | tables, partial(import_twice, "export"))


def packed(data: bytes) -> list[tuple[bytes, str]]:
    """Pack a body in some ways, and name that or another one."""
    one = gzip.compress(data, mtime=0)
    return [
        (one, "gzip"),
        (one, "GZIP "),
        (one, "deflate"),
        (one, "identity"),
        (one + one, "gzip"),
        (one + bytes(100), "gzip"),
        (gzip.compress(one, mtime=0), "gzip"),
        (zlib.compress(data), "gzip"),
        (zlib.compress(data), "deflate"),
        (data, "gzip"),
        (data, ""),
        (BOMB, "gzip"),
    ]


@st.composite
def puts(draw: st.DrawFn) -> Sent:
    method, path, valid = WRITES[draw(st.sampled_from(PUTS))]
    data, encoding = draw(st.sampled_from(packed(draw(text(valid)))))
    type_ = draw(st.just("application/json") | st.text(LATIN_1, max_size=3))
    headers = {"HTTP_CONTENT_ENCODING": encoding, "CONTENT_TYPE": type_}
    return Sent(method, BASE + path, draw(sometimes_damaged(data)), headers=headers)


@st.composite
def gets(draw: st.DrawFn) -> Sent:
    path = draw(st.sampled_from([*READS]))
    values = draw(changed(READS[path]))
    pairs = [*values.items()] if isinstance(values, dict) else [("type", values)]
    query = draw(sometimes_damaged(urlencode(pairs, errors="replace").encode()))
    return Sent("GET", BASE + path, query=query.decode("latin-1"))


@st.composite
def controls(draw: st.DrawFn) -> Sent:
    method, path, valid = draw(st.sampled_from(CONTROLS))
    return Sent(method, f"{CONTROL}/{path}", draw(text(valid)))


def damaged_ones(*valid: str) -> st.SearchStrategy[bytes]:
    return st.sampled_from(valid).map(str.encode).flatmap(sometimes_damaged)


URLS = [
    *(f"{BASE}{path}?{urlencode(query)}" for path, query in READS.items()),
    f"{BASE}/users/a%2Fb%3F%20%E3%81%82/behavior-histories?",
    f"http://localhost{ASKED}",
    ASKED,
    "/healthz",
    "/openapi.json",
    "/docs/",
    "*",
]

TARGETS = {
    "Authorization header": Target(damaged_ones(f"Bearer {TOKEN}", SIGNED), authorize),
    "request target": Target(damaged_ones(*URLS), ask_raw),
    "query parameters": Target(gets(), ask_twice),
    "packed bodies": Target(puts(), ask_twice),
    "events": posted("events"),
    "EventBridge events": posted("eventbridge"),
    "Apilog pages": posted("apilog"),
    "files of events": imported("events"),
    "files of EventBridge events": imported("eventbridge"),
    "files of Apilog pages": imported("apilog"),
    "exports": exported(),
    "control of a double": Target(controls(), control),
}
