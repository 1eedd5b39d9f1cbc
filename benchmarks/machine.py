"""What the machine is, and what processes take of it; Linux's /proc, read by hand."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def described(folder: Path) -> dict[str, str]:
    """The machine in a few words, and how quick its disk says that something is durable."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    p50, p99 = _sync_times(folder)
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fdatasync of 4 KiB": f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
        "load before": load,
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _sync_times(folder: Path) -> tuple[float, float]:
    path, taken = folder / "sync", []
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    for number in range(200):
        os.pwrite(file, b"x" * 4_096, number * 4_096)
        began = time.perf_counter()
        os.fdatasync(file)
        taken.append((time.perf_counter() - began) * 1e3)
    os.close(file)
    path.unlink()
    return quantile(taken, 0.5), quantile(taken, 0.99)


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: Iterable[float]) -> float:
    """As the statistics module has it."""
    return statistics.median(values)


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, its threads included; 0.01 s exact."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def fine_cpu(pid: int) -> float:
    """The same in nanoseconds' exactness, of the threads that live."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident(pid: int) -> float:
    """Megabytes of memory that a process holds now, shared pages counted in full (RSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_of(processes: Mapping[str, int]) -> dict[str, float]:
    """Seconds of CPU so far by name."""
    return {name: cpu(pid) for name, pid in processes.items()}


def memory_of(processes: Mapping[str, int]) -> dict[str, float]:
    """Megabytes by name."""
    return {name: resident(pid) for name, pid in processes.items()}


def idle_cpu_of(processes: Mapping[str, int], seconds: float) -> dict[str, float]:
    """Percent of one core by name, over some seconds in which nobody asks for anything."""
    before = {name: fine_cpu(pid) for name, pid in processes.items()}
    time.sleep(seconds)
    return {name: (fine_cpu(pid) - before[name]) / seconds * 100 for name, pid in processes.items()}


def difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """What has been added, by name."""
    return {name: after[name] - before[name] for name in before if name in after}
