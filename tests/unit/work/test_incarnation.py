"""Locks that tell the living from the dead, asked across real processes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from taskhub.kernel.clock import boot_id
from taskhub.model import Incarnation, Owner, TaskId
from taskhub.work.incarnation import LOCKS, IncarnationLock, Standing, ledger_file, lock_file
from taskhub.work.ledger import Ledger
from taskhub.work.neighbours import forget, probe, started

from tests.waiting import blocking_until

HOLDER = """
    import os, signal, sys
    from pathlib import Path
    from taskhub.model import Owner
    from taskhub.work.incarnation import IncarnationLock

    runtime, owner, then = Path(sys.argv[1]), Owner(sys.argv[2]), sys.argv[3]
    IncarnationLock(runtime, owner).hold()
    if then == "forks" and os.fork():
        os._exit(0)
    os.write(1, b"%d\\n" % os.getpid())
    signal.pause()
"""


def _owner(nonce: str, host: str | None = None) -> Owner:
    return Incarnation(host or boot_id(), "worker-1", nonce).owner


@contextmanager
def _holder(
    runtime: Path, owner: Owner, then: str = "waits"
) -> Iterator[tuple[subprocess.Popen[bytes], bytes]]:
    """A process that holds the lock of this owner, and the first line it says."""
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(runtime), owner, then]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_the_lock_of_a_living_process_is_held_and_of_a_killed_one_free(tmp_path: Path) -> None:
    """The kernel itself says so, at once."""
    owner = _owner("one")

    with _holder(tmp_path, owner) as (process, _):
        alive = probe(tmp_path, owner)
        process.kill()
        process.wait()

        assert (alive, probe(tmp_path, owner)) == (Standing.HELD, Standing.FREE)


def test_a_stopped_process_still_holds_its_lock(tmp_path: Path) -> None:
    """It may wake up and go on: nobody may take over from it."""
    owner = _owner("one")

    with _holder(tmp_path, owner) as (process, _):
        process.send_signal(signal.SIGSTOP)

        assert probe(tmp_path, owner) is Standing.HELD


def test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent(tmp_path: Path) -> None:
    """A handler that forks must not make its dead worker look alive, as a `flock` would."""
    owner = _owner("one")

    with _holder(tmp_path, owner, "forks") as (process, said):
        process.wait()
        child = int(said)
        try:
            os.kill(child, 0)  # it lives, with the file open

            assert probe(tmp_path, owner) is Standing.FREE
        finally:
            os.kill(child, signal.SIGKILL)
    blocking_until(lambda: not Path(f"/proc/{child}").exists())


def test_asking_does_not_take_the_lock(tmp_path: Path) -> None:
    """Two may ask at once, and neither is mistaken for the owner."""
    owner = _owner("one")

    with _holder(tmp_path, owner) as (process, _):
        asked = [probe(tmp_path, owner) for _ in range(3)]
        process.kill()
        process.wait()
        asked += [probe(tmp_path, owner) for _ in range(3)]

    assert asked == [Standing.HELD] * 3 + [Standing.FREE] * 3


def test_a_process_never_looks_at_its_own_lock(tmp_path: Path) -> None:
    """Opening and closing the file would drop the lock: others must still find it held."""
    owner = _owner("own")
    look = "import sys; from pathlib import Path; from taskhub.work.neighbours import probe;"
    look += "print(probe(Path(sys.argv[1]), sys.argv[2]))"

    with IncarnationLock(tmp_path, owner):
        assert probe(tmp_path, owner, own=owner) is Standing.HELD
        command = [sys.executable, "-c", look, str(tmp_path), owner]
        seen = subprocess.run(command, capture_output=True, text=True, check=True)

    assert seen.stdout == "held\n"


@pytest.mark.parametrize(
    "owner",
    [
        _owner("gone"),
        _owner("one", host="another-boot"),
        _owner("../one"),
        _owner(".."),
        _owner(""),
        Owner("no owner at all"),
    ],
)
def test_of_others_nothing_can_be_said(tmp_path: Path, owner: Owner) -> None:
    """Then the end of the lease decides; and no text from a database leads out of the folder."""
    (tmp_path / LOCKS).mkdir()
    (tmp_path / "one.lock").touch()
    (tmp_path / LOCKS / "one.lock").touch()

    assert probe(tmp_path, owner) is Standing.UNKNOWN


def test_the_files_are_for_our_account_alone(tmp_path: Path) -> None:
    """Somebody else's lock on our file would keep our tasks for ever."""
    runtime, owner = tmp_path / "runtime", _owner("one")

    with IncarnationLock(runtime, owner):
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (runtime / LOCKS).iterdir()]

        assert stat.S_IMODE((runtime / LOCKS).stat().st_mode) == 0o700
        assert modes == [0o600]


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """In a shared place another account could have put it there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / LOCKS).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(PermissionError):
        IncarnationLock(tmp_path, _owner("one")).hold()


def test_two_lives_never_share_a_lock(tmp_path: Path) -> None:
    """A nonce that comes twice is a mistake that must be loud."""
    owner = _owner("one")
    (tmp_path / LOCKS).mkdir()
    (tmp_path / LOCKS / "one.new").touch()

    with pytest.raises(FileExistsError):
        IncarnationLock(tmp_path, owner).hold()


def test_a_clean_end_leaves_nothing(tmp_path: Path) -> None:
    """Nobody will ask about an owner that holds no lease."""
    with IncarnationLock(tmp_path, _owner("one")):
        pass

    assert list((tmp_path / LOCKS).iterdir()) == []


def test_an_end_with_leases_left_looks_like_a_death(tmp_path: Path) -> None:
    """Whoever takes over finds the lock free and the ledger there."""
    owner = _owner("one")
    lock = IncarnationLock(tmp_path, owner)
    lock.hold()

    lock.abandon()

    assert probe(tmp_path, owner) is Standing.FREE


def test_after_a_takeover_the_dead_are_forgotten(tmp_path: Path) -> None:
    """Twice does no harm: two reapers may have seen the same death."""
    owner, folder = _owner("one"), tmp_path / LOCKS
    folder.mkdir()
    (folder / "one.lock").touch()
    (folder / "one.ledger").touch()

    forget(tmp_path, owner)
    forget(tmp_path, owner)

    assert list(folder.iterdir()) == []
    assert started(tmp_path, owner) is None


def _age(runtime: Path, *names: str) -> None:
    """Let more than a day pass for these files."""
    for name in names:
        os.utime(runtime / LOCKS / name, (0, time.time() - 100_000))


def test_a_new_life_takes_away_what_was_found_dead_a_day_ago(tmp_path: Path) -> None:
    """Processes that died without a lease leave files that no takeover ever removes."""
    live, dead = _owner("live"), _owner("dead")
    with _holder(tmp_path, live), _holder(tmp_path, dead) as (process, _):
        process.kill()
        process.wait()
        (tmp_path / LOCKS / "dead.ledger").touch()
        (tmp_path / LOCKS / "torn.new").touch()
        _age(tmp_path, "live.lock", "dead.lock", "dead.ledger")
        with IncarnationLock(tmp_path, _owner("finder")):
            pass
        (tmp_path / LOCKS / "fresh.lock").touch()
        _age(tmp_path, "live.lock", "dead.lock", "dead.ledger", "torn.new")

        with IncarnationLock(tmp_path, _owner("new")):
            left = sorted(path.name for path in (tmp_path / LOCKS).iterdir())

    assert left == ["fresh.lock", "live.lock", "new.lock"]


def test_who_lived_for_days_and_died_just_now_can_still_be_asked_about(tmp_path: Path) -> None:
    """Its successor starts before anybody has taken over: that needs the lock and the ledger."""
    dead, task = _owner("dead"), TaskId("0190b3a0-0000-7000-8000-000000000001")
    with _holder(tmp_path, dead) as (process, _):
        path = ledger_file(tmp_path, dead)
        assert path is not None
        ledger = Ledger.create(path, 4)
        ledger.start(task)
        ledger.close()
        _age(tmp_path, "dead.lock", "dead.ledger")
        process.kill()
        process.wait()

        with IncarnationLock(tmp_path, _owner("new")):
            assert probe(tmp_path, dead) is Standing.FREE
            assert started(tmp_path, dead) == [task]


def test_an_owner_names_its_two_files(tmp_path: Path) -> None:
    """Whoever has the row in the store finds both."""
    owner = _owner("abc123")

    assert lock_file(tmp_path, owner) == tmp_path / LOCKS / "abc123.lock"
    assert ledger_file(tmp_path, owner) == tmp_path / LOCKS / "abc123.ledger"
