"""`taskhub top`: looks again and again, and shows what happens between two looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from taskhub.cli import exits, options, say
from taskhub.cli.top import picture
from taskhub.cli.top.frame import Frame, frame
from taskhub.cli.top.look import look
from taskhub.config.sections import Config

LEAST = 0.1  # seconds between two looks


@click.command()
@options.config_options
@click.option(
    "--every",
    type=click.FloatRange(min=LEAST, max=3_600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Two looks, one picture, the end: for scripts.")
@options.json_option
def top(
    path: Path | None,
    overrides: tuple[str, ...],
    every: float,
    once: bool,  # noqa: FBT001 - click names it
    as_json: bool,  # noqa: FBT001 - click names it
) -> int:
    """Watch queues, rates, workers and actors of the TaskHub that runs here, until Ctrl-C.

    Without a terminal each picture is plain text; --json prints one picture a line.

    Exit code 3 (with --once): none runs (with this configuration, in this folder).
    """
    config = options.loaded(path, overrides).config
    if once:
        return _once(config, every, as_json=as_json)
    with suppress(KeyboardInterrupt):
        _follow(config, every, as_json=as_json)
    return exits.OK


def _once(config: Config, every: float, *, as_json: bool) -> int:
    one = next(_frames(config, every))
    if not one.actors:
        raise exits.Failure(exits.UNREACHABLE, *one.ill)
    _print(one, as_json=as_json)
    return exits.OK


def _follow(config: Config, every: float, *, as_json: bool) -> None:
    if sys.stdout.isatty() and not as_json:
        _live(config, every)
        return
    for one in _frames(config, every):
        _print(one, as_json=as_json)
        sys.stdout.flush()


def _frames(config: Config, every: float) -> Iterator[Frame]:
    """A picture after each pause, without end."""
    before = look(config)
    while True:
        time.sleep(every)
        after = look(config)
        yield frame(before, after)
        before = after


def _live(config: Config, every: float) -> None:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(), screen=True, auto_refresh=False) as screen:
        screen.update("looking ...", refresh=True)
        for one in _frames(config, every):
            screen.update(picture.drawn(one), refresh=True)


def _print(one: Frame, *, as_json: bool) -> None:
    if as_json:
        say.json_line(one.plain())
        return
    for line in picture.lines(one):
        say.data(line)
    say.data()
