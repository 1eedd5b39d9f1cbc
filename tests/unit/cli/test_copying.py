"""db copy: which store is which, whose password is whose, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from taskhub import app
from taskhub.config.sections import Config
from taskhub.store.moving import Copied, Plan, Progress

from tests.unit.cli.conftest import Run

SECRET, OTHER = "canary-7f31", "canary-9a02"
OURS, THEIRS, FILE = "postgresql://a@ours/t", "postgresql://b@theirs/t", "sqlite:///t.db"
Ends = list[tuple[str, str]]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """The address and the password of both ends of each copy that is asked for."""
    seen: Ends = []

    def copied(source: Config, target: Config, tell: Callable[[Progress], None]) -> list[Copied]:
        seen.extend((end.store.url, end.store.password.reveal()) for end in (source, target))
        tell(Progress("copy", "Tasks", 0, 1_000, 0.0))
        tell(Progress("copy", "Tasks", 500, 1_000, 5.0))
        tell(Progress("copy", "Tasks", 1_000, 1_000, 1_234.5))
        return [Copied("Tasks", 1_000, "00ff")]

    monkeypatch.setattr(app, "copy_store", copied)
    monkeypatch.setattr(app, "plan_copy", lambda *_: Plan({"Tasks": 1_000}, {"Tasks": 7}))
    return seen


def test_the_end_is_told_in_rows_and_what_to_do_next(run: Run, ends: Ends) -> None:
    """Data on stdout; how far it was, and not each step of it, on stderr."""
    ended = run("db", "copy", "--from", FILE, "--to", OURS)

    assert ended.code == 0
    assert ended.out == "TABLE  ROWS   CHECKSUM\nTasks  1,000  00ff\n"
    assert ended.err.splitlines() == [
        "copy Tasks: 1,000 of 1,000 rows, 1,234 rows/s",
        f'taskhub: both are the same; set [store] url = "{OURS}" and start TaskHub',
    ]
    assert ends == [(FILE, ""), (OURS, "")]


def test_a_dry_run_copies_nothing(run: Run, ends: Ends) -> None:
    """It says how much there is."""
    ended = run("db", "copy", "--from", FILE, "--to", OURS, "--dry-run")

    assert (ended.code, ended.out) == (0, "TABLE  ROWS   COPIED\nTasks  1,000  7\n")
    assert ends == []


def test_each_end_has_its_own_password(
    run: Run, ends: Ends, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configured one is for the configured store, or for whichever is a server."""
    file = folder / "password"
    file.write_text(OTHER + "\n")
    file.chmod(0o600)
    monkeypatch.setenv("Store__Password", SECRET)
    run("db", "copy", "--from", FILE, "--to", OURS)
    monkeypatch.setenv("Store__Url", OURS)
    run("db", "copy", "--from", OURS, "--to", THEIRS)
    monkeypatch.setenv("TASKHUB_FROM_PASSWORD", OTHER)
    monkeypatch.setenv("TASKHUB_TO_PASSWORD_FILE", str(file))
    run("db", "copy", "--from", OURS, "--to", THEIRS)

    assert ends[1] == (OURS, SECRET)
    assert ends[2:4] == [(OURS, SECRET), (THEIRS, "")]
    assert ends[4:] == [(OURS, OTHER), (THEIRS, OTHER)]


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ((FILE, f"postgresql://u:{SECRET}@h/t"), "--to: expected no password here: it goes into "),
        (("oracle://h/t", OURS), "--from: expected sqlite:///PATH"),
        ((FILE, OURS), "TASKHUB_TO_PASSWORD_FILE cannot be read"),
    ],
)
def test_a_mistake_is_one_line_without_a_secret(
    run: Run, ends: Ends, monkeypatch: pytest.MonkeyPatch, urls: tuple[str, str], said: str
) -> None:
    """Nothing was asked of any database."""
    monkeypatch.setenv("TASKHUB_TO_PASSWORD_FILE", "/nowhere")
    ended = run("db", "copy", "--from", urls[0], "--to", urls[1])

    assert (ended.code, ended.out, ends) == (2, "", [])
    assert ended.err.startswith(f"taskhub: {said}")
    assert ended.err.count("\n") == 1
    assert SECRET not in ended.err


def test_a_file_that_others_may_read_is_refused(
    run: Run, ends: Ends, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everywhere with secrets."""
    file = Path("/tmp") / f"{tmp_path_factory.mktemp('open').name}-password"
    file.write_text(SECRET)
    file.chmod(0o644)
    monkeypatch.setenv("TASKHUB_TO_PASSWORD_FILE", str(file))
    try:
        ended = run("db", "copy", "--from", FILE, "--to", OURS)
    finally:
        file.unlink()

    assert (ended.code, ends) == (2, [])
    assert "others may read this secret" in ended.err


def test_a_store_is_not_copied_into_itself(run: Run) -> None:
    """However its path is written."""
    ended = run("db", "copy", "--from", FILE, "--to", f"sqlite:///{Path.cwd()}/t.db")

    assert (ended.code, ended.err) == (1, "taskhub: the source and the target are the same\n")
