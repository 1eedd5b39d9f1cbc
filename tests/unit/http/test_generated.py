"""What is made from the description and kept in git is what would be made today."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.style.tree import ROOT

CLIENT = ROOT / "clients" / "typescript"
SCHEMA = CLIENT / "src" / "schema.ts"
POSTMAN = ROOT / "deploy" / "postman"
STALE = "the description has changed: run `scripts/generate` and commit what it writes"


def test_the_postman_collection_is_up_to_date(tmp_path: Path) -> None:
    """Whoever imports it gets what is served."""
    subprocess.run([sys.executable, ROOT / "scripts" / "postman.py", tmp_path], check=True)

    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in POSTMAN.glob("*.json")}, STALE


def description() -> bytes:
    """What this version would serve."""
    command = [sys.executable, "-m", "taskhub.http.openapi"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_the_types_of_the_typescript_client_are_of_todays_description() -> None:
    """Their first line says of which, so that this is seen where there is no Node.js too."""
    first = SCHEMA.read_text().partition("\n")[0]

    assert first.rpartition(" ")[2] == hashlib.sha256(description()).hexdigest(), STALE


@pytest.mark.skipif(
    not (CLIENT / "node_modules").is_dir(),
    reason="needs Node.js 18 or newer and `scripts/install-node-parts`",
)
def test_the_types_of_the_typescript_client_are_what_the_generator_makes(tmp_path: Path) -> None:
    """Nobody has written in them by hand; the compiler knows every route."""
    made, described = tmp_path / "schema.ts", tmp_path / "openapi.json"
    described.write_bytes(description())

    subprocess.run([ROOT / "scripts" / "typescript-types", described, made], check=True)

    assert made.read_text() == SCHEMA.read_text(), STALE
