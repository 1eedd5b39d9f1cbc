"""structlog as we use it: without the console of its own, for which it would load `rich`.

It does so wherever `rich` happens to be installed, in each process: 3 MB, an eighth of a start.
"""

from __future__ import annotations

import sys

if "rich" in sys.modules:
    import structlog
else:
    sys.modules["rich"] = None  # type: ignore[assignment]  # what an import takes for: not here
    try:
        import structlog
    finally:
        del sys.modules["rich"]

__all__ = ["structlog"]
