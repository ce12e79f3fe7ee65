"""How many calls get a response from a double that follows the contract."""

import http.client
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .data import DAY
from .doubles import ACTIVE_USERS, NUMBER, make_mocks, make_ours, started
from .measuring import write
from .processes import BASE

TODAY = int(time.time()) // DAY * DAY
HISTORIES = [{"timestamp": TODAY, "referer": "/home"}, {"timestamp": TODAY, "referer": "/home"}]
BEHAVIOR_DAY = {"user_id": "ann", "timestamp": TODAY, "histories": HISTORIES}
PAGES = f"{BASE}/metrics/page-statistics"
DAILY = f"{ACTIVE_USERS}?type=daily"
FROM = f"{DAILY}&date_from=2026-05-13"

SEED = [
    {"type": "userinfo", "timestamp": TODAY, "user_id": "ann", "tenant_id": tenant_id}
    for tenant_id in ("a", "b")
]


@dataclass(frozen=True)
class Answer:
    """The response to a call."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def document(self) -> Any:
        """Return the body as JSON; None if it is not JSON or its content type is not."""
        if self.headers.get_content_type() != "application/json":
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Caller:
    """Calls a server, with a key if one is given."""

    def __init__(self, url: str, key: str | None = "Bearer t") -> None:
        self.url = url
        self._headers = {"Authorization": key} if key else {}

    def __call__(self, method: str, path: str, body: object = None) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = self._headers | ({"Content-Type": "application/json"} if content else {})
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


def run(folder: Path) -> None:
    """Count for our double and for mocks of the same API."""
    ours = make_ours("--auth", "required", "--seed", json.dumps(SEED))
    found = {}
    for peer in [ours, *make_mocks(folder, keys=True)]:
        with started(peer) as (url, _):
            found[peer.name] = [holds(Caller(url)) for holds in CALLS.values()]
    rows = [
        [call, *("yes" if holds else "no" for holds in held)]
        for call, held in zip(CALLS, zip(*found.values(), strict=True), strict=True)
    ]
    rows.append([f"of {len(CALLS)}", *(str(sum(holds)) for holds in found.values())])
    write("double", "Fidelity of a double", ABOUT, ["call", *found], rows)


ABOUT = """
Which calls get a response that follows the API's contract: the status, the body if the contract
fixes it, and for an error `application/json` with the right `type` and a `message`. The mocks have
a description of the 8 official operations with an example for every response and every error, and
WireMock has a stub with the same example for each operation. No rules were written for them by
hand. connexion's mock refuses every key, so its description requires none. moto's server is left
out, since it has another API.
"""


def _put_is_silent(call: Caller) -> bool:
    answer = call("PUT", ACTIVE_USERS, NUMBER)
    return answer.status == 200 and "json" not in answer.headers.get("Content-Type", "")


def _number_is_kept(call: Caller) -> bool:
    call("PUT", ACTIVE_USERS, NUMBER)
    row = {name: value for name, value in NUMBER.items() if name != "type"}
    return _is_200(call("GET", f"{FROM}&date_to=2026-05-13&tenant_id=acme"), {"data": [row]})


def _day_is_kept(call: Caller) -> bool:
    call("PUT", f"{BASE}/user-behavior-day", BEHAVIOR_DAY)
    kept = {"histories": [{"behaved_at": TODAY, "histories": HISTORIES}]}
    return _is_200(call("GET", f"{BASE}/users/ann/behavior-histories"), kept)


def _is_200(answer: Answer, document: object) -> bool:
    return answer.status == 200 and answer.document() == document


def _takes_tenants(query: str, call: Caller) -> bool:
    answer = call(
        "GET", f"{BASE}/userinfo/aggregated?start_date=2026-01-01&end_date=2099-12-31&{query}"
    )
    match answer.document():
        case {"metrics": [*metrics]} if answer.status == 200:
            return all(map(_is_metric, metrics))
    return False


def _is_metric(metric: object) -> bool:
    match metric:
        case {"date": str(date), "details": {**details}}:
            counts = all(type(count) is int for count in details.values())
            return counts and re.fullmatch(r"\d{4}-\d\d-\d\d", date) is not None
    return False


def _refuses(
    method: str,
    path: str,
    body: object = None,
    status: int = 400,
    type_: str = "invalid_request",
    header: str = "Content-Type",
) -> Callable[[Caller], bool]:
    def holds(call: Caller) -> bool:
        answer = call(method, path, body)
        match answer.document():
            case {"type": str(told), "message": str()}:
                return (answer.status, told) == (status, type_) and header in answer.headers
        return False

    return holds


def _refuses_no_key(call: Caller) -> bool:
    refuses = _refuses("GET", FROM, None, 401, "unauthorized", "WWW-Authenticate")
    return refuses(Caller(call.url, key=None))


_OUTSIDE = BEHAVIOR_DAY | {"histories": [{"timestamp": TODAY - 1, "referer": "/home"}]}
_MISSING = {name: value for name, value in NUMBER.items() if name != "active_users"}

CALLS: dict[str, Callable[[Caller], bool]] = {
    "a `PUT` does not claim to return JSON": _put_is_silent,
    "a number is returned after its `PUT`": _number_is_kept,
    "a day is returned after its `PUT`": _day_is_kept,
    "`tenant_ids=a,b`": partial(_takes_tenants, "tenant_ids=a,b"),
    "`tenant_ids=a&tenant_ids=b`": partial(_takes_tenants, "tenant_ids=a&tenant_ids=b"),
    "400: unknown `type`": _refuses("GET", f"{ACTIVE_USERS}?type=weekly&date_from=2026-05-13"),
    "400: no `date_from`": _refuses("GET", DAILY),
    "400: a date that does not exist": _refuses("GET", f"{DAILY}&date_from=2026-02-30"),
    "400: `date_from` after `date_to`": _refuses("GET", f"{FROM}&date_to=2026-05-12"),
    "400: `env_id` without `tenant_id`": _refuses("GET", f"{FROM}&env_id=3"),
    "400: a timestamp of 13 digits": _refuses(
        "GET", f"{PAGES}?start_timestamp=1779157378000&end_timestamp=1779157379000"
    ),
    "400: a body that is not JSON": _refuses("PUT", ACTIVE_USERS, b"{"),
    "400: a field is missing": _refuses("PUT", ACTIVE_USERS, _MISSING),
    "400: negative `active_users`": _refuses("PUT", ACTIVE_USERS, NUMBER | {"active_users": -1}),
    "400: an entry outside the day": _refuses("PUT", f"{BASE}/user-behavior-day", _OUTSIDE),
    "400: `start_timestamp` after `end_timestamp`": _refuses(
        "GET", f"{PAGES}?start_timestamp=1779157379&end_timestamp=1779157378"
    ),
    "404: unknown path": _refuses("GET", f"{BASE}/unknown", None, 404, "not_found"),
    "405: wrong method": _refuses("DELETE", ACTIVE_USERS, None, 405, "method_not_allowed", "Allow"),
    "401: no key": _refuses_no_key,
}
