"""The table of commands: quick, complete, and clear about what it does not know."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from taskhub.cli.group import COMMANDS, commands

from tests.unit.cli.conftest import Run

NAMES = [name for part in COMMANDS.values() for name in part]
HEAVY = {"aiohttp", "redis", "sqlalchemy", "alembic", "rich", "jwt", "msgspec", "asyncio"}


@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_the_table_is_there_and_explains_itself(name: str, run: Run) -> None:
    """The table is written by hand, so that the help imports nothing."""
    command = commands.get_command(click.Context(commands), name)

    assert command is not None
    assert command.help
    assert run(name, "--help").code == 0


def test_the_help_names_every_command(run: Run) -> None:
    """One line each."""
    ended = run("--help")

    assert ended.code == 0
    assert [name for name in NAMES if f"\n  {name} " not in ended.out] == []


def test_the_help_imports_nothing_heavy() -> None:
    """That is what makes it come in a blink; a test of the time itself would fail by chance."""
    code = (
        "import sys; from taskhub.cli.main import main; main(['--help']);"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stderr.strip() == "[]"


def test_an_unknown_command_is_guessed_at(run: Run) -> None:
    """A slip of the fingers."""
    ended = run("stat")

    assert ended.code == 2
    assert "there is no command 'stat'; did you mean status?" in ended.err


def test_no_command_shows_the_help_and_is_a_mistake(run: Run) -> None:
    """A script that forgot it should notice."""
    ended = run()

    assert ended.code == 2
    assert "create" in ended.err


@pytest.mark.parametrize("line", ["--nope", "list --nope", "show", "list --limit 0"])
def test_a_wrong_command_line_is_code_2(run: Run, line: str) -> None:
    """With one line that says why."""
    ended = run(*line.split())

    assert ended.code == 2
    assert "Error:" in ended.err


def test_the_version_is_the_packages(run: Run) -> None:
    """One place says it."""
    ended = run("--version")

    assert ended.code == 0
    assert ended.out.startswith("taskhub 0.")
