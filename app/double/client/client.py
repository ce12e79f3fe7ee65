"""The Python client: `with double() as d:` for a double in this process or in another one."""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ...web.browser_security import IN_PROCESS
from ...web.openapi import BASE_PATH
from .. import application
from ..middleware import CONTROL, NAMESPACE
from ..namespaces import DEFAULT
from ..schemas import NAME, is_name
from .processes import DoubleError, Local, Process, Remote, namespace_in
from .wsgi_call import Answer, WSGIApplication

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter


class Double:
    """One namespace of a double, as tests control and query it.

    Calls of these methods are not in the journal, and faults do not apply to them: both are for the
    code under test. Each method raises DoubleError if the control API refuses a request.
    """

    def __init__(self, process: "Process", name: str) -> None:
        if not is_name(name):
            raise DoubleError(f"the namespace {name!r} must match {NAME}")
        self._process = process
        self.name = name
        self.clock = DoubleClock(self)

    @property
    def url(self) -> str:
        """The URL of this namespace for clients. A double in this process starts to listen now."""
        return f"{self._process.url}/ns/{self.name}"

    @property
    def base_url(self) -> str:
        """The URL to which the paths of operations are appended."""
        return self.url + BASE_PATH

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment variables of the official clients, with values for this namespace."""
        key = {
            "SAASUS_SAAS_ID": "double",
            "SAASUS_API_KEY": f"ns-{self.name}",
            "SAASUS_SECRET_KEY": secrets.token_hex(16),
        }
        if self._process.is_strict:
            name = f"environment of {self.name} {secrets.token_hex(4)}"
            key = self.create_key(name, kind="signature")
        return {
            "SAASUS_BASE_URL": f"{self.url}/v1",
            **key,
            "SAASUS_PLATFORM_API_URL_BASE": self._process.url,
            "SAASUS_PLATFORM_SAASID": key["SAASUS_SAAS_ID"],
            "SAASUS_PLATFORM_APIKEY": key["SAASUS_API_KEY"],
            "SAASUS_PLATFORM_SECRETKEY": key["SAASUS_SECRET_KEY"],
        }

    @property
    def wsgi(self) -> WSGIApplication:
        """The namespace as a WSGI application. Raises DoubleError for a double in another process.

        A call without REMOTE_ADDR counts as one from this machine, and any `Host` is accepted.
        """
        app = self._process.app

        def in_namespace(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ = {"REMOTE_ADDR": "127.0.0.1", **environ, NAMESPACE: self.name}
            environ[IN_PROCESS] = True
            return app(environ, start_response)

        return in_namespace

    def httpx_transport(self) -> Any:
        """Return a transport for `httpx.Client` and `httpx.AsyncClient`, without a socket."""
        from .transports import make_httpx_transport  # the clients are extras

        return make_httpx_transport(self.wsgi)

    def requests_adapter(self) -> "BaseAdapter":
        """Return an adapter to mount in a `requests.Session`, without a socket."""
        from .transports import make_requests_adapter  # the clients are extras

        return make_requests_adapter(self.wsgi)

    def put_active_users(
        self, type: str, date: str, tenant_id: str, env_id: int, active_users: int
    ) -> None:
        """Set the number of active users of a date, as `PUT /active-users` does."""
        record = {"type": type, "date": date, "tenant_id": tenant_id}
        self.add({"active_users": [{**record, "env_id": env_id, "active_users": active_users}]})

    def put_histories(
        self, user_id: str, timestamp: int, histories: Iterable[Mapping[str, Any]]
    ) -> None:
        """Replace the histories of a user on a day, as `PUT /user-behavior-day` does."""
        record = {"user_id": user_id, "timestamp": timestamp, "histories": list(histories)}
        self.add({"histories": [record]})

    def events(self, *events: Mapping[str, Any]) -> None:
        """Add events in the format of `POST /ingest/events`."""
        self.add({"events": list(events)})

    def add(self, state: Any) -> None:
        """Add a state or a list of events to the existing data."""
        self.control("POST", "/state", state)

    @property
    def state(self) -> dict[str, Any]:
        """All data as one document; see `schemas.State`."""
        state: dict[str, Any] = self.control("GET", "/state")
        return state

    def save_state(self, path: Path) -> None:
        """Write the state to a file, with a line for each record, for version control."""
        path.write_bytes(_checked(self._send("GET", "/state")).body)

    def set_state(self, state: Any) -> None:
        """Replace all data by a state, a list of events, or the content of a file (a Path)."""
        self.control("PUT", "/state", _document(state))

    def seed(self, state: Any, *, frozen_at: int | str | datetime | None = None) -> None:
        """Set the seed to a state, a list of events, or the content of a file; reset to it.

        With `frozen_at`, the clock of the seed is frozen at that time, whatever the state says.
        """
        document = _document(state)
        if frozen_at is not None:
            document = {"events": document} if isinstance(document, list) else dict(document)
            document["clock"] = {"mode": "frozen", "at": _instant(frozen_at)}
        self.control("PUT", "/seed", document)

    def reset(self) -> None:
        """Restore the seed, remove all faults, and clear the journal."""
        self.control("POST", "/reset")

    def snapshot(self, name: str = "snapshot") -> None:
        """Save all data as a snapshot."""
        self.control("POST", f"/snapshots/{quote(name, safe='')}")

    def restore(self, name: str = "snapshot") -> None:
        """Restore all data from a snapshot."""
        self.control("POST", f"/snapshots/{quote(name, safe='')}/restore")

    def delete_snapshot(self, name: str = "snapshot") -> None:
        """Delete a snapshot."""
        self.control("DELETE", f"/snapshots/{quote(name, safe='')}")

    def fail(self, operation: str, *statuses: int, **rule: Any) -> int:
        """Add a fault for an operation, or for a path if it begins with / or *; return its id.

        A single status applies to all requests, or to as many as `times` says; several statuses
        apply to one request each, in turn; without a status, give `latency_ms` or `connection`. See
        `schemas.Fault` for all parameters of a rule.
        """
        place = "path" if operation.startswith(("/", "*")) else "operation"
        if len(statuses) == 1:
            rule["status"] = statuses[0]
        elif statuses:
            rule["statuses"] = list(statuses)
        answer = self.control("POST", "/faults", {place: operation, **rule})
        return int(answer["faults"][0]["id"])

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults, with the number of times each was applied."""
        faults: list[dict[str, Any]] = self.control("GET", "/faults")["faults"]
        return faults

    def remove_fault(self, id_: int) -> None:
        """Remove a fault by the id that `fail` returned."""
        self.control("DELETE", f"/faults/{id_}")

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.control("DELETE", "/faults")

    def requests(self, **filters: Any) -> list[dict[str, Any]]:
        """Return the requests in the journal, oldest first.

        Filters: operation, user_id, tenant_id, status, since, after.
        """
        path = f"/requests?{urlencode(filters)}"
        requests: list[dict[str, Any]] = self.control("GET", path)["requests"]
        return requests

    def count(self, **filters: Any) -> int:
        """Return the number of requests in the journal; filters are those of `requests`."""
        return int(self.control("GET", f"/requests/count?{urlencode(filters)}")["count"])

    def clear_requests(self) -> None:
        """Clear the journal."""
        self.control("DELETE", "/requests")

    def verify(self, operation: str | None = None, **expected: Any) -> None:
        """Raise AssertionError, which names the most similar request, unless one matches.

        Besides the operation, `expected` can have method, path, parameters, body, status, and times
        (a number, or a range such as `{"at_least": 1, "at_most": 3}`).
        """
        if operation is not None:
            expected["operation"] = operation
        answer = self._send("POST", "/verify", expected)
        if answer.status == 409:
            raise AssertionError(_message(answer))
        _checked(answer)

    def create_key(self, name: str, **options: Any) -> dict[str, str]:
        """Create a key, for a double that checks keys; options are kind and scopes."""
        key: dict[str, str] = self.control("POST", "/keys", {"name": name, **options})
        return key

    def namespace(self, name: str) -> "Double":
        """Return another namespace of the same process."""
        return Double(self._process, name)

    def delete(self) -> None:
        """Delete this namespace; if it is used again, it starts from the seed of the process."""
        self._process.send("DELETE", f"{CONTROL}/namespaces/{self.name}")

    def control(self, method: str, path: str, document: Any = None) -> Any:
        """Call the control API for this namespace; return the parsed response, or None."""
        body = _checked(self._send(method, path, document)).body
        return json.loads(body) if body else None

    def _send(self, method: str, path: str, document: Any = None) -> Answer:
        body = b"" if document is None else json.dumps(document).encode()
        return self._process.send(method, f"/ns/{self.name}{CONTROL}{path}", body)


class DoubleClock:
    """The clock of a namespace."""

    def __init__(self, double: Double) -> None:
        self._double = double

    def freeze(self, at: int | str | datetime) -> None:
        """Stop the clock at UNIX seconds, a text such as 2026-05-19T02:22:58Z, or a datetime."""
        self._put(mode="frozen", at=_instant(at))

    def move(self, by: int | timedelta) -> None:
        """Move the clock forward, or back if negative, by seconds; a frozen one stays frozen."""
        self._put(move=_seconds(by))

    def run(self, offset: int | timedelta) -> None:
        """Let the clock run with an offset, in seconds, from the real time."""
        self._put(mode="offset", offset=_seconds(offset))

    def real(self) -> None:
        """Let the clock show the real time."""
        self._put(mode="real")

    def now(self) -> int:
        """Return the time of the clock in UNIX seconds."""
        return int(self._double.control("GET", "/clock")["now"])

    def _put(self, **document: Any) -> None:
        self._double.control("PUT", "/clock", document)


@contextmanager
def double(
    *,
    seed: Any = None,
    at: str | None = None,
    namespace: str = DEFAULT,
    **settings: object,
) -> Iterator[Double]:
    """Yield a double: a new one in this process, or a namespace of the one at the URL `at`.

    The seed is a state, a list of events, or the Path of a file with one of them. Settings are
    those of `config.Settings`; only a new double takes them, and it does not read the environment.
    The URL may include a namespace. Raises StartError if the seed or a setting is invalid, and
    DoubleError if the URL is.
    """
    if at is not None:
        if settings:
            raise DoubleError(
                f"{next(iter(settings))}: can be set for a new double, not for one that is running"
            )
        remote = Double(Remote(at), namespace_in(at) or namespace)
        if seed is not None:
            remote.seed(seed)
        yield remote
        return
    with Local(seed, settings) as process:
        yield Double(process, namespace)


def _checked(answer: Answer) -> Answer:
    if answer.status != 200:
        raise DoubleError(_message(answer))
    return answer


def _message(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status} {answer.reason}, which is not a response of a double"


def _document(state: Any) -> Any:
    return application.read_seed(str(state)) if isinstance(state, Path) else state


def _instant(at: int | str | datetime) -> int | str:
    return at.isoformat() if isinstance(at, datetime) else at


def _seconds(time: int | timedelta) -> int:
    return int(time.total_seconds()) if isinstance(time, timedelta) else time
