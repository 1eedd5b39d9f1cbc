"""The ledger of started tasks, read after its writer's death."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskhub.model import TaskId
from taskhub.work.ledger import Ledger, read_ledger

IDS = [TaskId(str(UUID(int=number))) for number in range(1, 40)]

WRITER = """
    import os, resource, signal, sys
    from pathlib import Path
    from taskhub.work.ledger import Ledger

    path, slots, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    ledger = Ledger.create(path, slots)
    for order in sys.argv[4:]:
        (ledger.start if order[0] == "+" else ledger.end)(order[1:])
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "one.ledger"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """A ledger with four slots."""
    ledger = Ledger.create(path, 4)
    yield ledger
    ledger.close()


def _killed(path: Path, *orders: str, slots: int = 4, limit: int = 0) -> None:
    """A process that does all this and kills itself."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(slots), str(limit)]
    assert subprocess.run([*command, *orders], check=False).returncode == -9


def test_what_had_begun_is_known_after_a_kill(path: Path) -> None:
    """That is what it is for: those go alone next time, the others lose no attempt."""
    one, two, three = IDS[:3]

    _killed(path, f"+{one}", f"+{two}", f"-{one}", f"+{three}")

    assert sorted(read_ledger(path) or []) == [two, three]


def test_it_grows_when_more_begin_than_expected(path: Path) -> None:
    """The concurrency may be raised while it is open."""
    _killed(path, *(f"+{task_id}" for task_id in IDS), slots=2)

    assert sorted(read_ledger(path) or []) == IDS


def test_where_it_cannot_grow_it_says_that_it_is_incomplete(path: Path) -> None:
    """A task that is not in it may have begun all the same: whoever takes over must count all."""
    _killed(path, *(f"+{task_id}" for task_id in IDS), slots=3, limit=100)

    assert read_ledger(path) is None


def test_without_room_for_it_there_is_none(path: Path) -> None:
    """A page that has no place on the disk would kill its writer when it is touched."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), "1000", "100"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)

    assert "OSError" in run.stderr
    assert not path.exists()


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(IDS)), max_size=100))
def test_it_holds_exactly_what_began_and_did_not_end(
    tmp_path_factory: pytest.TempPathFactory, orders: list[tuple[bool, TaskId]]
) -> None:
    """In any order, twice or never."""
    path = tmp_path_factory.mktemp("ledger") / "one.ledger"
    ledger, held = Ledger.create(path, 3), set()
    for begins, task_id in orders:
        if begins:
            ledger.start(task_id)
            held.add(task_id)
        else:
            ledger.end(task_id)
            held.discard(task_id)
    ledger.close()

    assert sorted(read_ledger(path) or []) == sorted(held)


def test_a_fresh_ledger_says_that_nothing_has_begun(ledger: Ledger, path: Path) -> None:
    """Which is not the same as saying nothing."""
    assert read_ledger(path) == []


def test_a_ledger_may_be_closed_twice(ledger: Ledger) -> None:
    """Once by its worker, once by whoever cleans up after it."""
    ledger.close()
    ledger.close()


@pytest.mark.parametrize("content", [None, b"", b"something else, of sixteen bytes and more"])
def test_what_is_no_ledger_says_nothing(path: Path, content: bytes | None) -> None:
    """Not there, cut off before its first line, or another file."""
    if content is not None:
        path.write_bytes(content)

    assert read_ledger(path) is None


def test_two_never_write_into_one_ledger(ledger: Ledger, path: Path) -> None:
    """Each life has its own."""
    with pytest.raises(FileExistsError):
        Ledger.create(path, 4)
