"""`taskhub schedules`: what is made when, over the API; `explain` needs no server."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from taskhub.cli import client, exits, options, say
from taskhub.cli.client import path_of
from taskhub.cli.paging import pages
from taskhub.cli.payloads import payload_of

Schedule = dict[str, Any]
NAMES = {
    "time_zone": "timeZone",
    "title": "title",
    "kind": "type",
    "queue": "queue",
    "priority": "priority",
    "max_attempts": "maxAttempts",
    "timeout": "timeoutSeconds",
    "misfire": "misfire",
    "misfire_grace": "misfireGraceSeconds",
    "overlap": "overlap",
}
"""Options of `create`, as the API names them."""


@click.group()
def schedules() -> None:
    """What is made when: cron schedules (changes are for operators)."""


@schedules.command("list")
@options.list_options
def list_schedules(*, limit: int, everything: bool, as_json: bool) -> None:
    """List schedules by name; with --json one schedule a line."""
    hub = client.from_environment()
    found = pages(hub, "/schedules", {}, None if everything else limit)
    say.listing(found, ("NAME", "STATE", "NEXT", "LAST", "WHAT", "WHEN"), _row, as_json=as_json)


def _row(schedule: Schedule) -> tuple[object, ...]:
    times, last = schedule["nextRuns"], schedule["lastRun"]
    state = "paused" if schedule["paused"] else "on"
    ended = "-" if last is None else f"{last['status'] or 'deleted'} {say.moment(last['dueAt'])}"
    return (
        schedule["name"],
        state,
        say.moment(times[0]) if times else "-",
        ended,
        schedule["type"],
        schedule["words"],
    )


@schedules.command()
@click.argument("name")
@options.json_option
def show(name: str, *, as_json: bool) -> None:
    """Show a schedule: in words, next runs, last run."""
    _print(client.from_environment().get(_path(name)), as_json=as_json)


@schedules.command()
@click.argument("name")
@options.list_options
def runs(name: str, *, limit: int, everything: bool, as_json: bool) -> None:
    """List what became of a schedule's due times, newest first."""
    hub = client.from_environment()
    found = pages(hub, _path(name, "/runs"), {}, None if everything else limit)
    say.listing(found, ("DUE", "OUTCOME", "WHY", "TASK", "STATUS"), _run_row, as_json=as_json)


def _run_row(run: dict[str, Any]) -> tuple[object, ...]:
    why = run["reason"] or ("by hand" if run["manual"] else "")
    return say.moment(run["dueAt"]), run["outcome"], why, run["taskId"] or "", run["status"] or ""


@schedules.command()
@click.argument("name")
@click.argument("cron")
@click.option("--time-zone", help="Such as Europe/Berlin [default: UTC].")
@click.option("--title", help="Of its tasks [default: its name].")
@click.option("--type", "kind", help="What handles them [default: simulate].")
@click.option("--queue", help="Where they wait.")
@click.option("--priority", type=int, help="-100 to 100, the greater the sooner.")
@click.option("--payload", help="JSON for the handler; @FILE reads a file, - reads stdin.")
@click.option("--max-attempts", type=int, help="How often each may be started.")
@click.option("--timeout", type=float, help="Seconds that one attempt may take.")
@click.option("--misfire", help="Of times that were missed: skip, once or all [default: once].")
@click.option("--misfire-grace", type=float, help="Seconds until a time is missed [default: 60].")
@click.option("--overlap", help="While one runs: skip, queue or cancel [default: skip].")
@click.option("--replace", is_flag=True, help="Change the one of this name, if there is one.")
@options.json_option
def create(name: str, cron: str, *, replace: bool, as_json: bool, **rest: Any) -> None:
    """Make a schedule; CRON is such as '0 6 * * MON-FRI' or @daily."""
    body = {"cron": cron}
    body |= {member: rest[given] for given, member in NAMES.items() if rest[given] is not None}
    if rest["payload"] is not None:
        body["payload"] = payload_of(rest["payload"])
    hub = client.from_environment()
    whole = {"name": name, **body}
    made = hub.put(_path(name), body) if replace else hub.post("/schedules", whole)
    _print(made, as_json=as_json)


@schedules.command()
@click.argument("name")
@options.json_option
def pause(name: str, *, as_json: bool) -> None:
    """Handle no more due times until it is resumed."""
    _print(client.from_environment().post(_path(name, "/pause")), as_json=as_json)


@schedules.command()
@click.argument("name")
@options.json_option
def resume(name: str, *, as_json: bool) -> None:
    """Go on from now; what was due meanwhile is not made up for."""
    _print(client.from_environment().post(_path(name, "/resume")), as_json=as_json)


@schedules.command("run")
@click.argument("name")
@options.json_option
def run_now(name: str, *, as_json: bool) -> None:
    """Run it now and print the id of its task; `waits` where the run before goes on."""
    run = client.from_environment().post(_path(name, "/run"))
    if as_json:
        say.json_line(run)
    else:
        say.data(say.printable(str(run["taskId"] or "waits")))


@schedules.command()
@click.argument("name")
def delete(name: str) -> None:
    """Delete a schedule; its tasks stay."""
    client.from_environment().delete(_path(name))
    say.note(say.printable(f"{name} is deleted"))


@schedules.command()
@click.argument("cron")
@click.option("--time-zone", default="UTC", show_default=True, help="Such as Europe/Berlin.")
@click.option("--count", type=click.IntRange(1, 100), default=5, show_default=True, help="So many.")
@options.json_option
def explain(cron: str, *, time_zone: str, count: int, as_json: bool) -> None:
    """Say a cron expression in words, and when it is due next; asks no server."""
    from taskhub.schedules.cron import CronError, read, times_after, words

    try:
        found = read(cron, time_zone)
    except CronError as error:
        what = "CRON" if error.member == "cron" else "--time-zone"
        raise exits.Failure(exits.USAGE, f"{what}: expected {error}") from error
    times = islice(times_after(found, datetime.now(UTC)), count)
    local = [each.astimezone(found.zone).isoformat() for each in times]
    if as_json:
        say.document({"cron": cron, "timeZone": time_zone, "words": words(found), "next": local})
        return
    say.data(words(found))
    for each in local:
        say.data(each)


def _path(name: str, verb: str = "") -> str:
    return path_of("schedules", name, verb)


def _print(schedule: Schedule, *, as_json: bool) -> None:
    if as_json:
        say.document(schedule)
    else:
        say.members(schedule, {"payload"})
