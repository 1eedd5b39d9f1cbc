"""What the kernel says of this process (CPU, memory, descriptors), as metrics; Linux's /proc."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric

_STATM_RESIDENT = 1  # the second field of /proc/self/statm, in pages; see proc(5)
_STARTED = time.time()


def process_metrics(unit: str) -> Iterator[Metric]:
    """The usual `process_*` metrics of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    yield _metric("process_cpu_seconds", "CPU time, user and system.", "counter", unit, cpu)
    yield _metric("process_start_time_seconds", "Start, as Unix time.", "gauge", unit, _STARTED)
    threads = threading.active_count()
    yield _metric("process_threads", "Threads of Python.", "gauge", unit, threads)
    if (resident := _resident()) is not None:
        text = "Memory in RAM."
        yield _metric("process_resident_memory_bytes", text, "gauge", unit, resident)
    if (descriptors := _descriptors()) is not None:
        text = "Open file descriptors."
        yield _metric("process_open_fds", text, "gauge", unit, descriptors)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    text = "How many file descriptors may be open."
    yield _metric("process_max_fds", text, "gauge", unit, limit)


def _metric(name: str, text: str, kind: str, unit: str, value: float) -> Metric:
    metric = Metric(name, text, kind)
    suffix = "_total" if kind == "counter" else ""
    metric.add_sample(name + suffix, {"unit": unit}, value)
    return metric


def _resident() -> int | None:
    try:
        fields = Path("/proc/self/statm").read_bytes().split()
    except OSError:  # no /proc here, or hidden from us
        return None
    return int(fields[_STATM_RESIDENT]) * resource.getpagesize()


def _descriptors() -> int | None:
    try:
        return sum(1 for _ in os.scandir("/proc/self/fd")) - 1  # not the one that lists them
    except OSError:
        return None
