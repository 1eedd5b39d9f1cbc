"""Daily log files: the right name, the right mode, the right age, and nobody else's file."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from taskhub.obs.files import DailyFile, Keep
from taskhub.obs.sinks import ThreadSink

from tests.waiting import blocking_until

FIRST = date(2025, 9, 28)


class Calendar:
    """A day that a test turns over."""

    def __init__(self) -> None:
        """Begin on the first day."""
        self.day = FIRST

    def __call__(self) -> date:
        """Today."""
        return self.day


@pytest.fixture
def calendar() -> Calendar:
    """The clock of the file under test."""
    return Calendar()


@pytest.fixture
def file(tmp_path: Path, calendar: Calendar) -> Iterator[DailyFile]:
    """The daily file of a worker, kept for three days."""
    made = DailyFile(tmp_path, "worker", Keep(3), calendar)
    yield made
    made.close()


def names(directory: Path) -> list[str]:
    """What lies in a directory."""
    return sorted(path.name for path in directory.iterdir())


def test_each_day_has_its_own_file(tmp_path: Path, file: DailyFile, calendar: Calendar) -> None:
    """The first line after midnight (UTC) goes into the new day's file."""
    file.write(b"late\n")
    calendar.day += timedelta(days=1)
    file.write(b"early\n")

    assert (tmp_path / "worker20250928.log").read_bytes() == b"late\n"
    assert (tmp_path / "worker20250929.log").read_bytes() == b"early\n"


def test_a_new_process_goes_on_in_the_file_of_the_day(tmp_path: Path, file: DailyFile) -> None:
    """A restart loses no line, and several workers share a file."""
    other = DailyFile(tmp_path, "worker", Keep(3), lambda: FIRST)

    file.write(b"one\n")
    other.write(b"two\n")
    file.write(b"three\n")
    other.close()

    assert (tmp_path / "worker20250928.log").read_bytes() == b"one\ntwo\nthree\n"


def test_old_files_of_ours_are_deleted_and_no_others(
    tmp_path: Path, file: DailyFile, calendar: Calendar
) -> None:
    """Logs do not fill the disk; what we did not write is not ours to delete."""
    foreign = ["api20250901.log", "worker20259999.log", "worker20250901.log.gz", "notes.txt"]
    for name in [*foreign, "worker20250101.log"]:
        (tmp_path / name).touch()

    for _ in range(5):
        file.write(b"x\n")
        calendar.day += timedelta(days=1)

    kept = [f"worker202509{day}.log" for day in (30,)] + [
        "worker20251001.log",
        "worker20251002.log",
    ]
    assert names(tmp_path) == sorted([*foreign, *kept])


def test_a_log_file_is_for_its_owner_and_its_group(tmp_path: Path, file: DailyFile) -> None:
    """The log's collector reads it through its group, whatever the mask of the service."""
    before = os.umask(0o077)
    try:
        file.write(b"x\n")
    finally:
        os.umask(before)

    mode = stat.S_IMODE((tmp_path / "worker20250928.log").stat().st_mode)
    assert mode == 0o640


@pytest.mark.parametrize("kind", ["symlink", "dangling", "hardlink", "pipe"])
def test_what_lies_at_the_files_place_is_not_followed(
    tmp_path: Path, file: DailyFile, kind: str
) -> None:
    """Else who may write to the directory could have us write to any file."""
    victim, place = tmp_path / "victim", tmp_path / "worker20250928.log"
    if kind != "dangling":
        victim.write_bytes(b"precious\n")
    if kind == "hardlink":
        place.hardlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(victim)

    file.write(b"a line\n")

    assert place.read_bytes() == b"a line\n"
    assert not place.is_symlink()
    assert kind == "dangling" or victim.read_bytes() == b"precious\n"
    assert kind != "dangling" or not victim.exists()


@pytest.mark.parametrize("act", ["moved", "deleted", "directory deleted"])
def test_a_file_that_has_gone_is_made_anew(tmp_path: Path, act: str) -> None:
    """A log rotator or a tidy person must not make us write into nowhere."""
    file = DailyFile(tmp_path / "logs", "api", Keep(3), lambda: FIRST)
    place = tmp_path / "logs" / "api20250928.log"
    file.write(b"before\n")
    if act == "moved":
        place.rename(tmp_path / "old.log")
    else:
        place.unlink()
    if act == "directory deleted":
        place.parent.rmdir()

    file.write(b"after\n")
    file.close()

    assert place.read_bytes() == b"after\n"


def test_it_can_be_told_to_open_its_file_anew(tmp_path: Path, file: DailyFile) -> None:
    """Nothing is lost when a reload comes between two lines."""
    file.write(b"one\n")
    file.reopen()
    file.write(b"two\n")

    assert (tmp_path / "worker20250928.log").read_bytes() == b"one\ntwo\n"


LINE = b"x" * 99 + b"\n"


def test_a_full_file_is_followed_by_the_next_of_the_day(tmp_path: Path, calendar: Calendar) -> None:
    """Under a name of its own, so that whoever follows the files reads no line twice."""
    file = DailyFile(tmp_path, "worker", Keep(3, 8_000), calendar)  # pieces of 1,000 bytes

    for _ in range(25):
        file.write(LINE)
    calendar.day += timedelta(days=1)
    file.write(LINE)
    file.close()

    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {
        "worker20250928.log": 1_000,
        "worker20250928_001.log": 1_000,
        "worker20250928_002.log": 500,
        "worker20250929.log": 100,
    }


def test_all_files_together_stay_below_their_limit(tmp_path: Path, calendar: Calendar) -> None:
    """A storm of lines costs the oldest ones, never the disk; other files are left alone."""
    file = DailyFile(tmp_path, "worker", Keep(3, 8_000), calendar)
    others = {"api20250928.log": 5_000, "worker20250928_1.log": 5_000}
    for name, size in others.items():
        (tmp_path / name).write_bytes(b"x" * size)

    for number in range(300):
        file.write(LINE)
        calendar.day += timedelta(days=number == 100)
        ours = [path for path in tmp_path.iterdir() if path.name not in others]
        assert sum(path.stat().st_size for path in ours) <= 8_000
    file.close()

    assert others.keys() <= set(names(tmp_path))
    assert names(tmp_path)[-1] == "worker20250929_019.log"


def test_a_great_heap_of_lines_is_parted_between_two_of_them(
    tmp_path: Path, calendar: Calendar
) -> None:
    """What has waited for a disk comes at once: it is not more than may be kept either."""
    file, data = DailyFile(tmp_path, "worker", Keep(3, 8_000), calendar), LINE * 199
    file.write(LINE)

    while data:
        data = data[file.write(data) :]
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 8_000
    file.close()

    texts = [path.read_bytes() for path in tmp_path.iterdir()]
    assert all(text.endswith(b"\n") and not len(text) % len(LINE) for text in texts)


def test_processes_that_share_a_file_go_on_in_the_next_one_together(
    tmp_path: Path, calendar: Calendar
) -> None:
    """Who finds the last one full begins one more; the others find that."""
    files = [DailyFile(tmp_path, "worker", Keep(3, 8_000), calendar) for _ in range(3)]

    for _ in range(14):
        for file in files:
            file.write(LINE)
    for file in files:
        file.close()

    assert [path.stat().st_size for path in sorted(tmp_path.iterdir())] == [1_000] * 4 + [200]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_costs_lines_and_nothing_else(small_disk: Path) -> None:
    """Lines are dropped and counted; when there is space again, the log goes on by itself."""
    sink = ThreadSink(
        DailyFile(small_disk, "api", Keep(3), lambda: FIRST), limit=1_000_000, linger=0, retry=0.01
    )
    stuffing = small_disk / "stuffing"
    stuffing.write_bytes(b"x" * 1_000_000)

    for number in range(5_000):
        sink.write(b'{"n":%d,"pad":"%s"}' % (number, b"p" * 300))
    blocking_until(lambda: sink.dropped > 0)
    dropped = sink.dropped
    stuffing.unlink()
    blocking_until(lambda: log(small_disk).count(b"\n") >= 5_000 - dropped)
    sink.write(b"after")
    sink.close(10)

    lines = log(small_disk).splitlines()
    assert lines[-1] == b"after"
    assert sink.dropped == dropped
    assert len(lines) == 5_000 - dropped + 1
    assert all(line.startswith(b'{"n":') and line.endswith(b'"}') for line in lines[:-1])


def log(directory: Path) -> bytes:
    """The log of the API."""
    path = directory / "api20250928.log"
    return path.read_bytes() if path.exists() else b""
