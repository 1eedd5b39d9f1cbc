"""The receivers that docs/webhooks.md shows, as programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs/webhooks.md"


def program(language: str) -> str:
    """The page's one program in this language."""
    (source,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(source)


def python_receiver() -> Callable[[str, Mapping[str, str], bytes], bool]:
    """The function `is_from_taskhub` of the page."""
    names: dict[str, Any] = {}
    exec(compile(program("python"), str(PAGE), "exec"), names)  # noqa: S102 - our own page
    check: Callable[[str, Mapping[str, str], bytes], bool] = names["is_from_taskhub"]
    return check
