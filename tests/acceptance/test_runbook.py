"""docs/runbook.md is typed into a shell, command by command, beside an installation of deploy/."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.runbook import Block, Machine, blocks, tools

needs_tools = pytest.mark.skipif(bool(tools()), reason=f"needs {', '.join(tools())}")


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine in a folder with a short name: the page speaks of sockets in it."""
    with tempfile.TemporaryDirectory(prefix="th-") as folder:
        yield Machine(Path(folder))


def typed(all_blocks: list[Block]) -> str:
    """The whole page as one shell session, which says where it is."""
    return "".join(f"echo '@@ {block.heading}'\n{block.commands}" for block in all_blocks)


@needs_tools
async def test_every_command_of_the_runbook_works(machine: Machine) -> None:
    """At night nobody has the time to mend a runbook."""
    try:
        await machine.type("systemctl start taskhub.socket taskhub.service")
        said, failed = await machine.type(typed(list(blocks())))
    finally:
        await machine.type("systemctl stop taskhub.socket taskhub.service")

    doubtful = [command for code, command in failed if code != 5 or "doctor" not in command]
    assert doubtful == [], said
    parts = {part.split("\n")[0]: part for part in said.split("@@ ")[1:]}
    assert {block.heading for block in blocks()} <= parts.keys()
    assert '"title":"Resize images"' in parts["A task, from its creation to its end"]
    assert "TaskProcessed" in parts["Logs"]
    assert "taskhub_actor_up" in parts["Metrics"]
    assert "schema" in parts["Restore"]
    assert (machine.folder / "var/lib/taskhub/before/taskhub.db").exists()
