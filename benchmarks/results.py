"""What one benchmark has found, as plain data: it is what the JSON file holds."""

from __future__ import annotations

import msgspec


class Post(msgspec.Struct, frozen=True):
    """New tasks at one number of connections; times of a request, in milliseconds."""

    server: str
    connections: int
    per_second: float
    """Tasks; a request holds one of them, or a batch."""
    p50: float
    p99: float
    generator: float
    """Microseconds of CPU that the generator has taken for a request, on the same cores."""


class EndToEnd(msgspec.Struct, frozen=True):
    """Posted over HTTP until all are Done; CPU in seconds for 10,000 tasks, by process."""

    system: str
    tasks: int
    per_second: float
    posts_per_second: float
    lag: float
    """Seconds from the last POST to the last Done."""
    cpu: dict[str, float]
    runs: list[float]


class Drain(msgspec.Struct, frozen=True):
    """Stored no-op tasks, done by one worker process."""

    system: str
    tasks: int
    per_second: float
    cpu: float
    """The worker's, in seconds for 10,000 tasks."""
    runs: list[float]


class Latency(msgspec.Struct, frozen=True):
    """Of an idle system, in milliseconds; `path` says from where to where."""

    system: str
    path: str
    samples: int
    p50: float
    p99: float


class Footprint(msgspec.Struct, frozen=True):
    """What one process holds (megabytes resident) and takes when idle (percent of a core)."""

    system: str
    process: str
    idle_memory: float
    loaded_memory: float
    idle_cpu: float | None


class Bar(msgspec.Struct, frozen=True):
    """One measure held against what was asked for."""

    name: str
    value: float
    unit: str
    wanted: str
    is_met: bool


class Report(msgspec.Struct):
    """All of it."""

    machine: dict[str, str]
    posts: list[Post] = []
    ends: list[EndToEnd] = []
    drains: list[Drain] = []
    latencies: list[Latency] = []
    footprints: list[Footprint] = []
    takeovers: list[float] = []
    """Seconds from the SIGKILL of a worker to the start of the next attempt of its task."""
    bars: list[Bar] = []
