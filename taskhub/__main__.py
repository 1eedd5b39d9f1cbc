"""`python -m taskhub`: the same as the command `taskhub`."""

from __future__ import annotations

import sys

from taskhub.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
