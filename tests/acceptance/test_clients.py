"""What is made from the description, against a running TaskHub: TypeScript, Postman."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.installation import Installation, installed, token
from tests.style.tree import ROOT

CLIENT, NEWMAN = ROOT / "clients" / "typescript", ROOT / "tests" / "newman"
POSTMAN = ROOT / "deploy" / "postman"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not all((folder / "node_modules").is_dir() for folder in (CLIENT, NEWMAN)),
        reason="needs Node.js 18 or newer and `scripts/install-node-parts`",
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """One TaskHub for all of them: each makes tasks of its own."""
    async with installed(tmp_path_factory.mktemp("clients")) as hub:
        await hub.start()
        yield hub


async def run(folder: Path, *command: str, **environ: str) -> str:
    """What a program says; it has to end well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def tsc(*options: str) -> str:
    """Compile the TypeScript client."""
    return await run(CLIENT, "node", "node_modules/typescript/bin/tsc", *options)


async def test_the_typescript_client_does_what_it_says(
    shared: Installation, tmp_path: Path
) -> None:
    """It compiles, its types refuse what the description does, and it lists, creates, watches."""
    await tsc("--noEmit")
    await tsc("--project", "tsconfig.build.json", "--outDir", str(tmp_path / "dist"))
    shutil.copytree(CLIENT / "test", tmp_path / "test")
    shutil.copy(CLIENT / "package.json", tmp_path)

    said = await run(
        tmp_path,
        *("node", "--test", "test/client.test.mjs"),
        TASKHUB_URL=shared.url,
        TASKHUB_TOKEN=token(),
    )

    assert "# fail 0" in said


async def test_postmans_collection_runs_from_top_to_bottom(
    shared: Installation, tmp_path: Path
) -> None:
    """Newman sends every request with its example; each answer is one that is promised."""
    environment = json.loads((POSTMAN / "taskhub.postman_environment.json").read_text())
    secret = token(roles=("Admin", "Operator"), scope="tasks.read tasks.write tasks.work")
    values = {"baseUrl": shared.url, "token": secret}
    for row in environment["values"]:
        row["value"] = values[row["key"]]
    filled = tmp_path / "environment.json"
    filled.write_text(json.dumps(environment))
    collection = POSTMAN / "taskhub.postman_collection.json"
    names = [item["name"] for item in json.loads(collection.read_text())["item"]]

    said = await run(
        NEWMAN,
        *("node", "node_modules/newman/bin/newman.js", "run", str(collection)),
        *("--environment", str(filled), "--color", "off"),
        *(part for name in names if name != "streams" for part in ("--folder", name)),
    )

    assert "AssertionError" not in said
