"""What import-linter (see pyproject.toml) can not say about the layers."""

from __future__ import annotations

import ast
import re
import sys

from tests.style.tree import ROOT, files

ROLES = {"api", "store", "publisher", "subscriber", "pool", "scheduler", "reaper", "pruner"}
ROLES |= {"heartbeat", "metrics", "webhooks"}
VAGUE = re.compile(r"(?:^|_)(utils?|helpers?|common|base|manager|misc)$")


def test_the_kernel_needs_the_standard_library_alone() -> None:
    """It is about actors in general: it knows nothing of tasks and of nobody's libraries."""
    allowed = sys.stdlib_module_names | {"taskhub"}  # which parts of taskhub: import-linter knows
    imported = {
        (name.split(".")[0], str(path.relative_to(ROOT)))
        for path in files("taskhub/kernel/*.py")
        for name in imports(path.read_text(encoding="utf-8"))
    }

    assert {pair for pair in imported if pair[0] not in allowed} == set()
    assert ("asyncio", "taskhub/kernel/mailbox.py") in imported


def test_the_client_needs_two_libraries_and_nothing_of_the_server() -> None:
    """So that it can be installed alone one day; yarl is a part of aiohttp's own interface."""
    allowed = sys.stdlib_module_names | {"aiohttp", "msgspec", "yarl"}
    imported = {
        (name, str(path.relative_to(ROOT)))
        for path in files("taskhub/client/*.py")
        for name in imports(path.read_text(encoding="utf-8"))
        if name.split(".")[0] not in allowed and not name.startswith("taskhub.client.")
    }

    assert imported == set()


def test_no_actor_imports_another() -> None:
    """They meet in mailboxes: what two of them need stands in `messages` or below."""
    known = [
        f"{path.stem} -> {name}"
        for path in files("taskhub/actors/*.py")
        for name in imports(path.read_text(encoding="utf-8"))
        if name.startswith("taskhub.actors.") and name.split(".")[2] in ROLES
    ]

    assert known == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    """A file named for what it does is found; one named `utils` is filled."""
    assert [path for path in files("*.py") if VAGUE.search(path.stem)] == []


def imports(source: str) -> set[str]:
    """The modules a source names, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found
