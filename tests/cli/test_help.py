import re
import shlex
import signal
from pathlib import Path

import click
import pytest

from app.cli import COMMANDS, main
from app.cli.command import Command

from ..conftest import run
from ..support.command_tree import TREE
from .conftest import called, done, running

SERVERS = {"serve", "demo", "double"}
EXAMPLES = [
    (name, example)
    for name, command in TREE.items()
    if isinstance(command, Command)
    for example in command.examples
]


def help_of(name: str) -> str:
    shown = run(*name.split()[1:], "-h")
    assert (shown.returncode, shown.stderr) == (0, "")
    return shown.stdout


@pytest.mark.parametrize("name", TREE)
def test_help_has_an_example_and_fits_a_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = TREE[name]
    assert isinstance(command, Command), (
        f"{name} has no examples: give it @click.command(cls=Command, examples=[…]) of app.cli"
    )
    assert command.examples, f"{name} has no examples"
    shown = help_of(name)
    assert shown.endswith(
        "\nExamples:\n" + "".join(f"  {example}\n" for example in command.examples)
    )
    assert max(map(len, shown.splitlines())) <= 80
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name}: {parameter.opts[0]} has no help"
        if isinstance(parameter.type, click.Choice):
            assert all(choice in shown for choice in parameter.type.choices)


@pytest.mark.parametrize("name", TREE)
def test_an_example_is_of_its_command(name: str) -> None:
    command = TREE[name]
    assert isinstance(command, Command)
    for example in command.examples:
        assert re.search(rf"(^| ){re.escape(name)}( |$)", example)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_an_example_works(folder: Path, name: str, example: str) -> None:
    words = shlex.split(example)
    if words[words.index("saasus-analysis") + 1] not in SERVERS or "--write" in words:
        # One example of each command runs in a process, and what only a shell can run.
        is_first = example == EXAMPLES[[each for each, _ in EXAMPLES].index(name)][1]
        needs_process = is_first or words[0] != "saasus-analysis" or set("|<>&;$*`") & set(example)
        ended = (done if needs_process else called)(example, folder)
        assert ended.returncode == 0, ended.stderr
        assert "Error" not in ended.stderr
        return
    with running(example, folder, ANALYSIS_PORT="0") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(("Listening on", '{"url": "http')):
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_the_list_of_commands_is_what_they_say_themselves() -> None:
    for name, (_, line) in COMMANDS.items():
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.help is not None
        assert command.help.split("\n\n")[0] == line
        assert re.search(rf"^  {name} +{re.escape(line)}$", help_of("saasus-analysis"), re.M)


def test_options_of_settings_are_told_with_variable_and_default() -> None:
    shown = " ".join(help_of("saasus-analysis serve").split())
    assert "[env var: ANALYSIS_PORT; default: 8000]" in shown
    assert "[env var: ANALYSIS_DATABASE; default: analysis.db]" in shown
