"""Measures what a user would write instead: FastAPI, SQLAlchemy and arq; and arq by itself."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.event_server import EventServer
from benchmarks.installation import ask, until_none
from benchmarks.load import send
from benchmarks.ours import SETTLED, end_to_end, latency, one_post, post_slowly
from benchmarks.peers import Stack, arq_alone, arq_alone_worker
from benchmarks.plan import Plan
from benchmarks.results import Drain, EndToEnd, Footprint, Latency, Post

NAME = "FastAPI + SQLAlchemy + arq"
ARQ = "arq alone"
SPAN = """
SELECT count(*), min(CreatedAt), max(CreatedAt), max(FinishedAt) FROM Tasks WHERE CreatedAt > ?"""
UNDONE = "SELECT count(*) FROM Tasks WHERE Status <> 'Done'"


def posts(folder: Path, plan: Plan, server: EventServer) -> list[Post]:
    """With the worker at work, as it is beside TaskHub's API."""
    stack = Stack(folder, server)
    with stack.api(), stack.worker():
        send(stack.target, 16, 100)
        return [
            one_post(NAME, stack.target, connections, plan.stack_post)
            for connections in plan.connections
        ]


def whole(
    folder: Path, plan: Plan, server: EventServer
) -> tuple[EndToEnd, Latency, list[Footprint]]:
    """API and worker, idle and then under load; a smaller load, for it takes its time."""
    stack = Stack(folder, server)
    with stack.api() as api, stack.worker() as worker:
        processes = {"api": api, "worker": worker, "redis": server.pid}
        send(stack.target, 1, 20)
        time.sleep(SETTLED)
        idle = machine.memory_of(processes)
        share = machine.idle_cpu_of(processes, plan.idle / 2)
        delays = _latency(stack, plan.samples)
        end = _end(stack, plan, processes)
        loaded = machine.memory_of(processes)
    prints = [Footprint(NAME, name, idle[name], loaded[name], share[name]) for name in processes]
    return end, delays, prints


def _latency(stack: Stack, samples: int) -> Latency:
    sent = post_slowly(stack.target, samples)
    until_none(stack.database, UNDONE)
    rows = ask(stack.database, "SELECT Id, Result FROM Tasks")
    began = {str(id_): int(result) for id_, result in rows}
    delays = [(began[id_] - at) / 1e6 for id_, at in sent.items()]
    return latency(NAME, "POST to start", delays)


def _end(stack: Stack, plan: Plan, processes: dict[str, int]) -> EndToEnd:
    before = machine.cpu_of(processes)
    seen = ask(stack.database, "SELECT count(*), max(CreatedAt) FROM Tasks")[0]
    send(stack.target, 64, plan.stack_end_to_end)
    until_none(stack.database, UNDONE)
    spent = machine.difference(machine.cpu_of(processes), before)
    count, *times = ask(stack.database, SPAN, seen[1])[0]
    return end_to_end(NAME, [((count, *map(_micros, times)), spent)])


def arq(plan: Plan, server: EventServer) -> tuple[Drain, Latency]:
    """Neither HTTP nor SQL: the queue itself."""
    with arq_alone_worker(server) as worker:
        time.sleep(SETTLED)
        started = machine.cpu(worker)
        delays = latency(ARQ, "enqueue to start", arq_alone("latency", plan.samples, server))
    rates, costs = [], []
    for _ in range(plan.rounds):
        arq_alone("enqueue", plan.arq_drained, server)
        with arq_alone_worker(server) as worker:
            first, last = arq_alone("drained", plan.arq_drained, server)
            costs.append(machine.cpu(worker) - started)
        rates.append(plan.arq_drained / (last - first))
    cost = machine.median(costs) / plan.arq_drained * 1e4
    return Drain(ARQ, plan.arq_drained, machine.median(rates), cost, rates), delays


def _micros(text: object) -> float:
    """Since 1970, of a time as SQLAlchemy writes it."""
    return datetime.fromisoformat(f"{text}+00:00").timestamp() * 1e6
