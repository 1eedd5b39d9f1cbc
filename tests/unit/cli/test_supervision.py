"""status and reload: they ask real sockets; who has gone, is frozen or refuses is told apart."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from taskhub.kernel.call import Refused
from taskhub.kernel.child import ActorState, State
from taskhub.kernel.keeper import Keeper
from taskhub.kernel.pulse import Pulse

from tests.unit.cli.conftest import Run

POOL = ActorState(
    "worker-1/pool", State.READY, 75.0, 2, 3, 4096, last_error="it\x1b fell", pid=None
)
CHILD = ActorState("tree/worker-1", State.RESTARTING, 0.0, 1, pid=4711)
ILL = {"name": "events", "state": "degraded", "detail": "the server\x1b is away"}


async def _tree(_: dict[str, Any]) -> dict[str, Any]:
    levels = {"worker-1/pool": "debug", "tree": "info"}
    return {"actors": [POOL, CHILD], "ill": [ILL], "levels": levels}


def answering(**answer: Any) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
    """A verb that gives this answer."""

    async def verb(_: dict[str, Any]) -> dict[str, Any]:
        return answer

    return verb


WELL = answering(ready=True, parts=[{"name": "store", "state": "ok", "detail": ""}])


@contextmanager
def process(path: Path, **verbs: Any) -> Iterator[None]:
    """Something that answers like a process of TaskHub."""
    loop, up = asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def live() -> None:
        pulse = Pulse()
        pulse.start(asyncio.get_running_loop())
        named = {name.replace("_", "-"): verb for name, verb in verbs.items()}
        keeper = Keeper(path, pulse, verbs={"tree": _tree, "ready": WELL, **named})
        keeper.start(asyncio.get_running_loop())
        up.set()
        await stop.wait()
        keeper.close()
        pulse.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    try:
        assert up.wait(5)
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def place(folder: Path) -> Path:
    """Where the root's socket stands."""
    return folder / "run" / "tree.sock"


def test_status_without_any_process_is_code_3(run: Run) -> None:
    """A script can wait for it."""
    ended = run("status")

    assert (ended.code, ended.out, ended.err) == (3, "", "taskhub: no TaskHub runs here\n")


def test_status_shows_every_actor(run: Run, place: Path) -> None:
    """State, time, restarts, what waits, and nothing that moves the cursor."""
    with process(place):
        ended = run("status")

    lines = [line.split() for line in ended.out.splitlines()]
    assert ended.code == 0
    assert lines[0][:5] == ["ACTOR", "STATE", "UP", "RESTARTS", "MAILBOX"]
    assert lines[1][:2] == ["tree", "process"]
    assert ["worker-1/pool", "ready", "75", "s", "2", "3/4096", "debug", "it\\x1b", "fell"] in lines
    assert ["tree/worker-1", "restarting", "0", "ms", "1", "4711"] in lines


def test_status_shows_what_is_not_well(run: Run, place: Path) -> None:
    """Every actor may be ready and the event server away: `/ready` alone would know."""
    with process(place):
        ended, as_json = run("status"), run("actors", "--json")

    lines = [line.split() for line in ended.out.splitlines()]
    assert ["(events)", "degraded", "the", "server\\x1b", "is", "away"] in lines
    assert json.loads(as_json.out)[0]["ill"] == [ILL]


def test_status_as_json_is_what_the_processes_said(run: Run, place: Path) -> None:
    """For programs."""
    with process(place):
        (found,) = json.loads(run("status", "--json").out)

    assert found["unit"] == "tree"
    assert found["actors"][0]["mailbox_depth"] == 3


def test_the_root_stands_first(run: Run, place: Path) -> None:
    """Then its children by name."""
    with process(place.with_name("api-1.sock")), process(place):
        found = json.loads(run("status", "--json").out)

    assert [each["unit"] for each in found] == ["tree", "api-1"]


def test_a_socket_that_a_killed_process_left_is_no_process(run: Run, place: Path) -> None:
    """Its owner is gone: nobody listens."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))

    assert run("status").code == 3


def test_a_process_that_does_not_answer_is_frozen(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, and that is the trouble."""
    monkeypatch.setattr("taskhub.cli.supervision.ANSWER_WITHIN", 0.1)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(place))
        mute.listen()
        ended = run("status")

    assert ended.code == 1
    assert "frozen" in ended.out
    assert ended.err == "taskhub: tree is not ready: it does not answer\n"


def test_status_is_code_1_when_a_process_is_not_ready(run: Run, place: Path) -> None:
    """A script and a person hear the same: which part of which process, and why."""
    parts = [
        {"name": "store", "state": "failed", "detail": "no\x1b room"},
        {"name": "events", "state": "degraded", "detail": "away"},
    ]
    ill = answering(ready=False, parts=parts)
    with process(place), process(place.with_name("worker-1.sock"), ready=ill):
        ended, as_json = run("status"), run("status", "--json")

    assert (ended.code, as_json.code) == (1, 1)
    assert ended.err == "taskhub: worker-1 is not ready: store: no\\x1b room\n"
    assert [each["ready"] for each in json.loads(as_json.out)] == [True, False]


def test_status_believes_a_process_of_an_older_taskhub(run: Run, place: Path) -> None:
    """While it is upgraded, the command is newer than what runs; it has no verb for this yet."""

    async def refused(_: dict[str, Any]) -> dict[str, Any]:
        raise Refused("unknown-verb", "known are ping")

    with process(place, ready=refused):
        ended = run("status")

    assert (ended.code, ended.err) == (
        1,
        "taskhub: tree is not ready: it has not finished its start\n",
    )


GOOD = answering(applied=False)


def test_reload_prints_what_was_applied(run: Run, place: Path) -> None:
    """And what waits for a restart."""
    done = answering(
        applied=True, problems=[], changes=["logs.level: info -> debug (in-place)"],
        needsRestart=["http.port"],
    )  # fmt: skip
    with process(place, reload=done, reload_check=GOOD), process(place.with_name("worker-1.sock")):
        ended = run("reload")

    assert ended.code == 0
    assert ended.out.splitlines() == [
        "tree: applied",
        "  logs.level: info -> debug (in-place)",
        "  http.port (restart-needed)",
    ]


def test_reload_without_changes_says_so(run: Run, place: Path) -> None:
    """Silence would leave a doubt."""
    done = answering(applied=True, changes=[], needsRestart=[])
    with process(place, reload=done, reload_check=GOOD):
        assert run("reload").out == "tree: nothing has changed\n"


def test_a_refused_reload_is_code_2(run: Run, place: Path) -> None:
    """The reason stands on stderr."""
    refusal = answering(applied=False, problems=["http.port: expected a port"])
    with process(place, reload=refusal, reload_check=GOOD):
        ended = run("reload")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "taskhub: tree has refused, and nothing was changed:",
        "taskhub:   http.port: expected a port",
    ]


def test_what_one_unit_refuses_no_other_unit_applies(run: Run, place: Path) -> None:
    """Units that stand alone are asked first, all of them, and only then told."""
    told = []

    async def verb(args: dict[str, Any]) -> dict[str, Any]:
        told.append(args)
        return {"applied": True}

    refusal = answering(applied=False, problems=["api-1: http.tls_key: expected a file"])
    with (
        process(place.with_name("api-1.sock"), reload=verb, reload_check=refusal),
        process(place.with_name("worker-1.sock"), reload=verb, reload_check=GOOD),
    ):
        ended = run("reload")

    assert (ended.code, ended.out, told) == (2, "", [])
    assert "api-1 has refused, and nothing was changed" in ended.err


def test_a_wrong_file_is_never_sent(run: Run, place: Path, folder: Path) -> None:
    """It is checked here first."""
    asked = []

    async def verb(args: dict[str, Any]) -> dict[str, Any]:
        asked.append(args)
        return {}

    (folder / "supervisor.toml").write_text("[http]\nport = -1\n")
    with process(place, reload=verb):
        ended = run("reload")

    assert (ended.code, asked) == (2, [])


def test_beneath_systemd_the_processes_judge_the_file(
    run: Run, place: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ExecReload cannot read the credentials that they have; they also tell it in their log."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(place.parent))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder / "none"))
    done = answering(applied=True, changes=["work.lease: 15 -> 20 (in-place)"])
    with process(place, reload=done, reload_check=GOOD):
        good = run("reload")
    with process(place, reload=done, reload_check=answering(problems=["http.prot: unknown"])):
        bad = run("reload")

    assert (good.code, good.out.splitlines()[0]) == (0, "tree: applied")
    assert (bad.code, bad.out) == (2, "")
    assert "http.prot: unknown" in bad.err


def test_a_dry_run_asks_without_changing(run: Run, place: Path) -> None:
    """Another verb, so that no process can take it for the real one."""
    would = answering(applied=False, changes=["work.lease: 15 -> 20 (in-place)"])
    with process(place, reload_check=would):
        ended = run("reload", "--dry-run")

    assert ended.out.splitlines() == ["tree: would change", "  work.lease: 15 -> 20 (in-place)"]


@pytest.mark.parametrize(("words", "tell"), [((), True), (("--dry-run",), False)])
def test_only_a_reload_that_was_wanted_is_told_as_refused(
    run: Run, place: Path, words: tuple[str, ...], tell: bool
) -> None:
    """The log and the metric of refusals are for what an operator meant to do."""
    asked = []

    async def verb(args: dict[str, Any]) -> dict[str, Any]:
        asked.append(args["tell"])
        return {"problems": ["http.port: expected a port"]}

    with process(place, reload_check=verb):
        assert run("reload", *words).code == 2

    assert asked == [tell]


def test_reload_as_json(run: Run, place: Path) -> None:
    """For programs."""
    with process(place, reload=answering(applied=True, changes=["a"]), reload_check=GOOD):
        (found,) = json.loads(run("reload", "--json").out)

    assert found == {
        "unit": "tree", "applied": True, "problems": [], "changes": ["a"], "needsRestart": [],
    }  # fmt: skip


def test_reload_with_nobody_there_is_code_3(run: Run) -> None:
    """The file is right, but who should read it?"""
    ended = run("reload")

    assert ended.code == 3
    assert "no TaskHub runs here" in ended.err


def test_loglevel_asks_every_process_that_has_no_parent(run: Run, place: Path) -> None:
    """One of them knows the name: that is enough."""
    asked = []

    async def verb(args: dict[str, Any]) -> dict[str, Any]:
        asked.append((args["name"], args["level"]))
        return {"known": len(asked) == 2}

    with (
        process(place.with_name("api-1.sock"), loglevel=verb),
        process(place.with_name("worker-1.sock"), loglevel=verb),
        process(place.with_name("worker-2.sock")),
    ):
        ended = run("actors", "loglevel", "worker-1/pool", "DEBUG")

    assert (ended.code, ended.out) == (0, "worker-1/pool is at the level debug\n")
    assert asked == [("worker-1/pool", "debug")] * 2


def test_loglevel_of_nobody_is_code_1_and_without_processes_3(run: Run, place: Path) -> None:
    """A slip must not look like success."""
    with process(place, loglevel=answering(known=False)):
        nobody = run("actors", "loglevel", "pol", "debug")

    assert (nobody.code, "nobody here has that name" in nobody.err) == (1, True)
    assert run("actors", "loglevel", "pool", "debug").code == 3
    assert run("actors", "loglevel", "pool", "loud").code == 2


def test_loglevel_can_be_taken_back(run: Run, place: Path) -> None:
    """To what is configured, whatever that is."""
    asked = []

    async def verb(args: dict[str, Any]) -> dict[str, Any]:
        asked.append(args["level"])
        return {"known": True}

    with process(place, loglevel=verb):
        assert run("actors", "loglevel", "pool", "configured").code == 0

    assert asked == [""]
