"""Every setting: its name, default, unit and meaning.

The setting `time_zone` is given as `create_app(time_zone=…)` or, for a process, as the environment
variable `ANALYSIS_TIME_ZONE`; the keyword takes precedence. The three `saasus_…` settings are read
from the variables that the official SDKs read: `SAASUS_SAAS_ID`, `SAASUS_API_KEY` and
`SAASUS_SECRET_KEY`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from . import config_values as values
from .errors import StartError

PREFIX = "ANALYSIS_"

SERVICE_VARIABLES = {
    r"ANALYSIS(_.+)?_SERVICE_HOST": r".+",
    r"ANALYSIS(_.+)?_SERVICE_PORT(_.+)?": r"[0-9]+",
    r"ANALYSIS(_.+)?_PORT": r"(tcp|udp|sctp)://.+",
    r"ANALYSIS(_.+)?_PORT_[0-9]+_(TCP|UDP|SCTP)(_START|_END)?": r"(tcp|udp|sctp)://.+",
    r"ANALYSIS(_.+)?_PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|ADDR|PORT)(_START|_END)?": r".+",
    r"ANALYSIS(_.+)?_NAME": r"/[^/]+/[^/]+",
}
"""Variables that Kubernetes and Docker set, which are not settings: name pattern to value pattern.

Kubernetes sets them for a Service named `analysis` or `analysis-…`, and Docker for a linked
container of such a name. Docker also passes on the linked container's own variables, as
`NAME_ENV_…`.
"""


def _setting(default: Any, parse: Callable[[object], Any], unit: str, meaning: str) -> Any:
    return field(default=default, metadata={"parse": parse, "unit": unit, "meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one application."""

    database: Path = _setting(
        Path("analysis.db"),
        values.path,
        "path",
        "The SQLite file. If it is missing, it is created with mode 0600.",
    )
    time_zone: str | None = _setting(
        None,
        values.time_zone,
        "IANA name",
        "Time zone of days and months. Fixed when the database is created (UTC unless set); the "
        "server does not start with a different one.",
    )
    auth: bool = _setting(
        True,
        values.switch,
        "on, off",
        "Require a key. Off: only loopback clients are answered, and no pages of other sites.",
    )
    host: str = _setting("127.0.0.1", str, "address", "Where `serve` listens.")
    port: int = _setting(
        8000, values.number(0, 65535), "port", "Where `serve` listens; 0: any free port."
    )
    threads: int = _setting(
        8, values.number(1, 512), "threads", "How many requests `serve` handles at once."
    )
    queue: int = _setting(
        500,
        values.number(0, 100_000),
        "requests",
        "How many requests may wait for a thread of `serve`; further requests get a 503.",
    )
    receive_seconds: int = _setting(
        60,
        values.number(1, 3600),
        "seconds",
        "How long a request may take to arrive completely before its connection is closed.",
    )
    send_seconds: int = _setting(
        60,
        values.number(1, 3600),
        "seconds",
        "How long a client may read nothing of a response that is waiting for it before its "
        "connection is closed.",
    )
    max_buffered: int = _setting(
        64 * 1024 * 1024,
        values.number(1024 * 1024, 2**40),
        "bytes",
        "How many bytes of bodies and responses `serve` holds in total. Above that, large bodies "
        "wait in their sockets, and clients that do not read their responses are disconnected.",
    )
    allow_from: tuple[values.Network, ...] | None = _setting(
        None,
        values.networks,
        "networks",
        "Addresses and networks whose clients are answered, separated by commas; others get a 403. "
        "Unset: all clients are answered. The health checks always answer all clients.",
    )
    rate_limit: str | None = _setting(
        None,
        values.rate,
        "rate",
        "How many requests to operations each key may send, such as `600/minute` or "
        "`10/second;5000/hour`; further requests get a 429. Without keys, the limit is for each "
        "address.",
    )
    failed_keys: str | None = _setting(
        "60/minute",
        values.rate,
        "rate",
        "How many wrong keys are checked from one address. Beyond that, keys that have not been "
        "accepted from that address before get a 429. `off`: all keys are checked.",
    )
    proxies: int = _setting(
        0,
        values.number(0, 16),
        "proxies",
        "How many proxies stand in front of this server. The client's address is the entry at that "
        "position from the end of `X-Forwarded-For`; `X-Forwarded-Proto`, `X-Forwarded-Host` and "
        "`X-Forwarded-Prefix` give the URL that it requested. 0: these headers are ignored.",
    )
    prefix: str | None = _setting(
        None,
        values.prefix,
        "path",
        "The path, such as `/analytics`, under which a proxy serves this server; the proxy may "
        "pass it on or remove it. `X-Forwarded-Prefix` is then ignored.",
    )
    hosts: tuple[str, ...] | None = _setting(
        None,
        values.hosts,
        "names",
        "Names and addresses of this server that `Host` may hold when no key is required, in "
        "addition to localhost and loopback addresses; separated by commas.",
    )
    cors_origins: tuple[str, ...] | None = _setting(
        None,
        values.origins,
        "origins",
        "Origins whose pages may call the API from a browser, separated by commas; with a double, "
        "the control API as well.",
    )
    dashboard: bool = _setting(
        True, values.switch, "on, off", "Serve the pages under `/dashboard`."
    )
    session_hours: int = _setting(
        12,
        values.number(1, 8760),
        "hours",
        "How long a user who signs in to the dashboard stays signed in.",
    )
    frame_origins: tuple[str, ...] | None = _setting(
        None,
        values.origins,
        "origins",
        "Origins whose pages may show the dashboard in a frame, by a link; separated by commas.",
    )
    log_format: str = _setting(
        "text",
        values.one_of("text", "json"),
        "word",
        "Format of the log: lines for people, or JSON objects.",
    )
    metrics: str = _setting(
        "loopback",
        values.one_of("off", "loopback", "key"),
        "word",
        "Who may read `/metrics`, which is for Prometheus: nobody, clients on this machine, or "
        "clients with a key of scope read.",
    )
    drain_seconds: int = _setting(
        30,
        values.number(0, 3600),
        "seconds",
        "How long `serve` lets requests finish when it is stopped.",
    )
    max_body: int = _setting(
        16 * 1024 * 1024,
        values.number(1024, 1024**3),
        "bytes",
        "The largest request body, both as sent and unpacked.",
    )
    max_header: int = _setting(
        256 * 1024,
        values.number(1024, 1024**2),
        "bytes",
        "The largest total size of the request line (which holds the URL) and headers for `serve`.",
    )
    max_records: int = _setting(
        200_000,
        values.number(1, 10_000_000),
        "records",
        "The most events, logs or histories in one request.",
    )
    body_memory: int = _setting(
        320 * 1024 * 1024,
        values.number(1024**2, 1024**4),
        "bytes",
        "The memory that the bodies of all requests may take at once, unpacked and parsed. It "
        "should be 20 times the largest body. A body that needs more than this gets a 413; one "
        "that needs more than other requests leave free gets a 503.",
    )
    keep_query: bool | None = _setting(
        None,
        values.optional_switch,
        "on, off",
        "Page statistics: count pages with their query and fragment. Fixed when the database is "
        "created (off unless set); `summaries rebuild` changes it.",
    )
    collapse_ids: bool | None = _setting(
        None,
        values.optional_switch,
        "on, off",
        "Page statistics: count a path segment that is a UUID or a number as `{id}`. Fixed and "
        "changed like `keep_query`.",
    )
    synchronous: str = _setting(
        "full",
        values.one_of("full", "normal", "off"),
        "SQLite word",
        "`full`: writes that were confirmed survive a power cut. `normal`: they survive a crash of "
        "the process. `off`: for throw-away data.",
    )
    busy_seconds: int = _setting(
        5,
        values.number(0, 600),
        "seconds",
        "How long a write waits while another process locks the database; then it gets a 503.",
    )
    accept_ahead: int = _setting(
        1,
        values.number(0, 3_000_000),
        "days",
        "How far ahead of this server's clock the times of events and histories may be; later ones "
        "are refused.",
    )
    accept_from: date | None = _setting(
        None,
        values.optional_date,
        "YYYY-MM-DD",
        "The first day for which data are accepted; earlier data are refused. Unset: any day.",
    )
    keep_histories: int | None = _setting(
        None,
        values.days,
        "days",
        "How many days before today histories are kept, and the record of which users were active; "
        "`prune` and `serve` delete older ones. Unset: all are kept.",
    )
    keep_page_statistics: int | None = _setting(
        None,
        values.days,
        "days",
        "How many days before today hourly page statistics are kept, after histories are deleted.",
    )
    keep_counts: int | None = _setting(
        None,
        values.days,
        "days",
        "How many days before today the counts of calls, creations and active users are kept.",
    )
    keep_event_ids: int | None = _setting(
        None,
        values.days,
        "days",
        "How many days before today event ids are kept; they are needed to detect duplicates.",
    )
    prune_days: int = _setting(
        3,
        values.number(1, 36_500),
        "days",
        "How many days of data `serve` deletes per day at most; it deletes the rest on the days "
        "that follow, and `prune` deletes it at once.",
    )
    double_seed: str | None = _setting(
        None,
        values.seed,
        "path or JSON",
        "`double`: what each namespace starts with and is reset to: a state or a list of events.",
    )
    double_auth: str = _setting(
        "any",
        values.one_of("any", "required", "strict"),
        "word",
        "`double`: `any`: no key is needed, and any well-formed key is accepted. `required`: a key "
        "must be sent. `strict`: the key is checked.",
    )
    double_remote: bool = _setting(
        False,
        values.switch,
        "on, off",
        "`double`: also answer clients on other machines, who can then read and change everything.",
    )
    double_namespaces: int = _setting(
        1000,
        values.number(1, 1_000_000),
        "namespaces",
        "`double`: how many namespaces there can be at once.",
    )
    saasus_saas_id: str | None = _setting(
        None,
        values.optional_text,
        "text",
        "SaaS id of a signature key that the environment defines.",
    )
    saasus_api_key: str | None = _setting(
        None, values.optional_text, "text", "API key of that signature key."
    )
    saasus_secret_key: str | None = field(
        default=None,
        repr=False,
        metadata={
            "parse": values.optional_text,
            "unit": "text",
            "meaning": "Secret key of that signature key.",
        },
    )

    def __post_init__(self) -> None:
        given = (self.saasus_saas_id, self.saasus_api_key, self.saasus_secret_key)
        if any(given) and not all(given):
            raise StartError(
                "SAASUS_SAAS_ID, SAASUS_API_KEY and SAASUS_SECRET_KEY must be set together"
            )
        if (self.keep_page_statistics or self.keep_histories or 0) < (self.keep_histories or 0) or (
            self.keep_page_statistics and not self.keep_histories
        ):
            raise StartError(
                "keep_page_statistics needs keep_histories, and must not be less: it keeps page "
                "statistics of days whose histories are deleted"
            )


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return name.upper() if name.startswith("saasus_") else PREFIX + name.upper()


def load_settings(given: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Return the settings, from keywords or else from the environment.

    Ignores `service_variables`. Raises StartError, naming the setting, if a setting is unknown or
    its value cannot be used.
    """
    known = {setting.name: setting for setting in fields(Settings)}
    variables = {variable(name): name for name in known}
    passed_over = service_variables(environment)
    environment = {name: value for name, value in environment.items() if name not in passed_over}
    for name in given:
        _refuse_unknown(name, known)
    for name in environment:
        if name.startswith(PREFIX):
            _refuse_unknown(name, variables)
    read: dict[str, object] = {}
    for name, setting in known.items():
        if name in given:
            source, value = name, given[name]
        elif variable(name) in environment:
            source, value = variable(name), environment[variable(name)]
        else:
            continue
        try:
            read[name] = setting.metadata["parse"](value)
        except ValueError as error:
            raise StartError(f"{source}: {error}") from None
    return Settings(**read)  # type: ignore[arg-type]


def service_variables(environment: Mapping[str, str]) -> list[str]:
    """Return the names of variables that look like settings but that Kubernetes or Docker set."""
    ours = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    found = {
        name
        for name, value in ours.items()
        for pattern, expected in SERVICE_VARIABLES.items()
        if re.fullmatch(pattern, name) and re.fullmatch(expected, value)
    }
    links = [name.removesuffix("NAME") for name in found if name.endswith("_NAME")]
    found |= {name for name in ours for link in links if name.startswith(f"{link}ENV_")}
    return sorted(found)


def _refuse_unknown(name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"settings are {', '.join(sorted(known))}"
        raise StartError(f"{name} is not a setting; {hint}")
