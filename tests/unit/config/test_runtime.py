"""Where the sockets of one installation stand: every part must come to the same answer."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from taskhub.config.runtime import LONGEST_SOCKET, make_private, runtime_directory, socket_path
from taskhub.config.sections import Config, StoreSection, SupervisorSection


def config(directory: str = "", url: str = "sqlite:////var/lib/taskhub/taskhub.db") -> Config:
    """A configuration with this runtime directory and store."""
    return Config(
        supervisor=SupervisorSection(runtime_directory=directory), store=StoreSection(url=url)
    )


def test_a_configured_directory_wins() -> None:
    """Said by name."""
    assert runtime_directory(config("/run/hub"), {"RUNTIME_DIRECTORY": "/run/x"}) == Path(
        "/run/hub"
    )


def test_systemds_directory_is_next() -> None:
    """RuntimeDirectory= may name several: the first is ours."""
    found = runtime_directory(config(), {"RUNTIME_DIRECTORY": "/run/taskhub:/run/other"})

    assert found == Path("/run/taskhub")


def test_else_each_store_has_a_folder_of_its_own() -> None:
    """So the status of one data folder never meets another's."""
    digest = hashlib.sha256(b"sqlite:////var/lib/taskhub/taskhub.db").hexdigest()[:12]

    found = runtime_directory(config(), {"XDG_RUNTIME_DIR": "/run/user/7"})
    without = runtime_directory(config(), {})

    assert found == Path(f"/run/user/7/taskhub-{os.getuid()}/{digest}")
    assert without == Path(f"/tmp/taskhub-{os.getuid()}/{digest}")


def test_a_relative_store_means_another_folder_elsewhere(folder: Path) -> None:
    """`taskhub status` beside the data finds it, from elsewhere it does not."""
    relative = runtime_directory(config(url="sqlite:///data/a.db"), {})
    absolute = runtime_directory(config(url=f"sqlite:///{folder}/data/a.db"), {})

    assert relative == absolute


def test_a_socket_is_named_for_its_process() -> None:
    """`ls` shows what runs."""
    assert socket_path(Path("/run/taskhub"), "worker-1") == Path("/run/taskhub/worker-1.sock")


def test_a_long_path_becomes_a_short_one_of_the_same_meaning() -> None:
    """The kernel takes 107 bytes (unix(7))."""
    deep = Path("/") / ("d" * 60) / ("e" * 60)

    one, again = socket_path(deep, "api-1"), socket_path(deep, "api-1")

    assert len(os.fsencode(one)) <= LONGEST_SOCKET
    assert one == again
    assert one != socket_path(deep, "api-2")


def test_a_private_folder_is_for_our_account_alone(tmp_path: Path) -> None:
    """Who can write there can speak for a child."""
    made = make_private(tmp_path / "a" / "b")

    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert make_private(made) == made


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """/tmp is everybody's: another account may have been there first."""
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")

    with pytest.raises(PermissionError, match="is a link"):
        make_private(tmp_path / "link")
