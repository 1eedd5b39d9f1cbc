"""Puts TaskHub into a guest by hand, as deploy/README.md says it; starts nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.acceptance.installation import AUDIENCE, ISSUER, KEY
from tests.acceptance.systemd.guest import SYSTEM_PYTHON, Guest

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SITE = ROOT / "build" / "site"
ENVIRONMENT = Path("opt/taskhub")
SETTINGS = "/etc/taskhub/supervisor.toml"
COMMAND = """#!/opt/taskhub/bin/python
import sys
from taskhub.cli.main import main
sys.exit(main())
"""
CONFIGURATION = f"""
[supervisor]
runtime_directory = "/run/taskhub"
grace = 25

[jwt]
authority = "{ISSUER}"
audience = "{AUDIENCE}"

[store]
url = "sqlite:////var/lib/taskhub/taskhub.db"

[work]
handlers = ["deeds"]

[logs]
directory = "/var/log/taskhub"
format = "clef"
"""
DEEDS = '''
"""What the tests let a worker do."""

import time

from taskhub import handler


@handler("hang", timeout=600)
async def hang(seconds: float) -> None:
    """Block the event loop, which no handler should."""
    time.sleep(seconds)
'''


def lay(guest: Guest) -> None:
    """Everything but the units: an environment of Debian's Python, configuration, account, key."""
    _environment(guest.files / ENVIRONMENT)
    guest.write(SETTINGS, CONFIGURATION)
    guest.write("/etc/taskhub/deeds.py", DEEDS)
    key = guest.files / "etc/credstore"
    key.mkdir(mode=0o700, exist_ok=True)
    guest.write("/etc/credstore/taskhub.jwt.issuer_signing_key", KEY, 0o600)
    shutil.copy(DEPLOY / "sysusers.d/taskhub.conf", guest.files / "usr/lib/sysusers.d/")
    for unit in (DEPLOY / "systemd").iterdir():
        shutil.copy(unit, guest.files / "etc/systemd/system/")


def _environment(place: Path) -> None:
    subprocess.run([ROOT / "scripts/build-site", SYSTEM_PYTHON, SITE], check=True)
    subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", place], check=True)
    packages = next(place.glob("lib/python3.*/site-packages"))
    shutil.copytree(SITE, packages, dirs_exist_ok=True)
    command = place / "bin/taskhub"
    command.write_text(COMMAND)
    command.chmod(0o755)
