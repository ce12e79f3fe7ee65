"""The pytest plugin: a double for each test that asks for one.

pytest loads this module in every run; the double is loaded only when a fixture is first used.
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
    "saasus_seed(state): the initial state of the test's double; a reset returns to it",
    "saasus_clock(at): the time at which the clock of the test's double is frozen",
    "saasus_fault(operation, *statuses, **rule): a fault of the test's double, as in Double.fail",
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture(scope="session")
def saasus_analysis_server() -> "Iterator[Double]":
    """A double that runs for the whole session; with xdist, each worker has its own."""
    # This takes 145 ms, which test runs without a double save.
    from .double import double

    with double() as running:
        yield running


@pytest.fixture
def saasus_analysis(
    request: pytest.FixtureRequest,
    saasus_analysis_server: "Double",
    monkeypatch: pytest.MonkeyPatch,
) -> "Iterator[Double]":
    """A namespace of the double for one test, with the variables of the official clients set."""
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
    """Add the requests to the report of a failed test."""
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
    """Return a readable, short and unique name of a namespace for a test."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", test.rpartition("::")[2]).strip("-")[:60]
    return f"t{crc32(test.encode('utf-8', 'replace')):08x}-{readable}"


def _shown(double: "Double") -> str:
    try:
        requests = double.requests()
    except Exception as error:  # an error here would end the whole session
        return f"the requests cannot be read: {error}"
    shown = requests[-SHOWN_REQUESTS:]
    lines = [f"{len(requests) - len(shown)} earlier requests"] if len(shown) < len(requests) else []
    for sent in shown:
        what = sent["body"] if sent["body"] is not None else sent["parameters"]
        line = f"{sent['number']}. {sent['method']} {sent['path']} {what} -> {sent['status']}"
        if sent["fault"]:
            line += f" (fault {sent['fault']})"
        lines += [line, *(f"     {violation}" for violation in sent["violations"])]
    return "\n".join(lines) or "none"
