"""A Debian of its own, systemd its process 1: this machine's files below, what it writes in memory.

Its mounts stand in a mount namespace of their own, which a small process holds open: when that
ends, however it does, nothing is left to unmount.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.waiting import blocking_until

BOOTS_WITHIN = 60.0
ENDS_WITHIN = 30.0
SYSTEM_PYTHON = Path("/usr/bin/python3")
PARTS = ("systemd-nspawn", "systemctl", "nsenter", "unshare", "setpriv", "curl")
ALONE = ("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--propagation=private")
HOLD = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
echo held
while read -r _; do
    setpriv --pdeathsig KILL systemd-nspawn --register=no --keep-unit --link-journal=no \\
        --console=pipe --machine=taskhub-guest --private-network --directory="$1/root" \\
        --boot systemd.unit=multi-user.target </dev/null >>"$1/root/console.log" 2>&1 || :
    echo off
done
"""
"""A line switches it on; `off` says that it is off again."""
FOREIGN = ("multi-user", "sockets", "timers", "network-online", "graphical", "getty", "paths")
"""What this machine would start by itself is not the guest's business."""


def reason_to_skip() -> str:
    """Why no guest can run here; "" when one can."""
    if os.geteuid() != 0:
        return "a systemd guest needs root"
    if missing := [name for name in PARTS if shutil.which(name) is None]:
        return f"not installed: {', '.join(missing)} (scripts/install-test-parts)"
    if not SYSTEM_PYTHON.exists():
        return f"there is no {SYSTEM_PYTHON}"
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0"', "/mnt"],
        check=False,
        capture_output=True,
        text=True,
    )
    return f"no mounts here: {tried.stderr.strip()}" if tried.returncode else ""


class Guest:
    """A machine that is switched on and off; `run` is a command in it."""

    def __init__(self, holder: subprocess.Popen[str], root: Path) -> None:
        """`root` is its file system, as the process `holder` sees it."""
        self._holder, self._root, self._leader = holder, root, 0

    @property
    def files(self) -> Path:
        """Its file system as this machine sees it, running or not."""
        return Path(f"/proc/{self._holder.pid}/root") / self._root.relative_to("/")

    def boot(self) -> None:
        """Switch it on and wait until it has started all that it starts."""
        self._say("on")
        blocking_until(self._has_leader, BOOTS_WITHIN, "nspawn has started no process 1")
        blocking_until(self._is_up, BOOTS_WITHIN, f"it does not boot:\n{self.console()}")

    def power_off(self) -> None:
        """Switch it off in order, and wait for it."""
        self.run("systemctl", "poweroff", check=False)
        self._off()

    def close(self) -> None:
        """Leave nothing of it running, whatever state it is in."""
        if self._leader:
            with suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)  # the kernel ends all of its namespace
            self._off()

    def _off(self) -> None:
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "off\n", self.console()
        self._leader = 0

    def _say(self, word: str) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.write(f"{word}\n")
        self._holder.stdin.flush()

    def command(self, *command: str) -> list[str]:
        """How a command is started in it; it sees nothing of our environment."""
        inside = ["nsenter", f"--target={self._leader}", "--all", "env", "-i"]
        path = "PATH=/opt/taskhub/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return [*inside, path, "HOME=/root", "LANG=C.UTF-8", *command]

    def ended(self, *command: str) -> tuple[int, str]:
        """The exit code of a command in it, and what it has printed on both streams."""
        done = subprocess.run(
            self.command(*command),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout.strip()

    def run(self, *command: str, check: bool = True) -> str:
        """What a command in it has printed; it must have gone well, unless `check` is False."""
        code, text = self.ended(*command)
        assert not (check and code), f"{command} ended with {code}:\n{text}"
        return text

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into it."""
        place = self.files / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        place.chmod(mode)

    def namespaces(self) -> set[str]:
        """Where its processes live, and where its mounts stand."""
        inside = [(self._leader, "pid"), (self._leader, "mnt"), (self._holder.pid, "mnt")]
        return {str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for pid, kind in inside if pid}

    def console(self) -> str:
        """What it has shown while it booted."""
        return (self.files / "console.log").read_text(errors="replace")[-4_000:]

    def _has_leader(self) -> bool:
        """Process 1 is the only child of nspawn, which is the only one of the holder."""
        assert self._holder.poll() is None, "the holder has ended"
        found = [child for nspawn in _children(self._holder.pid) for child in _children(nspawn)]
        self._leader = found[0] if found else 0
        return bool(found) and Path(f"/proc/{found[0]}/comm").read_text() == "systemd\n"

    def _is_up(self) -> bool:
        told = self.run("systemctl", "is-system-running", "--wait", check=False).strip()
        return told in {"running", "degraded"}


@contextmanager
def guest(folder: Path) -> Iterator[Guest]:
    """A guest that has not been switched on; nothing of it is left afterwards."""
    holder = subprocess.Popen(
        [*ALONE, "sh", "-c", HOLD, "hold", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n", "no overlay can be mounted here"
        machine = Guest(holder, folder / "root")
        _strip(machine.files)
        try:
            yield machine
        finally:
            machine.close()
    finally:
        holder.stdin.close()
        holder.stdout.close()
        holder.wait(ENDS_WITHIN)


def _children(pid: int) -> list[int]:
    try:
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _strip(root: Path) -> None:
    """Let it start nothing of what this machine would, and know nothing of who it is."""
    (root / "etc/machine-id").write_text("")
    for name in FOREIGN:
        shutil.rmtree(root / f"etc/systemd/system/{name}.target.wants", ignore_errors=True)
