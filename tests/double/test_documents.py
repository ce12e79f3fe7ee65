"""What the documents of the double show is run here: each example, and each table of names.

The word behind a fence's language tells what an example is for: `json PUT /__double/state` is sent
there, `json acme.json` is a file for all other examples, `python fails` is a test that is to fail.
A block of `text` and one of `json answer` are what the example before them tells; `text example` is
the line that the process prints.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, replace
from inspect import getmembers
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import click
import pytest
import yaml  # type: ignore[import-untyped]

from app import pytest_plugin
from app.cli import main
from app.config import Settings, variable
from app.double import Double, DoubleClock, double, schemas
from app.storage.fixed_settings import FIXED

from ..conftest import ROOT
from .conftest import Process, running

pytestmark = pytest.mark.slow

FOLDER = ROOT / "docs" / "double"
PAGES = {page.name: page.read_text() for page in sorted(FOLDER.glob("*.md"))}

UNRUNNABLE = {
    ("recipes.md", "docker build --tag saasus-analysis ."): "needs Docker",
    ("recipes.md", "docker build --target double"): "needs Docker",
    ("recipes.md", "docker run --publish"): "needs Docker",
}
"""The examples that cannot be run, by document and what they begin with."""

SECONDS = 60


@dataclass(frozen=True)
class Example:
    document: str
    line: int
    language: str
    note: str
    text: str
    answer: str | None = None
    """What stands behind it as what it tells."""

    @property
    def name(self) -> str:
        return f"{self.document.removesuffix('.md')}_{self.line}"

    @property
    def kind(self) -> str:
        """The runner that it is for."""
        if self.language == "python":
            if "unittest.TestCase" in self.text:
                return "unittest"
            return "pytest" if re.search(r"^def test_", self.text, re.M) else "script"
        if self.language == "json":
            return "file" if self.note.endswith(".json") else "sent"
        return self.language

    @property
    def is_unrunnable(self) -> bool:
        return any(
            self.document == document and self.text.startswith(start)
            for document, start in UNRUNNABLE
        )


def find_examples(document: str, text: str) -> Iterator[Example]:
    """Yield the examples of a document, each with what it tells."""
    last: Example | None = None
    for found in re.finditer(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", text, re.M | re.S):
        language, note, body = found.groups()
        if (language, note) in {("text", ""), ("json", "answer")}:
            assert last, f"{document}: nothing tells {body}"
            assert last.answer is None, f"{document}: {last.text} tells two things"
            yield replace(last, answer=body)
            last = None
            continue
        if last:
            yield last
        line = text.count("\n", 0, found.start()) + 1
        last = Example(document, line, language, note, body)
    if last:
        yield last


EXAMPLES = [example for page, text in PAGES.items() for example in find_examples(page, text)]
IN_README = [
    replace(example, answer=None)
    for example in find_examples("top.md", (ROOT / "README.md").read_text())
    if example.language == "python"
]
FILES = {example.note: example.text for example in EXAMPLES if example.kind == "file"}


def of_kind(kind: str) -> Any:
    """Run a test for each example of a kind."""
    examples = [
        example
        for example in [*EXAMPLES, *IN_README]
        if example.kind == kind and not example.is_unrunnable
    ]
    assert examples, f"there is no example of {kind}"
    return pytest.mark.parametrize("example", examples, ids=lambda example: example.name)


def needs(*commands: str) -> Any:
    missing = [command for command in commands if not shutil.which(command)]
    return pytest.mark.skipif(
        bool(missing), reason=f"the documents' examples need {', '.join(missing)}, NOT here"
    )


def run(*command: str | Path, folder: Path, **variables: str) -> tuple[int, str, str]:
    """Run a command as a user would, and end all that it has started.

    Returns its exit code, standard output and standard error.
    """
    for name, content in FILES.items():
        (folder / name).write_text(content)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANALYSIS_", "SAASUS_", "PYTEST_", "PYTHON"))
    }
    scripts = sysconfig.get_path("scripts")
    path = f"{scripts}:{environment['PATH']}"
    assert Path(scripts, "saasus-analysis").exists(), "the checkout must be installed: pip install"
    # Not pipes: what runs in the background would hold them.
    out, err = folder / "out.txt", folder / "err.txt"
    with out.open("w") as stdout, err.open("w") as stderr:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=environment | {"PATH": path, "GO111MODULE": "off"} | variables,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            code = process.wait(SECONDS)
        finally:
            end_group(process.pid)
    return code, out.read_text(), err.read_text()


def end_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGTERM)
    except ProcessLookupError:
        return


def assert_tells(told: str, expected: str | None) -> None:
    """Compare what was told with a document, where … stands for anything on a line."""
    if expected is None:
        assert '"message"' not in told
        return
    try:
        document = json.loads(expected)
    except ValueError:
        document = None
    if document is not None:
        assert_same(json.loads(told), document)
        return
    pattern = "[^\n]*?".join(map(re.escape, expected.strip().split("…")))
    assert re.fullmatch(pattern, told.strip()), f"{told}\nis not\n{expected}"


def assert_same(told: Any, expected: Any) -> None:
    if expected == "…":
        return
    if isinstance(expected, dict) and isinstance(told, dict):
        assert list(told) == list(expected)
        for name, value in expected.items():
            assert_same(told[name], value)
    elif isinstance(expected, list) and isinstance(told, list):
        assert len(told) == len(expected)
        for one, other in zip(told, expected, strict=True):
            assert_same(one, other)
    else:
        assert told == expected


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    with running() as started:
        yield started


@pytest.fixture
def d(process: Process) -> Iterator[Double]:
    """The process, as if it had just been started."""
    with double(at=process.url) as at:
        for name in at.control("GET", "/namespaces")["namespaces"]:
            at.namespace(name).delete()
        yield at


def test_each_block_of_the_documents_is_an_example_or_what_one_tells() -> None:
    fences = sum(line.startswith("```") for text in PAGES.values() for line in text.splitlines())
    blocks = len(EXAMPLES) + sum(example.answer is not None for example in EXAMPLES)
    assert fences == 2 * blocks
    runners = {"sh", "script", "pytest", "unittest", "sent", "file", "text", "js", "go", "yaml"}
    assert [example for example in EXAMPLES if example.kind not in runners] == []


def test_the_list_of_what_cannot_be_run_is_no_longer_than_it_must_be() -> None:
    for document, start in UNRUNNABLE:
        found = [
            example
            for example in EXAMPLES
            if example.document == document and example.text.startswith(start)
        ]
        assert len(found) == 1, start
        assert "docker" in found[0].text


@needs("bash", "curl", "diff")
@of_kind("sh")
def test_an_example_of_the_shell_works(d: Double, tmp_path: Path, example: Example) -> None:
    url = d.url.removesuffix("/ns/default")
    code, out, err = run("bash", "-euo", "pipefail", "-c", example.text, folder=tmp_path, URL=url)
    assert code == 0, out + err
    assert_tells(out, example.answer)


@of_kind("script")
def test_an_example_of_python_works(tmp_path: Path, example: Example) -> None:
    (tmp_path / "example.py").write_text(example.text)
    code, out, err = run(sys.executable, "-W", "error", "example.py", folder=tmp_path)
    assert code == 0, out + err
    assert_tells(out, example.answer)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest tells of all examples that are its tests, run at once."""
    folder = tmp_path_factory.mktemp("pytest")
    for example in [*EXAMPLES, *IN_README]:
        if example.kind == "pytest":
            (folder / f"test_{example.name}.py").write_text(example.text)
    code, out, err = run(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "-rA"),
        *("--color=no", "--rootdir=."),
        folder=folder,
        COLUMNS="80",
    )
    assert code == 1, out + err  # some are to fail
    return out


@of_kind("pytest")
def test_an_example_of_pytest_works(report: str, example: Example) -> None:
    outcomes = re.findall(rf"^(\w+) test_{example.name}\.py::test_", report, re.M)
    expected = "FAILED" if example.note == "fails" else "PASSED"
    tests = re.findall(r"^(?:class .*\n(?: .*\n)*? +)?def test_", example.text, re.M)
    assert outcomes == [expected] * len(tests)
    assert example.answer is None or example.answer in report


@of_kind("unittest")
def test_an_example_of_unittest_works(tmp_path: Path, example: Example) -> None:
    (tmp_path / "test_example.py").write_text(example.text)
    code, out, err = run(sys.executable, "-W", "error", "-m", "unittest", folder=tmp_path)
    assert code == 0, out + err
    assert re.search(r"^Ran [1-9]", err, re.M), err


@needs("node")
@of_kind("js")
def test_an_example_of_node_works(tmp_path: Path, example: Example) -> None:
    (tmp_path / "example.test.mjs").write_text(example.text)
    code, out, err = run("node", "--test", folder=tmp_path)
    assert code == 0, out + err
    tests = len(re.findall(r"^test\(", example.text, re.M))
    assert re.search(rf"^\W*pass {tests}$", out, re.M), out


@needs("go")
@of_kind("go")
def test_an_example_of_go_works(tmp_path: Path, example: Example) -> None:
    (tmp_path / "example_test.go").write_text(example.text)
    code, out, err = run("go", "test", "-v", "example_test.go", folder=tmp_path)
    assert code == 0, out + err
    tests = re.findall(r"^func (Test\w+)\(t ", example.text, re.M)
    assert re.findall(r"^--- PASS: (\w+)", out, re.M) == tests


@of_kind("sent")
def test_an_example_of_json_is_taken(d: Double, example: Example) -> None:
    method, path = example.note.split()
    d.control(method, path.removeprefix("/__double"), json.loads(example.text))


@of_kind("file")
def test_an_example_of_a_file_is_a_state_as_it_is_read(d: Double, example: Example) -> None:
    d.set_state(json.loads(example.text))
    with urlopen(f"{d.url}/__double/state") as answer:
        assert answer.read().decode() == example.text


@of_kind("text")
def test_the_line_of_json_is_as_it_is_shown(process: Process, example: Example) -> None:
    assert list(json.loads(example.text)) == list(process.ready)


@needs("bash", "timeout")
@of_kind("yaml")
def test_an_example_of_github_actions_parses_and_starts_the_double(
    tmp_path: Path, example: Example
) -> None:
    (job,) = yaml.safe_load(example.text)["jobs"].values()
    assert all({"uses", "run"} & step.keys() for step in job["steps"])
    for script in [step["run"] for step in job["steps"] if "run" in step]:
        if script.startswith("saasus-analysis"):
            check = '\ncat "$GITHUB_ENV"; curl -sSf "$URL/healthz"'
            variables = {"RUNNER_TEMP": str(tmp_path), "GITHUB_ENV": str(tmp_path / "env")}
            code, out, err = run(
                "bash", "-euo", "pipefail", "-c", script + check, folder=tmp_path, **variables
            )
            assert code == 0, out + err
            assert re.match(r"SAASUS_BASE_URL=http://127.0.0.1:\d+/v1\n", out)


def first_cells(page: str, header: str) -> list[str]:
    """Return the words in code style in the first column of the table with this header."""
    (table,) = re.findall(rf"^\| {header} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGES[page], re.M)
    cells = [row.split(" | ")[0] for row in table.splitlines()]
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def names(schema: type[Any]) -> set[str]:
    return set(schema().fields)


def test_the_table_of_a_state_is_complete() -> None:
    assert set(first_cells("state.md", "part")) == names(schemas.State)


def test_the_table_of_a_fault_is_complete() -> None:
    assert set(first_cells("faults.md", "field")) == names(schemas.Fault)


def test_the_tables_of_requests_are_complete() -> None:
    assert set(first_cells("requests.md", "filter")) == names(schemas.RequestsQuery)
    tables = re.findall(r"^\| field \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGES["requests.md"], re.M)
    fields = [
        {
            word
            for row in table.splitlines()
            for word in re.findall(r"`([^`]+)`", row.split(" | ")[0])
        }
        for table in tables
    ]
    assert fields == [names(schemas.Request), names(schemas.Expected)]


def test_the_tables_of_the_process_are_complete() -> None:
    command = main.get_command(click.Context(main), "double")
    assert command
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert set(first_cells("process.md", "option")) == {option.opts[0] for option in options}
    own = {name for name in Settings.__dataclass_fields__ if name.startswith("double_")}
    assert set(first_cells("process.md", "variable")) == {variable(name) for name in own}
    assert set(first_cells("process.md", "field")) == names(schemas.KeyParam)
    text = PAGES["process.md"]
    assert all(f"`{variable(name)}`" in text for name in ("host", "threads", *FIXED))


def test_the_table_of_the_object_is_complete() -> None:
    (table,) = re.findall(r"^## The object\n\n((?:\|.*\n)+)", PAGES["python.md"], re.M)
    cells = " ".join(row.split(" | ")[0] for row in table.splitlines())
    shown = {re.split(r"\W", word)[0] for word in re.findall(r"`([^`]+)`", cells)}
    public = {name for name, _ in getmembers(Double) if not name.startswith("_")}
    assert shown == public | {"name", "clock"}
    clock = {name for name, _ in getmembers(DoubleClock) if not name.startswith("_")}
    assert all(f"`{name}(" in table for name in clock)


def test_the_tables_of_the_plugin_are_complete() -> None:
    fixtures = {pytest_plugin.FIXTURE, pytest_plugin.saasus_analysis_server.__name__}
    assert set(first_cells("pytest.md", "fixture")) == fixtures
    markers = {marker.split(":")[0] for marker in pytest_plugin.MARKERS}
    assert set(first_cells("pytest.md", "marker")) == markers


def test_the_table_of_the_control_api_is_complete(d: Double) -> None:
    described = d.control("GET", "/openapi.json")["paths"]
    operations = {
        f"{method.upper()} {path}"
        for path, methods in described.items()
        for method in methods
        if method != "parameters"
    }
    assert set(first_cells("README.md", "operation")) == operations


def test_each_page_is_in_the_table_of_contents() -> None:
    listed = re.findall(r"^- \[\w+\]\((\w+\.md)\)", PAGES["README.md"], re.M)
    assert sorted(listed) == sorted(PAGES.keys() - {"README.md"})


@pytest.mark.parametrize("page", PAGES)
def test_links_to_headings_lead_somewhere(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([\w./]*)#([\w-]+)\)", PAGES[page]):
        text = (FOLDER / target).read_text() if target else PAGES[page]
        headings = re.findall(r"^#+ (.*)$", text, re.M)
        assert anchor in {
            re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings
        }


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ('{"a":1}', '{"a": 2}'),
        ('{"a":1,"b":2}', '{"a": "…"}'),
        ("[1]", "[1, 1]"),
        ("a b", "a …c"),
        ("a\nb", "a…"),
        ('{"message":"no"}', None),
    ],
)
def test_what_is_told_otherwise_is_found(told: str, expected: str | None) -> None:
    with pytest.raises(AssertionError):
        assert_tells(told, expected)
