"""What a definition may say: each member that breaks a rule, with what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator

from taskhub.model import NAME_PATTERN, TITLE_LIMIT
from taskhub.schedules.cron import CronError, read
from taskhub.schedules.schedule import GRACE_MOST, Definition

Wrong = tuple[str, str]
"""The member, as `Definition` calls it, and what was expected."""

NAME = "1 to 100 letters, digits and any of _ . : - ; the first a letter or digit"
TITLE = f"1 to {TITLE_LIMIT} characters, not only spaces, no control characters"
PRIORITY_MOST, ATTEMPTS_MOST = 100, 100
TIMEOUT_LEAST, TIMEOUT_MOST = 0.1, 86_400.0

_NAME = re.compile(NAME_PATTERN.removesuffix("$"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def wrong(definition: Definition) -> Iterator[Wrong]:
    """Every rule that is broken."""
    asked = definition
    yield from _names(asked)
    if not asked.title.strip() or len(asked.title) > TITLE_LIMIT or _CONTROL.search(asked.title):
        yield "title", TITLE
    if not -PRIORITY_MOST <= asked.priority <= PRIORITY_MOST:
        yield "priority", f"-{PRIORITY_MOST} to {PRIORITY_MOST}"
    if asked.max_attempts is not None and not 1 <= asked.max_attempts <= ATTEMPTS_MOST:
        yield "max_attempts", f"1 to {ATTEMPTS_MOST} starts"
    timeout = asked.timeout_seconds
    if timeout is not None and not TIMEOUT_LEAST <= timeout <= TIMEOUT_MOST:
        yield "timeout", f"{TIMEOUT_LEAST:g} to {TIMEOUT_MOST:g} seconds"
    if not 0 <= asked.misfire_grace <= GRACE_MOST:
        yield "misfire_grace", f"0 to {GRACE_MOST:g} seconds"
    try:
        read(asked.cron, asked.time_zone)
    except CronError as error:
        yield ("cron" if error.member == "cron" else "time_zone"), str(error)


def _names(asked: Definition) -> Iterator[Wrong]:
    for member, text in (("name", asked.name), ("type", asked.type), ("queue", asked.queue)):
        if not _NAME.fullmatch(text) and (text or member != "queue"):
            yield member, NAME
