"""`taskhub run` and `taskhub dev`: hands the configuration to the composition root."""

from __future__ import annotations

from pathlib import Path

import click

from taskhub.cli import development, exits, options, say, tokens
from taskhub.config.issuers import issuers
from taskhub.config.load import Loaded
from taskhub.config.units import ROOT

DAY = 86_400.0


@click.command()
@options.config_options
@options.unit_option
def run(path: Path | None, overrides: tuple[str, ...], unit: str) -> int:
    """Run a unit of the configuration until SIGTERM or Ctrl-C; SIGHUP reloads."""
    from taskhub.app import run as run_unit

    return run_unit(options.loaded(path, overrides, unit), unit)


@click.command()
@options.config_options
def dev(path: Path | None, overrides: tuple[str, ...]) -> int:
    """Run everything here, with data under ./data and a throw-away key for tokens.

    Not for production: whoever can read data/dev.key can make tokens. Ctrl-C stops it, and so
    does closing the terminal.
    """
    from taskhub.app import run as run_unit

    found = prepared(options.loaded(path, overrides), Path.cwd())
    _announce(found)
    return run_unit(found, ROOT, hangup_stops=True)


def prepared(found: Loaded, folder: Path) -> Loaded:
    """The configuration with everything that development needs; makes the data folder."""
    try:
        (folder / "data").mkdir(exist_ok=True)
        extra = development.overrides(found, folder, make=True)
    except OSError as error:
        text = (error.strerror or "failed").lower()
        raise exits.Failure(exits.USAGE, f"{error.filename}: {text}") from error
    complete = options.loaded_again(found, extra)
    if problems := options.unit_problems(complete, ROOT):
        raise exits.of_problems([problem.detail for problem in problems])
    return complete


def _announce(found: Loaded) -> None:
    """What to do next, for the person at the terminal."""
    http = found.config.http
    host = "127.0.0.1" if http.host in {"0.0.0.0", "::", ""} else http.host  # noqa: S104 - read, not bound
    url = f"http://[{host}]:{http.port}" if ":" in host else f"http://{host}:{http.port}"
    if http.port:
        say.note(
            f"TaskHub starts at {url} with its data in ./data. Ctrl-C stops it.", colour="green"
        )
    taskhub = say.program()
    say.note(f"  export TASKHUB_URL={url} TASKHUB_TOKEN={_first_token(found)}")
    say.note(f"  {taskhub} create 'Resize images' --wait")
    say.note(f"  {taskhub} list")
    say.note(f"  {taskhub} status")


def _first_token(found: Loaded) -> str:
    """A token for the first steps, or what stands for one that only an issuer can make."""
    section, taskhub = found.config.jwt, say.program()
    if not section.issuer_signing_key:
        say.note(f"In another terminal, with a token of {issuers(section)[0].authority}:")
        return "..."
    say.note(f"In another terminal (the token is good for a day; `{taskhub} token` makes others):")
    return tokens.minted(section, "developer", tokens.SCOPES, ("Operator",), DAY)
