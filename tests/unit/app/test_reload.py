"""A reload is all or nothing, one at a time, and nobody is left behind with what was before."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub.app.reload import Follow, Reload, merged
from taskhub.config.diff import changes
from taskhub.config.sections import Config, Secret
from taskhub.config.snapshot import decode, encode
from taskhub.errors import ConfigError, ConfigProblem
from taskhub.kernel.actor import ChildSpec, Context
from taskhub.kernel.call import Refused
from taskhub.kernel.notify import Notifier
from taskhub.kernel.supervisor import Supervisor
from taskhub.obs.telemetry import Complained, Reloaded, ReloadRefused

from tests.unit.app.household import KEY, Household, plain, replaced
from tests.waiting import turns, until

Applied = dict[str, Any]


class Obedient:
    """A child that follows; `wrong` says what it objects to."""

    def __init__(self, wrong: str = "") -> None:
        self.wrong, self.said = wrong, list[str]()
        self.tried = 0
        self.config: Config | None = None
        self._prepared: Config | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def prepare(self, args: Applied) -> Applied:
        if not args["keep"]:
            self.tried += 1
        else:
            self.said.append("prepare")
        await self.go.wait()
        if self.wrong:
            raise Refused("config", self.wrong)
        self._prepared = decode(bytes.fromhex(args["config"]))
        return {"prepared": True}

    async def apply(self, args: Applied) -> Applied:
        self.said.append("apply")
        self.config = self._prepared
        return {"applied": True}

    def verbs(self) -> Applied:
        return {"reload_prepare": self.prepare, "reload_apply": self.apply}


@pytest.fixture
def reload(house: Household) -> Reload:
    """The root's side."""
    return Reload(house.process, house.kin, house.loaded, "tree")


# ---- what is taken ----


def test_only_what_can_change_in_place_is_taken_from_the_new_configuration() -> None:
    """A port that nobody listens on must not stand in what later children are told."""
    old = Config()
    new = replaced(
        old, work__concurrency=7, http__port=1234, http__max_body=2_048, store__lock_timeout=1.0
    )

    accepted = merged(old, new, changes(old, new))

    assert accepted == replaced(old, work__concurrency=7, http__max_body=2_048)


def test_a_key_that_stays_as_it_was_in_the_file_stays_as_it_is_in_force() -> None:
    """The embedded server's address is chosen at the start: the file says only `embedded`."""
    old = Config()
    in_force = replaced(old, events__url="unix:///run/events.sock")
    new = replaced(old, logs__level="debug")

    accepted = merged(in_force, new, changes(old, new))

    assert accepted == replaced(in_force, logs__level="debug")


# ---- the root's side ----


async def test_an_accepted_configuration_is_in_force_everywhere(
    house: Household, reload: Reload
) -> None:
    """Here, in the children, and in what later children are told."""
    worker = Obedient()
    async with house.child("worker-1", **worker.verbs()):
        house.write("[work]\nconcurrency = 7\n[limits]\nmailbox = 99\n[logs]\nlevel = 'error'\n")
        answer = await reload.run()

    assert answer["applied"]
    assert house.process.live.config.work.concurrency == 7
    assert {box.limit for box in house.process.boxes.all()} == {99}
    assert worker.config is not None
    assert (worker.config.work.concurrency, worker.said) == (7, ["prepare", "apply"])
    told = house.said(Reloaded)[0]
    assert [change.split(":")[0] for change in told.changes] == [
        "work.concurrency",
        "logs.level",
        "limits.mailbox",
    ]


async def test_what_one_child_refuses_is_applied_nowhere(house: Household, reload: Reload) -> None:
    """Half a reload would be a system that nobody has configured."""
    before = house.process.live.config
    worker, api = Obedient(), Obedient(wrong="no such key")
    async with house.child("worker-1", **worker.verbs()), house.child("api-1", **api.verbs()):
        house.write("[work]\nconcurrency = 7\n")
        answer = await reload.run()

    assert (answer["applied"], answer["problems"]) == (False, ["api-1: no such key"])
    assert house.said(ReloadRefused)[0].problems == ("api-1: no such key",)
    assert house.process.live.config is before
    assert (worker.said, api.said) == (["prepare"], ["prepare"])


async def test_what_the_root_itself_cannot_use_reaches_no_child(
    house: Household, reload: Reload
) -> None:
    """Its own parts are asked first."""

    def object_to_it(config: Config) -> None:
        raise ConfigError([ConfigProblem("jwt.issuer_signing_key", "a key")])

    house.process.checks.append(object_to_it)
    worker = Obedient()
    async with house.child("worker-1", **worker.verbs()):
        house.write("[work]\nconcurrency = 7\n")
        answer = await reload.run()

    assert answer["problems"] == ["jwt.issuer_signing_key: a key"]
    assert worker.said == []


async def test_a_wrong_file_changes_nothing_and_every_mistake_is_named(
    house: Household, reload: Reload
) -> None:
    """The old configuration goes on."""
    before = house.process.live.config
    house.write("[work]\nconcurency = 7\nlease = 'long'\n")

    answer = await reload.run()

    assert len(answer["problems"]) == 2
    assert house.process.live.config is before
    assert len(house.said(ReloadRefused)[0].problems) == 2


async def test_the_status_says_what_is_not_as_asked(
    house: Household, reload: Reload, tmp_path: Path
) -> None:
    """`systemctl status` shows it until a reload that is applied whole."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        house.process.host.notifier = Notifier(str(tmp_path / "notify"))
        house.process.host.status = "here"
        for settings in ("[http]\nprot = 1\n", "[http]\nport = 1234\n", ""):
            house.write(settings)
            await reload.run()

        heard = [systemd.recv(4_096).decode() for _ in range(3)]

    assert heard[0].startswith("STATUS=here; a reload was refused, nothing has changed: ")
    assert "http.prot" in heard[0]
    assert heard[1:] == ["STATUS=here; waits for a restart: http.port", "STATUS=here"]


async def test_what_needs_a_restart_is_named_each_time_until_it_has_happened(
    house: Household, reload: Reload
) -> None:
    """A second SIGHUP must not make it look done; taking it back leaves nothing to do."""
    port = house.process.live.config.http.port
    house.write("[http]\nport = 1234\n[work]\nconcurrency = 7\n")
    assert (await reload.run())["needsRestart"] == ["http.port"]

    answer = await reload.run()

    assert (answer["needsRestart"], answer["changes"]) == (["http.port"], [])
    assert house.process.live.config.http.port == port

    house.write("[work]\nconcurrency = 7\n")
    assert (await reload.run())["needsRestart"] == []


async def test_a_dry_run_says_what_would_change_and_changes_nothing(
    house: Household, reload: Reload
) -> None:
    """Nor does it write a line into the log."""
    before = house.process.live.config
    house.write("[http]\nport = 1234\n[work]\nconcurrency = 7\n")
    answer = await reload.check_verb({})
    assert (answer["applied"], answer["needsRestart"]) == (False, ["http.port"])
    assert len(answer["changes"]) == 1

    house.write("[work]\nconcurency = 7\n")
    assert len((await reload.check_verb({}))["problems"]) == 1
    assert (house.process.live.config, house.told) == (before, [])


async def test_a_dry_run_asks_every_process_and_none_keeps_it(
    house: Household, reload: Reload
) -> None:
    """What only a child can tell, such as a certificate that cannot be read, is said there too."""
    worker, api = Obedient(), Obedient(wrong="http.tls_key: expected a file that can be read")
    async with house.child("worker-1", **worker.verbs()), house.child("api-1", **api.verbs()):
        house.write("[work]\nconcurrency = 7\n")
        refused = await reload.check_verb({})
        api.wrong = ""
        good = await reload.check_verb({})

    assert refused["problems"] == ["api-1: http.tls_key: expected a file that can be read"]
    assert [change.split(":")[0] for change in good["changes"]] == ["work.concurrency"]
    assert (worker.tried, worker.said, api.tried, api.said) == (2, [], 2, [])
    assert house.told == []


async def test_a_reload_that_ends_with_its_check_is_told_in_the_log(
    house: Household, reload: Reload
) -> None:
    """Units that stand alone are all checked first: the one that objects says so, once."""
    house.write("[work]\nconcurency = 7\n")

    answer = await reload.check_verb({"tell": True})

    assert house.said(ReloadRefused)[0].problems == tuple(answer["problems"])
    assert len(house.told) == 1


async def test_the_log_goes_on_in_another_folder(house: Household, reload: Reload) -> None:
    """Where a disk is full no restart is needed; what can be no folder is refused."""
    logs = house.folder / "logs"
    house.write(f"[logs]\ndirectory = '{house.folder}/supervisor.toml'\n")
    refused = await reload.run()
    house.write(f"[logs]\ndirectory = '{logs}'\nkeep_days = 3\n")
    assert (await reload.run())["applied"]

    house.process.log.listener(Complained(text="there"))
    house.process.log.sink.close()

    assert refused["problems"][0].startswith("logs.directory: expected a folder")
    (path,) = logs.iterdir()
    assert '"@m":"there"' in path.read_text(encoding="utf-8")


async def test_two_reloads_at_once_are_one_after_the_other(
    house: Household, reload: Reload
) -> None:
    """A signal and a command: what one prepares the other must not apply."""
    worker = Obedient()
    worker.go.clear()
    async with house.child("worker-1", **worker.verbs()):
        house.write("[work]\nconcurrency = 7\n")
        first = asyncio.create_task(reload.run())
        await until(lambda: worker.said)
        house.write("[work]\nconcurrency = 8\n")
        second = asyncio.create_task(reload.verb({}))
        await turns()
        worker.go.set()
        await asyncio.gather(first, second)

    assert worker.said == ["prepare", "apply"] * 2
    assert worker.config is not None
    assert worker.config.work.concurrency == house.process.live.config.work.concurrency == 8


async def test_a_child_that_cannot_confirm_is_born_anew_with_it(
    house: Household, reload: Reload
) -> None:
    """It was told the old one at its birth and was not there to hear of the new one."""
    starts = list[int]()

    class Child:
        async def run(self, ctx: Context) -> None:
            starts.append(house.process.live.config.work.concurrency)
            ctx.ready()
            await ctx.stopping.wait()

    house.kin.specs(house.process.entries[1])
    supervisor = house.process.supervisor = Supervisor([ChildSpec("worker-1", Child)])
    ctx = Context("tree")
    run = asyncio.create_task(supervisor.run(ctx))
    await ctx.is_ready.wait()
    house.write("[work]\nconcurrency = 7\n")

    assert (await reload.run())["applied"]

    await until(lambda: len(starts) == 2)
    assert starts[1] == 7
    assert house.said(Complained)[0].text.startswith("worker-1 did not take")
    ctx.stopping.set()
    await run


async def test_the_difference_that_is_told_shows_no_secret(
    house: Household, reload: Reload
) -> None:
    """Which key it is, and that it is another one now."""
    other = "another key of a test, longer than 32 bytes"
    text = (house.folder / "supervisor.toml").read_text(encoding="utf-8").replace(KEY, other)
    (house.folder / "supervisor.toml").write_text(text, encoding="utf-8")

    await reload.hangup()

    assert house.process.live.config.jwt.issuer_signing_key.reveal() == other
    shown = plain([msgspec.structs.asdict(event) for event in house.told])
    assert "jwt.issuer_signing_key" in shown
    assert KEY not in shown
    assert other not in shown


# ---- a child's side ----


def told(config: Config, number: int = 1) -> Applied:
    """What the root sends."""
    return {"config": encode(config).hex(), "number": number, "keep": True}


async def test_a_child_keeps_what_was_prepared_until_it_is_applied(house: Household) -> None:
    """Other children may still refuse it."""
    follow, before = Follow(house.process), house.process.live.config
    seen = list[Config]()
    house.process.follows.append(seen.append)
    new = replaced(before, work__concurrency=7, jwt__issuer_signing_key=Secret(KEY * 2))

    assert await follow.prepare(told(new)) == {"prepared": True}
    assert house.process.live.config is before

    assert await follow.apply({"number": 1}) == {"applied": True}
    assert house.process.live.config == new
    assert seen == [new]


async def test_what_a_child_cannot_use_is_refused_and_not_kept(house: Household) -> None:
    """An apply that comes all the same says that it was not."""

    def object_to_it(config: Config) -> None:
        raise ConfigError([ConfigProblem("work.lease", "another")])

    follow, before = Follow(house.process), house.process.live.config
    house.process.checks.append(object_to_it)

    with pytest.raises(ConfigError):
        await follow.prepare(told(replaced(before, work__concurrency=7)))

    assert await follow.apply({"number": 1}) == {"applied": False}
    assert house.process.live.config is before


async def test_what_was_only_tried_is_not_applied(house: Household) -> None:
    """A dry run leaves nothing behind."""
    follow, before = Follow(house.process), house.process.live.config
    await follow.prepare(told(replaced(before, work__concurrency=7)) | {"keep": False})

    assert await follow.apply({"number": 1}) == {"applied": False}
    assert house.process.live.config is before


async def test_what_was_refused_elsewhere_is_not_applied_by_the_next_reload(
    house: Household,
) -> None:
    """The number tells them apart: this child did not hear of the second."""
    follow, before = Follow(house.process), house.process.live.config
    await follow.prepare(told(replaced(before, work__concurrency=7), number=1))

    assert await follow.apply({"number": 2}) == {"applied": False}

    assert house.process.live.config is before
    assert await follow.apply({"number": 1}) == {"applied": False}, "it is gone"


async def test_policies_are_in_force_with_a_reload_and_wrong_ones_are_not(
    house: Household, reload: Reload
) -> None:
    """Set, replaced and taken back; a slip changes nothing."""
    for policies in ({"getTask": ("role:a",)}, {"listTasks": ("scope:b",)}, {}):
        lines = [f"{name} = {list(grants)}" for name, grants in policies.items()]
        house.write("\n".join(["[policies]", *lines]))
        assert (await reload.run())["applied"]
        assert house.process.live.config.policies == policies

    house.write('[policies]\ngetTsk = ["role:a"]\nlistTasks = []\n')
    answer = await reload.run()

    assert not answer["applied"]
    assert "did you mean policies.getTask?" in plain(answer["problems"])
    assert "an empty policy" in plain(answer["problems"])
    assert house.process.live.config.policies == {}
