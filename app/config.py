"""Every setting: its name, default, unit and meaning.

A setting `time_zone` is given as `create_app(time_zone=…)` or, for a process, as the environment
variable `ANALYSIS_TIME_ZONE`; a keyword wins. The three `saasus_…` settings are read from the
variables that the official SDKs read, `SAASUS_SAAS_ID` and its siblings.
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
"""What Kubernetes tells each process of a Service named `analysis` or `analysis-…`, and Docker of a
linked container: patterns of names, and of values, by which they differ from settings. Docker tells
the container's own variables as `NAME_ENV_…` as well."""


def _setting(default: Any, parse: Callable[[object], Any], unit: str, meaning: str) -> Any:
    return field(default=default, metadata={"parse": parse, "unit": unit, "meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one application."""

    database: Path = _setting(
        Path("analysis.db"),
        values.path,
        "path",
        "The SQLite file; made with mode 0600 if it is missing.",
    )
    time_zone: str | None = _setting(
        None,
        values.time_zone,
        "IANA name",
        "Time zone of days and months. Fixed when the database is made (then UTC unless set); "
        "a start with another one is refused.",
    )
    auth: bool = _setting(
        True,
        values.switch,
        "on, off",
        "Ask for a key. Off: only clients on loopback are answered, and no pages of other sites.",
    )
    host: str = _setting("127.0.0.1", str, "address", "Where `serve` listens.")
    port: int = _setting(
        8000, values.number(0, 65535), "port", "Where `serve` listens; 0: any free one."
    )
    threads: int = _setting(
        8, values.number(1, 512), "threads", "Requests that `serve` works on at once."
    )
    queue: int = _setting(
        500,
        values.number(0, 100_000),
        "requests",
        "How many requests wait for a thread of `serve`; those that come beyond it get a 503.",
    )
    receive_seconds: int = _setting(
        60,
        values.number(1, 3600),
        "seconds",
        "How long a request may take to come in whole; then its connection is closed.",
    )
    send_seconds: int = _setting(
        60,
        values.number(1, 3600),
        "seconds",
        "How long a client may take nothing of an answer that waits for it; then its connection is "
        "closed.",
    )
    max_buffered: int = _setting(
        64 * 1024 * 1024,
        values.number(1024 * 1024, 2**40),
        "bytes",
        "How much `serve` holds of all bodies and answers together. Above it, large bodies wait in "
        "their sockets, and clients that do not read their answers are disconnected.",
    )
    allow_from: tuple[values.Network, ...] | None = _setting(
        None,
        values.networks,
        "networks",
        "Addresses and networks whose clients are answered, with commas between them; others get a "
        "403. Without it: all. The health checks answer all.",
    )
    rate_limit: str | None = _setting(
        None,
        values.rate,
        "rate",
        "How many requests to operations each key may send, such as `600/minute` or "
        "`10/second;5000/hour`; those beyond it get a 429. Without keys: each address.",
    )
    failed_keys: str | None = _setting(
        "60/minute",
        values.rate,
        "rate",
        "How many wrong keys are looked at from one address; beyond it, keys that were not right "
        "there get a 429. `off`: all are looked at.",
    )
    proxies: int = _setting(
        0,
        values.number(0, 16),
        "proxies",
        "How many proxies stand before this server: the client's address is taken so far from the "
        "end of `X-Forwarded-For`, and `X-Forwarded-Proto`, `X-Forwarded-Host` and "
        "`X-Forwarded-Prefix` tell what it asked for. 0: the headers are not looked at.",
    )
    prefix: str | None = _setting(
        None,
        values.prefix,
        "path",
        "The path, such as `/analytics`, under which a proxy serves this server; the proxy may "
        "pass it on or take it away. `X-Forwarded-Prefix` is not looked at then.",
    )
    hosts: tuple[str, ...] | None = _setting(
        None,
        values.hosts,
        "names",
        "Names and addresses of this server that a request may have in `Host` where no key is "
        "asked for, beside localhost and loopback addresses; with commas between them.",
    )
    cors_origins: tuple[str, ...] | None = _setting(
        None,
        values.origins,
        "origins",
        "Origins whose pages may call the API from a browser, with commas between them; of a "
        "double, the control API as well.",
    )
    dashboard: bool = _setting(
        True, values.switch, "on, off", "Serve the pages under `/dashboard`."
    )
    session_hours: int = _setting(
        12,
        values.number(1, 8760),
        "hours",
        "How long somebody who signs in to the dashboard stays signed in.",
    )
    frame_origins: tuple[str, ...] | None = _setting(
        None,
        values.origins,
        "origins",
        "Origins whose pages may show the dashboard in a frame, by a link, with commas between "
        "them.",
    )
    log_format: str = _setting(
        "text",
        values.one_of("text", "json"),
        "word",
        "Lines of the log: for people, or JSON objects.",
    )
    metrics: str = _setting(
        "loopback",
        values.one_of("off", "loopback", "key"),
        "word",
        "`/metrics` for Prometheus: not there, for clients on this machine, or with a key of scope "
        "read.",
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
        "The largest request line, of which the URL is a part, and headers to `serve`, together.",
    )
    max_records: int = _setting(
        200_000,
        values.number(1, 10_000_000),
        "records",
        "The most events, logs or histories of one request.",
    )
    body_memory: int = _setting(
        320 * 1024 * 1024,
        values.number(1024**2, 1024**4),
        "bytes",
        "The memory that the bodies of all requests may take at once, unpacked and parsed. It "
        "should be 20 times the largest body: what needs more than all of it gets a 413, and what "
        "needs more than other requests leave a 503.",
    )
    keep_query: bool | None = _setting(
        None,
        values.optional_switch,
        "on, off",
        "Page statistics: count pages with their query and fragment. Fixed when the database is "
        "made (then off unless set); `summaries rebuild` changes it.",
    )
    collapse_ids: bool | None = _setting(
        None,
        values.optional_switch,
        "on, off",
        "Page statistics: a UUID or a number as a segment of a path counts as `{id}`. Fixed like "
        "`keep_query`.",
    )
    synchronous: str = _setting(
        "full",
        values.one_of("full", "normal", "off"),
        "SQLite word",
        "`full`: what was answered survives a power cut. `normal`: it survives a crash of the "
        "process. `off`: for throw-away data.",
    )
    busy_seconds: int = _setting(
        5,
        values.number(0, 600),
        "seconds",
        "How long a write waits for another process that holds the database; then it is a 503.",
    )
    accept_ahead: int = _setting(
        1,
        values.number(0, 3_000_000),
        "days",
        "How far ahead of this server's clock events and histories may be that are fed; later ones "
        "are refused.",
    )
    accept_from: date | None = _setting(
        None,
        values.optional_date,
        "YYYY-MM-DD",
        "The first day of which anything is taken in; what is earlier is refused. Without it: any.",
    )
    keep_histories: int | None = _setting(
        None,
        values.days,
        "days",
        "How many days before today histories are kept, and who was active; `prune` and `serve` "
        "delete older ones. Without it: all.",
    )
    keep_page_statistics: int | None = _setting(
        None,
        values.days,
        "days",
        "How many days before today page statistics by the hour are kept where histories are not.",
    )
    keep_counts: int | None = _setting(
        None,
        values.days,
        "days",
        "How many days before today counts are kept: calls, creations, active users.",
    )
    keep_event_ids: int | None = _setting(
        None,
        values.days,
        "days",
        "How many days before today the ids of events are kept, which tell a second delivery.",
    )
    prune_days: int = _setting(
        3,
        values.number(1, 36_500),
        "days",
        "How many days of data `serve` deletes in a day at most; what is older goes on the days "
        "after, or with `prune`.",
    )
    double_seed: str | None = _setting(
        None,
        values.seed,
        "path or JSON",
        "`double`: what each namespace begins with and is reset to, a state or a list of events.",
    )
    double_auth: str = _setting(
        "any",
        values.one_of("any", "required", "strict"),
        "word",
        "`double`: `any`: no key is needed, and any well-formed one is taken. `required`: one must "
        "be sent. `strict`: it is checked.",
    )
    double_remote: bool = _setting(
        False,
        values.switch,
        "on, off",
        "`double`: answer clients on other machines too, who can then read and change everything.",
    )
    double_namespaces: int = _setting(
        1000, values.number(1, 1_000_000), "namespaces", "`double`: how many there can be at once."
    )
    saasus_saas_id: str | None = _setting(
        None, values.optional_text, "text", "SaaS id of a signature key given by the environment."
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
                "SAASUS_SAAS_ID, SAASUS_API_KEY and SAASUS_SECRET_KEY are set all or none"
            )
        if (self.keep_page_statistics or self.keep_histories or 0) < (self.keep_histories or 0) or (
            self.keep_page_statistics and not self.keep_histories
        ):
            raise StartError(
                "keep_page_statistics is for the time that keep_histories ends before: "
                "it needs that setting, and must not be less"
            )


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return name.upper() if name.startswith("saasus_") else PREFIX + name.upper()


def load_settings(given: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Return the settings from keywords and, for those not given, the environment.

    Passes over `service_variables`. Raises StartError, naming the setting, if one is unknown or its
    value is not usable.
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
    """Return the variables that look like settings and were made by Kubernetes or Docker."""
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
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        raise StartError(f"{name} is not a setting; {hint}")
