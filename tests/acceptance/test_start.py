"""Starts in every order, and starts that cannot be: each comes up, or says why in one line."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.acceptance.command_line import Outcome, taskhub
from tests.acceptance.installation import Installation, separate
from tests.valkey import ValkeyServer

MEET = """
import asyncio, os, pathlib
from taskhub import handler

@handler("meet", timeout=600)
async def meet(folder: str) -> int:
    # Ends when another process does the same: nobody can do both.
    pathlib.Path(folder, str(os.getpid())).touch()
    while len(os.listdir(folder)) < 2:
        await asyncio.sleep(0.02)
    return os.getpid()
"""


async def run(hub: Installation, *words: str, **environ: str) -> Outcome:
    """`taskhub run` with this configuration, to its end."""
    command = ("run", "--config", str(hub.config), *words)
    return await taskhub(*command, folder=hub.folder, environ=environ)


async def test_two_apis_and_two_workers_start_at_once_on_an_empty_file(
    hub: Installation, tmp_path: Path
) -> None:
    """Four services after a boot: one makes the schema, and no two of them have one name."""
    place = tmp_path / "place"
    place.mkdir()
    async with ValkeyServer(tmp_path) as valkey:
        work = f"{hub.handlers(MEET)}\nconcurrency = 1"
        hub.configure(separate(tmp_path, valkey.url, work))
        other, *workers = [hub.another() for _ in range(3)]
        apis = (hub, other)
        await asyncio.gather(
            *(api.start("api") for api in apis), *(worker.start("worker") for worker in workers)
        )

        tasks = [await api.post(type="meet", payload={"folder": str(place)}) for api in apis]
        done = [await api.ended(task["id"]) for api, task in zip(apis, tasks, strict=True)]
        named = [(await hub.ask("ping", name))["pid"] for name in ("worker-1", "worker-2")]
        await hub.close()

    pids = {worker.process.pid for worker in workers if worker.process}
    assert [(task["status"], task["attempts"]) for task in done] == [("Done", 1)] * 2
    assert {task["result"] for task in done} == pids
    assert set(named) == pids
    said = [line["@m"] for each in (*apis, *workers) for line in each.told("Said")]
    steps = [text for text in said if text.startswith("database: ")]
    assert steps == list(dict.fromkeys(steps))  # each of them was taken once
    assert steps[0] == "database: 0001"


async def test_a_worker_before_the_api_and_both_before_the_event_server(
    hub: Installation, tmp_path: Path
) -> None:
    """The wrong order is only slower: each waits for nobody, and finds the others later."""
    valkey = ValkeyServer(tmp_path)
    hub.configure(separate(tmp_path, valkey.url))
    worker = hub.another()
    await worker.start("worker")
    await hub.start("api")
    early = await hub.post(payload={"seconds": 0})
    assert (await hub.ended(early["id"]))["status"] == "Done"
    assert (await hub.request("GET", "/ready"))[1]["status"] == "degraded"

    async with valkey:
        await hub.until(lambda: _is_well(hub))
        late = await hub.post(payload={"seconds": 0})
        assert (await hub.ended(late["id"]))["status"] == "Done"
        await hub.close()

    restarts = [*hub.told("ActorRestarting"), *worker.told("ActorRestarting")]
    assert restarts == [], "no crash loop"


async def _is_well(hub: Installation) -> bool:
    return (await hub.request("GET", "/ready"))[1]["status"] == "ok"


async def test_everything_in_one_process_needs_no_event_server(hub: Installation) -> None:
    """`all` with `local`: the bell is a call, and no child process is there."""
    hub.configure('[events]\nurl = "local"\n')
    await hub.start("all")

    done = await hub.ended((await hub.post(payload={"seconds": 0}))["id"])
    _, ready = await hub.request("GET", "/ready")
    rows = (await hub.ask("tree", "all"))["actors"]
    assert await hub.stop() == 0

    assert (done["status"], ready["status"]) == ("Done", "ok")
    assert [row["name"] for row in rows if row["pid"]] == []
    assert {"all/api", "all/pool", "all/subscriber"} <= {row["name"] for row in rows}


async def test_a_second_root_is_refused_where_one_runs(hub: Installation) -> None:
    """It would take the sockets of the first one's children, which would then look frozen."""
    await hub.start()

    second = await run(hub, Http__Port="0")
    done = await hub.ended((await hub.post(payload={"seconds": 0}))["id"])

    assert second.code == 2
    assert "supervisor.runtime_directory" in second.err.splitlines()[-1]
    assert len(second.err.splitlines()) == 2
    assert done["status"] == "Done"
    assert len(await hub.forest()) > 10, "the first one still answers at its socket"


async def test_a_newer_schema_is_refused_in_one_line(hub: Installation) -> None:
    """An older program must not touch what it does not know."""
    made = await taskhub("db", "ensure", "--config", str(hub.config), folder=hub.folder)
    with closing(sqlite3.connect(hub.folder / "data/taskhub.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()

    for unit in ("tree", "all"):
        ended = await run(hub, "--unit", unit, "--set", "events.url=embedded")

        assert (made.code, ended.code, ended.out) == (0, 1, "")
        assert [line for line in ended.err.splitlines() if "newer TaskHub" in line]
        assert len(ended.err.splitlines()) == 1


async def test_a_port_in_use_is_named_in_one_line(hub: Installation) -> None:
    """It is found before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = await run(hub, Http__Port=str(taken.getsockname()[1]))

    assert (ended.code, ended.out) == (2, "")
    assert [line for line in ended.err.splitlines() if "http.port" in line and "in use" in line]
    assert len(ended.err.splitlines()) == 2, "how many mistakes, and this one"
    assert [file.name for file in (hub.folder / "data").iterdir()] == ["taskhub.db"]


async def test_a_log_folder_that_cannot_be_written_is_named_in_one_line(hub: Installation) -> None:
    """Everything would run, and nobody would ever read a word of it."""
    ended = await run(hub, Http__Port="0", Logs__Directory="/dev/null/logs")

    assert (ended.code, ended.out) == (2, "")
    assert "logs.directory: expected a folder that can be written: " in ended.err.splitlines()[-1]
    assert len(ended.err.splitlines()) == 2, "how many mistakes, and this one"


async def test_a_handler_module_that_fails_ends_the_start_at_once(hub: Installation) -> None:
    """The worker says what is wrong, once; nothing but an operator can mend it: exit code 2."""
    hub.configure(f"[work]\n{hub.handlers('import nosuch')}\n")

    ended = await run(hub)

    lines = [json.loads(line) for line in ended.err.splitlines()]
    said = [line for line in lines if "work.handlers (deeds)" in line["@m"]]
    assert ended.code == 2
    assert [(line["unit"], line["@l"]) for line in said] == [("worker-1", "Error")]
    assert "No module named 'nosuch'" in said[0]["@m"]
    assert [line["ActorId"] for line in lines if line["@i"] == "ActorGaveUp"][-1] == "tree/worker-1"
