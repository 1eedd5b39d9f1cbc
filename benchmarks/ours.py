"""Measures TaskHub, everything on: log lines, metrics, events, audit, synchronous=FULL."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks import machine
from benchmarks.event_server import EventServer
from benchmarks.installation import TaskHub, ask, until_none
from benchmarks.load import Target, load, send
from benchmarks.peers import bare_endpoint
from benchmarks.plan import Plan
from benchmarks.results import Drain, EndToEnd, Footprint, Latency, Post
from benchmarks.seed import seed

NAME = "TaskHub"
WAYS = ("TaskHub, due later", "TaskHub, done at once")
BARE = "bare aiohttp"
BATCH = 1_000
BATCHES = f"TaskHub, batches of {BATCH:,}"
LATER = 30 * 86_400  # seconds: accepted and stored, but nothing for the worker to do yet
SPACING = 0.02  # seconds between two samples of an idle system
SETTLED = 3.0  # seconds after which a system is idle
SPAN = """
SELECT count(*), min(CreatedAt), max(CreatedAt), max(FinishedAt) FROM Tasks WHERE CreatedAt > ?"""


# ---- (a) accepting -------------------------------------------------------------------------------


def posts(folder: Path, plan: Plan) -> list[Post]:
    """The bare endpoint and TaskHub in turns, at each number of connections."""
    found: dict[tuple[str, int], list[Post]] = {}
    with bare_endpoint() as bare, TaskHub(folder) as hub:
        targets = {
            BARE: bare,
            WAYS[0]: hub.target(type="noop", delaySeconds=LATER),
            WAYS[1]: hub.target(type="noop"),
        }
        for target in targets.values():
            send(target, 16, 1_000)
        for _ in range(plan.rounds):
            for connections in plan.connections:
                for name, target in targets.items():
                    post = one_post(name, target, connections, plan.post)
                    found.setdefault((name, connections), []).append(post)
                    hub.until_done("noop")
            batches = hub.batch(BATCH, type="noop", delaySeconds=LATER)
            post = one_post(BATCHES, batches, 1, plan.post, BATCH)
            found.setdefault((BATCHES, 1), []).append(post)
    return [middle(runs) for runs in found.values()]


def one_post(name: str, target: Target, connections: int, seconds: int, tasks: int = 1) -> Post:
    """One run of the generator; each request holds so many tasks."""
    figures = load(target, connections, seconds)
    rate = figures.per_second * tasks
    return Post(name, connections, rate, figures.p50, figures.p99, figures.generator)


def middle(runs: Sequence[Post]) -> Post:
    """The medians of some runs."""
    return Post(
        runs[0].server,
        runs[0].connections,
        machine.median(run.per_second for run in runs),
        machine.median(run.p50 for run in runs),
        machine.median(run.p99 for run in runs),
        machine.median(run.generator for run in runs),
    )


# ---- (b) to Done, (d) latency, (e) memory --------------------------------------------------------


def whole(folder: Path, plan: Plan) -> tuple[EndToEnd, Latency, list[Footprint]]:
    """One installation: idle, then asked now and then, then under load."""
    with TaskHub(folder) as hub:
        processes = hub.processes()
        send(hub.target(type="noop"), 1, 100)
        time.sleep(SETTLED)
        idle = machine.memory_of(processes)
        share = machine.idle_cpu_of(processes, plan.idle)
        latency = _latency(hub, plan.samples)
        end = _ends(hub, plan, processes)
        loaded = machine.memory_of(processes)
    prints = [Footprint(NAME, name, idle[name], loaded[name], share[name]) for name in processes]
    return end, latency, prints


def _ends(hub: TaskHub, plan: Plan, processes: dict[str, int]) -> EndToEnd:
    rounds = []
    for _ in range(plan.rounds):
        seen = hub.ask("SELECT max(CreatedAt) FROM Tasks")[0]
        before = machine.cpu_of(processes)
        send(hub.target(type="noop"), 64, plan.end_to_end)
        hub.until_done("noop")
        spent = machine.difference(machine.cpu_of(processes), before)
        rounds.append((hub.ask(SPAN, *seen)[0], spent))
    return end_to_end(NAME, rounds)


def end_to_end(
    system: str, rounds: Sequence[tuple[tuple[float, ...], dict[str, float]]]
) -> EndToEnd:
    """Of (count, first and last creation, last end in microseconds) and CPU, the median round."""
    rates = [count / (ended - first) * 1e6 for (count, first, _, ended), _ in rounds]
    (count, first, last, ended), spent = rounds[rates.index(sorted(rates)[len(rates) // 2])]
    return EndToEnd(
        system,
        int(count),
        machine.median(rates),
        count / (last - first) * 1e6,
        (ended - last) / 1e6,
        {name: seconds / count * 1e4 for name, seconds in spent.items()},
        rates,
    )


def _latency(hub: TaskHub, samples: int) -> Latency:
    sent = post_slowly(hub.target(type="clock"), samples)
    hub.until_done("clock")
    rows = ask(hub.database, "SELECT Id, Result FROM Tasks WHERE Type = 'clock'")
    began = {str(id_): int(result) for id_, result in rows}
    delays = [(began[id_] - at) / 1e6 for id_, at in sent.items()]
    return latency(NAME, "POST to start", delays)


def latency(system: str, path: str, delays: Sequence[float]) -> Latency:
    """Quantiles of milliseconds."""
    p50, p99 = (machine.quantile(delays, share) for share in (0.5, 0.99))
    return Latency(system, path, len(delays), p50, p99)


def post_slowly(target: Target, samples: int) -> dict[str, int]:
    """Post one task after the other to an idle system: when each was sent (ns of 1970), by id."""
    client = http.client.HTTPConnection("127.0.0.1", target.port)
    headers = {"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"}
    sent = {}
    for _ in range(samples):
        time.sleep(SPACING)
        at = time.time_ns()
        client.request("POST", "/tasks", target.body, headers)
        answer = client.getresponse()
        sent[str(msgspec.json.decode(answer.read())["id"])] = at
        if answer.status != 201:
            raise RuntimeError(f"a POST was answered {answer.status}")
    client.close()
    return sent


# ---- (c) one worker ------------------------------------------------------------------------------


def drain(folder: Path, plan: Plan, server: EventServer) -> Drain:
    """A worker process alone, with the event server of the benchmark."""
    rates, costs = [], []
    for number in range(plan.rounds):
        place = folder / str(number)
        hub = TaskHub(place, "worker", f"unix://{server.socket}")
        seed(hub.database, plan.drained)
        with hub:
            started = machine.cpu(hub.root)
            until_none(hub.database, "SELECT count(*) FROM Tasks WHERE Status <> 'Done'")
            costs.append(machine.cpu(hub.root) - started)
        span = "SELECT count(*), min(StartedAt), max(FinishedAt) FROM Tasks"
        ((count, first, last),) = ask(hub.database, span)
        rates.append(count / (last - first) * 1e6)
    cost = machine.median(costs) / plan.drained * 1e4
    return Drain(NAME, plan.drained, machine.median(rates), cost, rates)


# ---- (e) takeover --------------------------------------------------------------------------------


def takeovers(folder: Path, plan: Plan) -> list[float]:
    """Seconds from SIGKILL to the next attempt's start, each in an installation of its own."""
    return [_takeover(folder / str(number)) for number in range(plan.takeovers)]


def _takeover(folder: Path) -> float:
    with TaskHub(folder) as hub:
        post_slowly(hub.target(type="victim"), 1)
        begun = "SELECT count(*) = 0 FROM Tasks WHERE Type = 'victim' AND Status = 'Processing'"
        until_none(hub.database, begun)
        killed = hub.kill_worker()
        hub.until_done("victim")
        ((began,),) = hub.ask("SELECT Result FROM Tasks WHERE Type = 'victim'")
    return (int(began) - killed) / 1e9
