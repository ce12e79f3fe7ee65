"""The pytest plugin, in sessions of its own."""

import subprocess
import sys

import pytest

from ..conftest import ROOT

pytestmark = pytest.mark.slow

PLUGIN = ("-p", "app.pytest_plugin", "-p", "no:saasus_analysis", "-p", "no:cacheprovider")

HELPERS = """
import json, os, urllib.error, urllib.request
from pathlib import Path
import pytest

def get(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)

def numbers(double):
    return get(double.base_url + "/active-users?type=daily&date_from=2026-01-01")["data"]

def put(double):
    double.put_active_users("daily", "2026-05-19", "acme", 3, 5)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return pytester


def run(project: pytest.Pytester, tests: str, *arguments: str) -> pytest.RunResult:
    project.makepyfile(HELPERS + tests)
    return project.runpytest_subprocess(*PLUGIN, *arguments)


def test_each_test_has_a_namespace_and_the_variables_of_the_clients(
    project: pytest.Pytester,
) -> None:
    result = run(
        project,
        """
@pytest.mark.parametrize("turn", [1, 2, "ä/ö", "x" * 200])
def test_alone(saasus_analysis, turn):
    assert numbers(saasus_analysis) == []
    put(saasus_analysis)
    assert [n["active_users"] for n in numbers(saasus_analysis)] == [5]
    assert os.environ["SAASUS_BASE_URL"] == saasus_analysis.url + "/v1"
    assert os.environ["SAASUS_API_KEY"] == "ns-" + saasus_analysis.name
    base = os.environ["SAASUS_BASE_URL"] + "/analysis"
    assert get(base + "/active-users?type=daily&date_from=2026-01-01")["data"]
    saasus_analysis.verify("GetActiveUsers", times=3)

def test_after(saasus_analysis_server):
    assert "SAASUS_BASE_URL" not in os.environ
    namespaces = get(saasus_analysis_server.url.rpartition("/ns/")[0] + "/__double/namespaces")
    assert namespaces["namespaces"] == []
""",
    )
    result.assert_outcomes(passed=5)


def test_markers_set_up_seed_clock_and_faults(project: pytest.Pytester) -> None:
    project.path.joinpath("seed.json").write_text('[{"type": "create_tenant", "tenant_id": "f"}]')
    result = run(
        project,
        """
EVENT = {"type": "create_tenant", "tenant_id": "t"}

@pytest.mark.saasus_seed([EVENT, EVENT])
@pytest.mark.saasus_clock("2026-05-19T02:22:58Z")
class TestMarked:
    def test_of_the_class(self, saasus_analysis):
        assert len(saasus_analysis.state["events"]) == 2
        assert saasus_analysis.clock.now() == 1779157378
        assert saasus_analysis.state["events"][0]["timestamp"] == 1779157378
        saasus_analysis.clock.move(1)
        saasus_analysis.events(EVENT)
        saasus_analysis.reset()
        assert len(saasus_analysis.state["events"]) == 2
        assert saasus_analysis.clock.now() == 1779157378

    @pytest.mark.saasus_seed(Path("seed.json"))
    @pytest.mark.saasus_clock(7)
    def test_the_nearest_wins(self, saasus_analysis):
        assert [event["tenant_id"] for event in saasus_analysis.state["events"]] == ["f"]
        assert saasus_analysis.clock.now() == 7

@pytest.mark.saasus_fault("GetActiveUsers", 429, times=1)
@pytest.mark.saasus_fault("GetUserBehaviorHistories", connection="reset")
def test_faults(saasus_analysis):
    with pytest.raises(urllib.error.HTTPError) as refused:
        numbers(saasus_analysis)
    refused.value.close()
    assert refused.value.code == 429
    assert numbers(saasus_analysis) == []
    with pytest.raises(ConnectionResetError):
        get(saasus_analysis.base_url + "/users/ann/behavior-histories")
""",
        "--strict-markers",
    )
    result.assert_outcomes(passed=3)


def test_a_clock_alone_leaves_the_seed_of_the_session(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
import pytest
from app.double import double

@pytest.fixture(scope="session")
def saasus_analysis_server():
    with double(seed=[{"type": "create_tenant", "tenant_id": "t"}]) as running:
        yield running
"""
    )
    result = run(
        project,
        """
@pytest.mark.saasus_clock(7)
def test_both(saasus_analysis):
    assert saasus_analysis.clock.now() == 7
    assert len(saasus_analysis.state["events"]) == 1

@pytest.mark.saasus_clock("noon")
def test_wrong(saasus_analysis):
    pass

def test_after(saasus_analysis_server):
    names = saasus_analysis_server.control("GET", "/namespaces")["namespaces"]
    assert names in ([], ["default"])
""",
    )
    result.assert_outcomes(passed=2, errors=1)


def test_a_failing_test_shows_the_requests_that_it_made(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def test_fails(saasus_analysis):
    numbers(saasus_analysis)
    try:
        get(saasus_analysis.base_url + "/active-users?type=yearly&env_id=x")
    except urllib.error.HTTPError as error:
        error.close()
    saasus_analysis.verify("UpdateActiveUsers")

def test_fails_quietly(saasus_analysis):
    assert False

def test_passes(saasus_analysis):
    numbers(saasus_analysis)
""",
    )
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "E *expected at least 1, found 0 of 2 requests; nearest is *",
            "*requests to the SaaSus Analysis double*",
            "1. GET /v1/analysis/active-users {'type': 'daily', 'date_from': '2026-01-01'} -> 200",
            "2. GET /v1/analysis/active-users {'type': 'yearly', 'env_id': 'x'} -> 400",
            "     type: must be one of monthly, daily",
            "     date_from: is required",
            "     env_id: must be a whole number",
            "*requests to the SaaSus Analysis double*",
            "none",
        ]
    )


def test_each_worker_of_xdist_has_its_own_server(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
@pytest.mark.parametrize("turn", range(40))
def test_alone(saasus_analysis, saasus_analysis_server, turn):
    with open(os.environ["PYTEST_XDIST_WORKER"] + ".url", "a") as file:
        file.write(saasus_analysis_server.url + "\\n")
    assert numbers(saasus_analysis) == []
    put(saasus_analysis)
    assert len(numbers(saasus_analysis)) == 1
""",
        "-n",
        "2",
    )
    result.assert_outcomes(passed=40)
    urls = [set(file.read_text().split()) for file in project.path.glob("*.url")]
    assert len(urls) == 2
    assert all(len(of_worker) == 1 for of_worker in urls)
    assert urls[0] != urls[1]


def test_what_is_not_used_is_not_loaded(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
import sys

def test_nothing_of_it_is_here():
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"flask", "marshmallow", "werkzeug", "sqlite3", "waitress"}
    ours = {name for name in sys.modules if name.split(".")[0] == "app"}
    assert ours == {"app", "app.pytest_plugin"}
""",
    )
    result.assert_outcomes(passed=1)


def test_the_installed_plugin_is_found_by_its_entry_point(pytester: pytest.Pytester) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-q", "-p", "no:cacheprovider"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
    )
    assert "saasus_analysis_server [session scope]" in done.stdout
    assert "saasus_analysis_server.namespace" not in done.stdout
