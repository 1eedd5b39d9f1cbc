"""The table of commands: a command's module is imported when it is called, not before."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "Try it": {
        "demo": ("demo.command:demo", "Watch a whole TaskHub at work for half a minute."),
        "dev": ("running:dev", "Run everything here, with throw-away keys, data under ./data."),
    },
    "Run it": {
        "run": ("running:run", "Run a unit of the configuration until it is told to stop."),
        "check": ("configuration:check", "Find every mistake in the configuration."),
        "config": ("configuration:show", "Show each value in force and where it comes from."),
        "reload": ("supervision:reload", "Apply the configuration file to a running TaskHub."),
        "status": ("supervision:status", "Show the actors of every process that runs here."),
        "doctor": (
            "doctor.command:doctor",
            "Look at all that it needs here; say what mends the rest.",
        ),
        "top": ("top.command:top", "Watch queues, rates, workers and actors, live."),
        "actors": ("actors:actors", "The same as status; `actors restart NAME` restarts one."),
        "db": ("database:db", "Make, move and look at the database's schema."),
    },
    "Use it": {
        "token": ("tokens:token", "Make a token from the configured secret."),
        "create": ("tasks:create", "Create a task."),
        "list": ("tasks:list_tasks", "List tasks, newest first."),
        "show": ("tasks:show", "Show a task."),
        "watch": ("tasks:watch", "Follow a task until it ends."),
        "events": ("events:events", "Follow everything that happens."),
        "why": ("queues:why", "Show why a task does not run."),
        "cancel": ("acting:cancel", "Cancel a task, or all that match a search."),
        "retry": ("acting:retry", "Run failed or cancelled tasks again."),
        "delete": ("acting:delete", "Delete tasks that have ended."),
        "failures": ("failures:failures", "Show failed tasks, in groups of those alike."),
        "parents": ("parents:parents", "Show the tasks that a task is after."),
        "children": ("parents:children", "Show the tasks that are after a task."),
        "attempts": ("failures:attempts", "Show the attempts of a task with their errors."),
        "types": ("types:types", "Show the types of tasks and who does them."),
        "queues": ("queues:queues", "Show queues; pause, resume or drain one."),
        "schedules": ("schedules:schedules", "Make, show, pause, run what is made when."),
        "audit": ("audit:audit", "Show who did what, newest first."),
    },
}
"""By heading: name, where the command is (below `taskhub.cli`), its line in the help."""

_PLACES = {name: place for part in COMMANDS.values() for name, (place, _) in part.items()}


class Commands(click.Group):
    """A group that knows its commands by name and loads one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, in the order of the help."""
        return list(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself; None when there is no such name."""
        place = _PLACES.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command = getattr(import_module(f"taskhub.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The same as click does, with a guess at what was meant."""
        if args and args[0] not in _PLACES and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}{_guess(args[0])}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help, from the table alone: no command is imported for it."""
        for heading, part in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, line) for name, (_, line) in part.items()])


def _guess(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, list(_PLACES), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click calls it
    if wanted:
        from taskhub.build import commit, version

        built = commit()
        click.echo(f"taskhub {version()}{f' (commit {built})' if built else ''}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def commands() -> None:
    """TaskHub: a durable task server."""
