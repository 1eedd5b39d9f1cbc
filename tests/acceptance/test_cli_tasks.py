"""The client's commands against a real tree: a task from its creation to its end."""

from __future__ import annotations

import json

import pytest
from taskhub.kernel.call import call

from tests.acceptance.command_line import Outcome, taskhub
from tests.acceptance.installation import Installation, token


class Shell:
    """A shell with the address and a token."""

    def __init__(self, hub: Installation, bearer: str) -> None:
        self._hub, self._bearer = hub, bearer

    async def __call__(self, line: str, stdin: str = "") -> Outcome:
        """One command line; words are parted by blanks."""
        return await taskhub(
            *line.split(),
            folder=self._hub.folder,
            environ={"TASKHUB_URL": self._hub.url, "TASKHUB_TOKEN": self._bearer},
            stdin=stdin,
        )


@pytest.fixture
async def shell(hub: Installation) -> Shell:
    """Beside a tree that runs."""
    await hub.start()
    return Shell(hub, token())


async def test_a_task_is_created_followed_listed_and_shown(shell: Shell) -> None:
    """The way of a newcomer."""
    created = await shell("create Resize")
    task_id = created.out.strip()
    watched = await shell(f"watch {task_id} --json")
    listed = await shell("list --status Done --json")
    shown = await shell(f"show {task_id}")

    assert (created.code, watched.code, listed.code, shown.code) == (0, 0, 0, 0)
    assert json.loads(watched.out)["status"] == "Done"
    assert [json.loads(line)["id"] for line in listed.out.splitlines()] == [task_id]
    assert f"id               {task_id}" in shown.out


async def test_a_task_that_fails_ends_the_command_with_1_and_may_be_retried(shell: Shell) -> None:
    """By an operator; it fails again."""
    failed = await shell("create Boom --type fail --payload - --max-attempts 1 --wait --json",
                         stdin='{"times": 9}')  # fmt: skip
    task_id = json.loads(failed.out)["id"]
    retried = await shell(f"retry {task_id} --json")
    again = await shell(f"watch {task_id}")
    done = await shell("create Fine --wait")

    assert (failed.code, retried.code, again.code, done.code) == (1, 0, 1, 0)
    assert json.loads(retried.out)["status"] == "Pending"


async def test_what_fails_alike_is_found_and_begins_anew_together(shell: Shell) -> None:
    """From the group to its tasks, to the attempts of one, and to another try of all."""
    failed = [
        await shell("create Boom --type fail --payload - --max-attempts 1 --wait --json",
                    stdin='{"times": 1}')
        for _ in range(2)
    ]  # fmt: skip
    ids = [json.loads(ended.out)["id"] for ended in failed]
    (group,) = [json.loads(line) for line in (await shell("failures --json")).out.splitlines()]
    query = f"fingerprint:{group['fingerprint']}"
    counted = await shell(f"retry --query {query} --dry-run --json")
    retried = await shell(f"retry --query {query} --yes")
    await shell(f"watch {ids[0]}")
    attempts = (await shell(f"attempts {ids[0]} --json")).out.splitlines()

    assert (group["count"], group["type"], group["exception"]) == (2, "fail", "Retry")
    assert group["place"] == "taskhub.work.builtins:fail"
    assert group["samples"] == ids[::-1]
    assert json.loads(counted.out)["matched"] == 2
    assert retried.out == "2 tasks retried\n"
    assert [json.loads(line)["end"] for line in attempts] == ["Failed", "Failed"]


async def test_a_running_task_is_cancelled(shell: Shell, hub: Installation) -> None:
    """It ends soon, and long before it would have."""
    task = await hub.post(payload={"seconds": 600})
    await hub.started(task["id"])

    cancelled = await shell(f"cancel {task['id']}")
    watched = await shell(f"watch {task['id']} --json")
    again = await shell(f"cancel {task['id']}")

    assert (cancelled.code, watched.code, again.code) == (0, 1, 1)
    assert json.loads(watched.out)["status"] == "Cancelled"
    assert again.err == "taskhub: The task has ended.\n"


async def test_the_same_key_makes_one_task(shell: Shell) -> None:
    """A script may be run twice."""
    first = await shell("create Once --key order-7")
    second = await shell("create Once --key order-7")
    other = await shell("create Another --key order-7")

    assert first.out == second.out
    assert (other.code, other.out) == (1, "")


async def test_a_page_leads_to_the_next(shell: Shell, hub: Installation) -> None:
    """Newest first, none twice, none lost."""
    ids = [(await hub.post())["id"] for _ in range(5)]

    everything = await shell("list --all --json")
    some = await shell("list --limit 2 --json")

    assert [json.loads(line)["id"] for line in everything.out.splitlines()] == ids[::-1]
    assert [json.loads(line)["id"] for line in some.out.splitlines()] == ids[:2:-1]
    assert "there are more" in some.err


async def test_what_is_wrong_is_said_with_its_code(hub: Installation, shell: Shell) -> None:
    """The API's own words, one line each."""
    nowhere = await shell("show 0198c2c8-0000-7000-8000-000000000001")
    rule = await shell("create x --type no-such-type")
    stranger = await Shell(hub, "")("list")
    forger = await Shell(hub, "a.b.c")("create x")
    plain = await Shell(hub, token(roles=()))("retry 0198c2c8-0000-7000-8000-000000000001")

    assert [nowhere.code, rule.code] == [1, 1]
    assert [stranger.code, forger.code, plain.code] == [4, 4, 4]
    assert "TASKHUB_TOKEN" in stranger.err
    for ended in (nowhere, rule, stranger, forger, plain):
        assert ended.out == ""
        assert ended.err.startswith("taskhub: ")
        assert "Traceback" not in ended.err


async def test_status_knows_every_process(shell: Shell, hub: Installation) -> None:
    """The same as the root knows."""
    ended = await shell(f"status --json --config {hub.config}")

    found = {process["unit"]: process for process in json.loads(ended.out)}
    names = {actor["name"] for process in found.values() for actor in process["actors"]}
    assert set(found) == {"tree", "worker-1", "api-1"}
    assert names == {row["name"] for row in await hub.forest()}
    assert len({process["pid"] for process in found.values()}) == 3


async def test_a_reload_is_shown_then_refused_then_applied(shell: Shell, hub: Installation) -> None:
    """One by one: the dry run, a mistake, the real one."""
    wanted = "[work]\nconcurrency = 7\n[heartbeat]\nevery = 3\n"
    hub.configure(wanted)
    dry = await shell(f"reload --dry-run --config {hub.config}")
    still = await hub.ask("reload-check")
    hub.configure("[work]\nconcurrency = 0\n")
    wrong = await shell(f"reload --config {hub.config}")
    hub.configure(wanted)
    done = await shell(f"reload --config {hub.config}")
    after = await call(hub.runtime / "tree.sock", "reload-check")

    changes = ["work.concurrency: 64 -> 7 (in-place)", "heartbeat.every: 10 -> 3 (in-place)"]
    assert (dry.code, dry.out.splitlines()) == (
        0,
        ["tree: would change", *(f"  {c}" for c in changes)],
    )
    assert still["changes"] == changes
    assert (wrong.code, wrong.out) == (2, "")
    assert (done.code, done.out.splitlines()) == (
        0,
        ["tree: applied", *(f"  {c}" for c in changes)],
    )
    assert after["changes"] == []


async def test_the_database_commands_agree_with_the_tree(shell: Shell, hub: Installation) -> None:
    """It has made the schema; there is nothing left to do."""
    database = f"--set store.url=sqlite:///{hub.folder}/data/taskhub.db"

    status = await shell(f"db status {database}")
    ensure = await shell(f"db ensure {database}")
    migrate = await shell(f"db migrate {database}")

    assert [status.code, ensure.code, migrate.code] == [0, 0, 0]
    assert ensure.out.startswith("nothing to do")
    assert migrate.out.startswith("nothing to do")
