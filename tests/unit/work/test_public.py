"""What user code imports from `taskhub` itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
import taskhub


@pytest.mark.parametrize("name", taskhub.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """They are looked up only when they are used: a wrong home would show late."""
    assert getattr(taskhub, name).__name__ == name
    assert name in dir(taskhub)


def test_importing_the_package_alone_imports_nothing_heavy() -> None:
    """The command line starts quickly, whatever the package offers to handlers."""
    look = "import sys, taskhub; print('msgspec' in sys.modules, 'asyncio' in sys.modules)"

    seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert seen.stdout == "False False\n"


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = taskhub.Nothing
