import ast
import os
import re
import subprocess
import sys
import venv
from configparser import ConfigParser
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen
from zipfile import ZipFile

import pytest
from setuptools import find_packages

from ..conftest import ROOT

NAME = "saasus_analysis"


def execute(*command: str | Path, folder: Path, **options: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment | options,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout's files, by way of the source distribution."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = execute("git", "ls-files", "-co", "--exclude-standard", folder=ROOT).splitlines()
    execute("cp", "--parents", "-P", *listed, copy, folder=ROOT)
    build = (sys.executable, "-m", "build", "--no-isolation")
    execute(*build, "--outdir", copy / "dist", folder=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A user's project with an `app` of its own, and an environment with only the wheel in it."""
    folder = tmp_path_factory.mktemp("consumer")
    (folder / "app").mkdir()
    (folder / "app" / "__init__.py").write_text("OWN = True\n")
    venv.create(folder / "venv")
    pip = (sys.executable, "-m", "pip", "--python", folder / "venv" / "bin" / "python")
    execute(*pip, "install", "-q", "--no-compile", wheel, folder=folder)
    return folder


def test_every_package_is_listed() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options"]["packages"].split()
    assert listed == [NAME, *sorted(f"{NAME}.{name}" for name in find_packages(str(ROOT / "app")))]


def test_each_dependency_has_a_reason_and_private_parts_a_bound_above() -> None:
    text = (ROOT / "setup.cfg").read_text()
    config = ConfigParser()
    config.read_string(text)
    reasons = re.findall(r"^# ([a-z][\w, -]*?)  +\S", text, re.M)
    explained = {name for names in reasons for name in names.split(", ")}
    needed = dict(
        line.partition(">=")[::2] for line in config["options"]["install_requires"].split()
    )
    assert needed.keys() <= explained
    assert needed.keys() - {"tzdata"} == {name for name, version in needed.items() if version}
    bounded = {name for name, version in needed.items() if "<" in version}
    assert bounded == {"flask-smorest", "waitress"}


@pytest.mark.parametrize(
    "file", sorted((ROOT / "app").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT))
)
def test_the_package_imports_itself_relatively(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        assert not {"app", NAME} & {name.split(".")[0] for name in names}


def test_the_wheel_holds_the_schema_and_no_package_named_app(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        schema = archive.read(f"{NAME}/storage/schema.sql")
    assert schema == (ROOT / "schema.sql").read_bytes()
    assert {name.split("/")[0].split("-")[0] for name in names} == {NAME}
    listed = execute("git", "ls-files", "-co", "--exclude-standard", "app", folder=ROOT).split()
    # What a catalog of texts is compiled from is for those who work on it.
    files = {file.replace("app", NAME, 1) for file in listed if not file.endswith(".po")}
    assert files == {name for name in names if "dist-info" not in name}


def test_the_installed_package_leaves_a_user_s_own_app_alone(consumer: Path) -> None:
    python = consumer / "venv" / "bin" / "python"
    code = f"import app, {NAME}; print(app.OWN, hasattr({NAME}, 'create_app'))"
    assert execute(python, "-c", code, folder=consumer) == "True True\n"
    other = f"import {NAME}, importlib.util as u; print(u.find_spec('app'))"
    assert execute(python, "-c", other, folder=consumer / "venv") == "None\n"


def test_the_installed_command_serves(consumer: Path) -> None:
    scripts = consumer / "venv" / "bin"
    command = scripts / "saasus-analysis"
    version = execute(command, "--version", folder=consumer)
    assert version.startswith("saasus-analysis, version 0.")
    assert "serve" in execute(scripts / "python", "-m", NAME, "--help", folder=consumer)
    at = ("--database", str(consumer / "a.db"))
    events = consumer / "events.ndjson"
    events.touch()
    execute(command, "import", "events", events, *at, folder=consumer)
    token = execute(command, "keys", "create", "k", *at, folder=consumer).strip()
    process = subprocess.Popen(
        [command, "serve", "--port", "0", *at],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        assert urlsplit(url).hostname == "127.0.0.1"
        code = (
            "import urllib.request as r; print(r.urlopen(r.Request("
            f"'{url}/v1/analysis/active-users?type=daily&date_from=2025-01-01', "
            f"headers={{'Authorization': 'Bearer {token}'}})).read())"
        )
        answer = execute(sys.executable, "-c", code, folder=consumer)
        with urlopen(f"{url}/dashboard?lang=ja") as page:
            shown = page.read().decode()
        process.terminate()
    assert answer == "b'{\"data\":[]}'\n"
    assert "<h1>サインイン</h1>" in shown
    assert process.returncode == 0


def test_a_user_s_test_is_checked_by_the_types_of_the_installed_package(consumer: Path) -> None:
    (consumer / "test_usage.py").write_text(
        "from saasus_analysis.double import Double, double\n"
        "from saasus_analysis.analytics.active_user_counts import get_active_users\n"
        "\n"
        "def test_usage(saasus_analysis: Double) -> None:\n"
        "    reveal_type(saasus_analysis.url)\n"
        "    with double() as other:\n"
        "        reveal_type(other)\n"
        "    saasus_analysis.no_such_thing()\n"
        "    get_active_users(saasus_analysis, type='daily', date_from=0)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "test_usage.py"]
    command += ["--python-executable", str(consumer / "venv" / "bin" / "python")]
    done = subprocess.run(command, cwd=consumer, capture_output=True, text=True, timeout=300)
    told = done.stdout.splitlines()
    assert [line.partition(": ")[2] for line in told[:-1]] == [
        'note: Revealed type is "str"',
        'note: Revealed type is "saasus_analysis.double.client.client.Double"',
        'error: "Double" has no attribute "no_such_thing"  [attr-defined]',
        'error: Argument 1 to "get_active_users" has incompatible type "Double"; expected '
        '"Database"  [arg-type]',
    ], done.stdout + done.stderr
