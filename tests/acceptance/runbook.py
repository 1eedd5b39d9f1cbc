"""A machine for docs/runbook.md: the files of deploy/ in a folder, stand-ins for systemd."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.acceptance.installation import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/runbook.md"
FOLDERS = (
    "/etc/taskhub",
    "/etc/default",
    "/etc/credstore",
    "/var/lib/taskhub",
    "/var/log/taskhub",
    "/var/backups",
    "/run/taskhub",
    "/opt/taskhub/bin",
)
MARK = "@@ failed"

SYSTEMCTL = """#!/bin/bash
# What `systemctl` does to taskhub.service, with a plain process in its place.
set -u
cd {folder}/var/lib/taskhub
pid=$(cat {folder}/pid 2>/dev/null || true)
alive() {{ [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }}
start() {{
  set -a; . {folder}/etc/default/taskhub; set +a
  unset TASKHUB_URL TASKHUB_TOKEN
  setsid taskhub run >>{folder}/journal 2>&1 </dev/null & echo $! >{folder}/pid
  for _ in $(seq 1200); do
    curl -fs --unix-socket {folder}/run/taskhub/tree.sock http://x/ready >{folder}/ready && return
    sleep 0.05
  done
  return 1
}}
stop() {{
  alive && kill -TERM "$pid" && tail --pid="$pid" -s 0.05 -f /dev/null
  rm -f {folder}/pid
}}
case $1 in
  start) alive || start ;;
  stop) stop ;;
  restart) stop; start ;;
  status) alive && echo "active (running), Main PID: $pid" ;;
  show) echo "$pid" ;;
  *) echo "no stand-in for: $*" >&2; exit 1 ;;
esac
"""
JOURNALCTL = "#!/bin/sh\ntail -n 20 {folder}/journal\n"
PIP = """#!/bin/sh
echo "$@" >>{folder}/pip
[ "$1" != freeze ] || echo taskhub==0.1.0
"""


class Block(NamedTuple):
    """The commands of one place of the page."""

    heading: str
    commands: str


class Failed(NamedTuple):
    """A command that has not ended with 0."""

    code: int
    command: str


def blocks() -> Iterator[Block]:
    """Every block of commands of the page, in order."""
    heading = ""
    pattern = r"^## (?P<heading>[^\n]+)$|^```sh\n(?P<commands>.*?)^```$"
    for match in re.finditer(pattern, PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        heading = match["heading"] or heading
        if match["commands"]:
            yield Block(heading, match["commands"])


class Machine:
    """Its folders stand below one of ours; its ports are free ones."""

    def __init__(self, folder: Path) -> None:
        """Install the files, as deploy/README.md says; nothing runs yet."""
        self.folder = folder
        self._ports = {"8080": str(free_port()), "9464": str(free_port())}
        for path in FOLDERS:
            (folder / path[1:]).mkdir(parents=True, mode=0o700)
        config = (ROOT / "deploy/taskhub/supervisor.toml").read_text("utf-8")
        (folder / "etc/taskhub/supervisor.toml").write_text(self.here(config), "utf-8")
        key = folder / "etc/taskhub/jwt.key"
        key.touch(mode=0o600)
        key.write_text(secrets.token_urlsafe(32))
        variables = f"Jwt__IssuerSigningKey_FILE={key}\n"
        (folder / "etc/default/taskhub").write_text(variables)
        self._program("bin/systemctl", SYSTEMCTL)
        self._program("bin/journalctl", JOURNALCTL)
        self._program("opt/taskhub/bin/pip", PIP)

    def here(self, text: str) -> str:
        """The text with this machine's folders and ports."""
        for path in FOLDERS:
            text = re.sub(rf"(?<![\w.-]){path}\b", f"{self.folder}{path}", text)
        for known, ours in self._ports.items():
            text = re.sub(rf"\b{known}\b", ours, text)
        return text

    async def type(self, commands: str) -> tuple[str, list[Failed]]:
        """Type them into one shell; what it said, and every command that failed."""
        trap = f"trap 'echo \"{MARK} $? $BASH_COMMAND\"' ERR\nset -o pipefail\n"
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", trap + self.here(commands)),
            cwd=self.folder,
            env=self._environ(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        said = out.decode(errors="replace")
        found = re.findall(rf"^{MARK} (\d+) (.*)$", said, re.MULTILINE)
        return said, [Failed(int(code), command) for code, command in found]

    def _environ(self) -> dict[str, str]:
        path = (self.folder / "bin", Path(sys.executable).parent, os.environ["PATH"])
        config = self.folder / "etc/taskhub/supervisor.toml"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKHUB")}
        return {**kept, "PATH": ":".join(map(str, path)), "TASKHUB_CONFIG": str(config)}

    def _program(self, path: str, source: str) -> None:
        program = self.folder / path
        program.parent.mkdir(exist_ok=True)
        program.write_text(source.format(folder=self.folder))
        program.chmod(0o755)


def tools() -> list[str]:
    """What the page calls and this machine has not."""
    return [name for name in ("curl", "jq", "sqlite3") if shutil.which(name) is None]
