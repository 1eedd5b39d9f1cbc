"""What is made from the description and kept in git is what would be made today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.style.tree import ROOT

CLIENT = ROOT / "clients" / "typescript"
POSTMAN = ROOT / "deploy" / "postman"
STALE = "a route has changed: run scripts/generate"


def test_the_postman_collection_is_up_to_date(tmp_path: Path) -> None:
    """Whoever imports it gets what is served."""
    subprocess.run([sys.executable, ROOT / "scripts" / "postman.py", tmp_path], check=True)

    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in POSTMAN.glob("*.json")}, STALE


@pytest.mark.skipif(
    not (CLIENT / "node_modules").is_dir(),
    reason="needs Node.js 18 or newer and `scripts/install-node-parts`",
)
def test_the_types_of_the_typescript_client_are_up_to_date(tmp_path: Path) -> None:
    """Its compiler knows every route."""
    made, described = tmp_path / "schema.ts", tmp_path / "openapi.json"
    told = subprocess.run(
        [sys.executable, "-m", "taskhub.http.openapi"], check=True, capture_output=True
    )
    described.write_bytes(told.stdout)

    subprocess.run([ROOT / "scripts" / "typescript-types", described, made], check=True)

    assert made.read_text() == (CLIENT / "src" / "schema.ts").read_text(), STALE
