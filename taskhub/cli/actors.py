"""`taskhub actors`: lists the actors that run here, sets their log levels, has one restarted."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click

from taskhub.cli import client, exits, options, say, supervision

LEVELS = ("debug", "info", "warning", "error")
CONFIGURED = "configured"


@click.group(invoke_without_command=True)
@options.config_options
@options.json_option
@click.pass_context
def actors(
    ctx: click.Context,
    path: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - click names it
) -> int:
    """Show the actors of every process that runs here, change how loud one is, or restart one.

    Exit code 3: none runs (with this configuration, in this folder).
    """
    if ctx.invoked_subcommand is None:
        return supervision.show(path, overrides, as_json=as_json)
    return exits.OK


@actors.command()
@click.argument("name")
@options.json_option
def restart(name: str, *, as_json: bool) -> None:
    """Have one actor stopped and started; NAME is its full one, such as worker-1/pool.

    Asks the API at TASKHUB_URL; needs a token with the role Admin. Does not wait for the restart.
    """
    answer = client.from_environment().post(f"/actors/{quote(name, safe='')}/restart")
    if as_json:
        say.document(answer)
    else:
        say.data(say.printable(f"{answer['name']} is asked to restart"))


@actors.command()
@click.argument("name")
@click.argument("level", type=click.Choice([*LEVELS, CONFIGURED], case_sensitive=False))
@options.config_options
def loglevel(name: str, level: str, path: Path | None, overrides: tuple[str, ...]) -> None:
    """Set the least loud level of an actor that is written into the log.

    NAME is an actor (pool), a process (worker-1), or both (worker-1/pool). LEVEL `configured` takes
    it back; so does a reload. Asks the processes that run here.
    """
    wanted = "" if level == CONFIGURED else level
    supervision.set_level(options.loaded(path, overrides).config, name, wanted)
    say.data(say.printable(f"{name} is at the level {level}"))
