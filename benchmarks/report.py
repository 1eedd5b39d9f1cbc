"""Tables and bars: what was found, for eyes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks import machine, ours, theirs
from benchmarks.results import Bar, Post, Report

MEMORY = 70.0
DRAIN = 27_500  # no-op tasks a second: the fastest queue known to us, graphile-worker, on two cores


def bars(report: Report) -> list[Bar]:
    """What was asked for, as ratios within this run."""
    return [*_speed_bars(report), *_idle_bars(report)]


def _speed_bars(report: Report) -> Iterable[Bar]:
    ends = {end.system: end.per_second for end in report.ends}
    yield _at_least("to Done over HTTP, of the stack", ends[ours.NAME] / ends[theirs.NAME], 25, 40)
    later, at_once, bare = (_rates(report, name) for name in (*ours.WAYS, ours.BARE))
    stack = _rates(report, theirs.NAME)
    yield _at_least(
        "POST at 64, of bare aiohttp", later[64].per_second / bare[64].per_second, 0.5, 0.65
    )
    yield _at_most("POST at 64, p99", later[64].p99, 30, "ms")
    ratio = at_once[64].per_second / bare[64].per_second
    yield _at_least("POST at 64 while a worker does them, of bare", ratio, 0.5, 0.65)
    yield _at_most("POST at 64 while a worker does them, p99", at_once[64].p99, 30, "ms")
    yield _at_least("POST at 1, of the stack", at_once[1].per_second / stack[1].per_second, 4)
    batches = _rates(report, ours.BATCHES)[1].per_second
    yield _at_least("tasks in batches, of single posts at 1", batches / later[1].per_second, 10)
    drains = {drain.system: drain.per_second for drain in report.drains}
    yield _at_least("drain, of arq", drains[ours.NAME] / drains[theirs.ARQ], 15)
    yield _at_least("drain, of graphile-worker's 27,500/s", drains[ours.NAME] / DRAIN, 1)


def _idle_bars(report: Report) -> Iterable[Bar]:
    p50 = {latency.system: latency.p50 for latency in report.latencies}
    yield _at_most("POST to start, p50, of arq's own", p50[ours.NAME] / p50[theirs.ARQ], 0.5)
    mine = [each for each in report.footprints if each.system == ours.NAME]
    idle = sum(each.idle_cpu or 0 for each in mine)
    yield _at_most("idle CPU, all processes", idle, 1, "% of a core")
    largest = max(each.loaded_memory for each in mine)
    yield _at_most("memory of the largest process", largest, MEMORY, "MB")
    yield _at_most("takeover, median", machine.median(report.takeovers), 1, "s")


def _rates(report: Report, server: str) -> dict[int, Post]:
    return {post.connections: post for post in report.posts if post.server == server}


def _at_least(name: str, value: float, least: float, aim: float | None = None) -> Bar:
    wanted = f"at least {least:g}" + (f", aim {aim:g}" if aim else "")
    return Bar(name, value, "times", wanted, value >= least)


def _at_most(name: str, value: float, most: float, unit: str = "times") -> Bar:
    return Bar(name, value, unit, f"at most {most:g}", value <= most)


# ---- tables --------------------------------------------------------------------------------------


def text(report: Report) -> str:
    """All of it, as Markdown."""
    parts = ["## The machine", *(f"- {name}: {value}" for name, value in report.machine.items())]
    for title, head, rows in (_posts(report), _ends(report), _drains(report), _latencies(report)):
        parts += ["", f"## {title}", *table(head, rows)]
    for title, head, rows in (_costs(report), _prints(report), _bars(report)):
        parts += ["", f"## {title}", *table(head, rows)]
    return "\n".join(parts)


Rows = list[Sequence[str]]
Table = tuple[str, Sequence[str], Rows]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table whose columns stand under each other."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    rule = ["-" * width for width in widths]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (head, rule, *rows)
    ]


def _posts(report: Report) -> Table:
    head = ("server", "connections", "tasks/s", "of bare", "p50 ms", "p99 ms", "wrk us")
    bare = _rates(report, ours.BARE)
    rows: Rows = [
        (
            post.server,
            f"{post.connections}",
            f"{post.per_second:,.0f}",
            f"{post.per_second / bare[post.connections].per_second:.2f}",
            f"{post.p50:.2f}",
            f"{post.p99:.2f}",
            f"{post.generator:.0f}",
        )
        for post in sorted(report.posts, key=lambda post: post.connections)
    ]
    return "POST /tasks", head, rows


def _ends(report: Report) -> Table:
    head = ("system", "tasks", "tasks/s to Done", "POST/s meanwhile", "lag s", "runs")
    rows: Rows = [
        (
            end.system,
            f"{end.tasks:,}",
            f"{end.per_second:,.0f}",
            f"{end.posts_per_second:,.0f}",
            f"{end.lag:.2f}",
            _runs(end.runs),
        )
        for end in report.ends
    ]
    return "Posted over 64 connections until all are Done", head, rows


def _drains(report: Report) -> Table:
    head = ("system", "tasks", "tasks/s", "worker CPU s/10k", "runs")
    rows: Rows = [
        (
            drain.system,
            f"{drain.tasks:,}",
            f"{drain.per_second:,.0f}",
            f"{drain.cpu:.2f}",
            _runs(drain.runs),
        )
        for drain in report.drains
    ]
    return "Stored no-op tasks, drained by one worker process", head, rows


def _latencies(report: Report) -> Table:
    head = ("system", "from, to", "samples", "p50 ms", "p99 ms")
    rows: Rows = [
        (each.system, each.path, f"{each.samples}", f"{each.p50:.2f}", f"{each.p99:.2f}")
        for each in report.latencies
    ]
    seconds = sorted(report.takeovers)
    if seconds:
        p50, worst = f"{machine.median(seconds) * 1e3:,.0f}", f"max {seconds[-1] * 1e3:,.0f}"
        rows.append(
            (ours.NAME, "SIGKILL of the worker to next attempt", f"{len(seconds)}", p50, worst)
        )
    return "Latency of an idle system", head, rows


def _costs(report: Report) -> Table:
    head = ("system", "process", "CPU s/10k tasks to Done")
    rows: Rows = [
        (end.system, name, f"{seconds:.2f}")
        for end in report.ends
        for name, seconds in end.cpu.items()
    ]
    return "What a task costs", head, rows


def _prints(report: Report) -> Table:
    head = ("system", "process", "MB idle", "MB after the load", "idle CPU %")
    rows: Rows = [
        (
            each.system,
            each.process,
            f"{each.idle_memory:.1f}",
            f"{each.loaded_memory:.1f}",
            f"{each.idle_cpu or 0:.2f}",
        )
        for each in report.footprints
    ]
    return "What a process holds", head, rows


def _bars(report: Report) -> Table:
    head = ("bar", "measured", "wanted", "")
    rows: Rows = [
        (
            bar.name,
            f"{bar.value:.2f} {bar.unit}",
            bar.wanted,
            "met" if bar.is_met else "NOT met",
        )
        for bar in report.bars
    ]
    return "Bars, as ratios within this run", head, rows


def _runs(rates: Sequence[float]) -> str:
    return " ".join(f"{rate:,.0f}" for rate in rates)
