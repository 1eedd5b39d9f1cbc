"""The table of metrics says what is counted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.style.tree import ROOT

PAGE = ROOT / "docs" / "metrics.md"


def test_the_table_of_metrics_is_up_to_date(tmp_path: Path) -> None:
    """A metric that has come, gone or changed its labels is told; `scripts/generate` writes it."""
    copy = tmp_path / "metrics.md"
    shutil.copy(PAGE, copy)

    subprocess.run([sys.executable, ROOT / "scripts" / "metrics.py", copy], check=True)

    assert copy.read_text() == PAGE.read_text()
    assert copy.read_text().count("\n| `taskhub_") > 50
