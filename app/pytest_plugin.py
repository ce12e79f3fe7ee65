"""The pytest plugin: a double for each test that asks for one.

pytest loads this module in every run; the double itself is loaded when a fixture is first used.
"""

import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

if TYPE_CHECKING:
    from .double import Double

FIXTURE = "saasus_analysis"
SHOWN_REQUESTS = 50

MARKERS = (
    "saasus_seed(state): what the test's double begins with and is reset to",
    "saasus_clock(at): where the clock of the test's double stands still",
    "saasus_fault(operation, *statuses, **rule): a fault of the test's double, as Double.fail",
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture(scope="session")
def saasus_analysis_server() -> "Iterator[Double]":
    """A double that runs through the session; under xdist, each worker has its own."""
    from .double import double

    with double() as running:
        yield running


@pytest.fixture
def saasus_analysis(
    request: pytest.FixtureRequest,
    saasus_analysis_server: "Double",
    monkeypatch: pytest.MonkeyPatch,
) -> "Iterator[Double]":
    """A namespace of the double for this test alone, with the official clients' variables set."""
    namespace = saasus_analysis_server.namespace(_name(request.node.nodeid))
    try:
        namespace.reset()
        seed, clock = map(request.node.get_closest_marker, ("saasus_seed", "saasus_clock"))
        if seed or clock:
            state = namespace.state if seed is None else _argument(seed)
            namespace.seed(state, frozen_at=None if clock is None else _argument(clock))
        for marker in request.node.iter_markers("saasus_fault"):
            namespace.fail(*marker.args, **marker.kwargs)
        for name, value in namespace.environment.items():
            monkeypatch.setenv(name, value)
        yield namespace
    finally:
        namespace.delete()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the requests of a test that failed."""
    report = yield
    double: Double | None = getattr(item, "funcargs", {}).get(FIXTURE)
    if double and report.when == "call" and report.failed:
        report.sections.append(("requests to the SaaSus Analysis double", _shown(double)))
    return report


def _argument(marker: pytest.Mark) -> Any:
    if len(marker.args) != 1 or marker.kwargs:
        raise pytest.UsageError(f"@pytest.mark.{marker.name} takes one argument")
    return marker.args[0]


def _name(test: str) -> str:
    """Return a namespace for a test: readable, short, and another one for each test."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", test.rpartition("::")[2]).strip("-")[:60]
    return f"t{crc32(test.encode('utf-8', 'replace')):08x}-{readable}"


def _shown(double: "Double") -> str:
    try:
        requests = double.requests()
    except Exception as error:  # a report must not end the session
        return f"not to be had: {error}"
    shown = requests[-SHOWN_REQUESTS:]
    lines = [f"{len(requests) - len(shown)} before"] if len(shown) < len(requests) else []
    for sent in shown:
        what = sent["body"] if sent["body"] is not None else sent["parameters"]
        line = f"{sent['number']}. {sent['method']} {sent['path']} {what} -> {sent['status']}"
        if sent["fault"]:
            line += f" (fault {sent['fault']})"
        lines += [line, *(f"     {violation}" for violation in sent["violations"])]
    return "\n".join(lines) or "none"
