"""How the schema moves: Alembic's revisions in order, and the few names that need no Alembic.

A store only compares one word with `NEWEST` when it opens; Alembic and SQLAlchemy are imported when
the schema must really be moved, or shown as SQL text.
"""

from __future__ import annotations

from taskhub.errors import HalfCopied, SchemaNewer, SchemaOlder
from taskhub.ports import SchemaState

REVISIONS = tuple(f"{number:04}" for number in range(1, 13))
"""Every revision, oldest first; a test holds this beside the files in `versions/`."""

NEWEST = REVISIONS[-1]

COPYING = "copying-"
"""How the revision begins while a database is filled with a copy of another one."""


def state(found: str | None) -> SchemaState:
    """What the revision found in a database means; `found` None: an empty database."""
    if found is None:
        return SchemaState(None, NEWEST, REVISIONS)
    if found not in REVISIONS:
        return SchemaState(found, NEWEST, ())
    return SchemaState(found, NEWEST, REVISIONS[REVISIONS.index(found) + 1 :])


def missing_after(found: str | None) -> list[str]:
    """The revisions that come after the one found; raises SchemaNewer, HalfCopied."""
    if found is not None and found.startswith(COPYING):
        raise HalfCopied
    if found not in (None, *REVISIONS):
        raise SchemaNewer
    return list(state(found).missing)


def refuse_unless_newest(found: str | None) -> None:
    """Raise SchemaOlder, SchemaNewer or HalfCopied: this version needs another schema."""
    if found == NEWEST:
        return
    if found is None:
        raise SchemaOlder("The database is empty. Run `taskhub db ensure`.")
    if missing_after(found):
        raise SchemaOlder
