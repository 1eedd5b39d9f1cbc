"""structlog as we use it: without the console of its own, for which it would load `rich`.

It does so wherever `rich` happens to be installed, in each process: 4 MB, a quarter of a start.
"""

from __future__ import annotations

from taskhub.kernel.imports import import_without

import_without("rich", "structlog")

import structlog  # noqa: E402 - what was imported just now, with its types

__all__ = ["structlog"]
