"""docs/cli.md names every command, every option and every exit code."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from taskhub.cli import exits
from taskhub.cli.group import COMMANDS, commands

TEXT = (Path(__file__).parents[3] / "docs/cli.md").read_text()
NAMES = [name for part in COMMANDS.values() for name in part]


@pytest.mark.parametrize("name", NAMES)
def test_a_command_and_its_options_are_documented(name: str) -> None:
    """What cannot be found is not there."""
    command = commands.get_command(click.Context(commands), name)

    assert command is not None
    assert f"`taskhub {name}" in TEXT
    long = [option for param in command.params for option in param.opts if option.startswith("--")]
    assert [option for option in long if option not in TEXT] == []


def test_the_commands_of_db_are_documented() -> None:
    """They are one level lower."""
    command = commands.get_command(click.Context(commands), "db")

    assert isinstance(command, click.Group)
    assert [name for name in command.commands if f"`taskhub db {name}" not in TEXT] == []


def test_every_exit_code_is_documented() -> None:
    """Scripts rely on them."""
    codes = [value for name, value in vars(exits).items() if name.isupper()]

    assert [code for code in codes if f"\n| {code} |" not in TEXT] == []
