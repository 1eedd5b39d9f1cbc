"""A real Prometheus, a real Alertmanager and whoever it tells, around one installation."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from asyncio.subprocess import STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.acceptance.installation import free_port
from tests.style.tree import ROOT

RULES = ROOT / "deploy" / "prometheus" / "rules"
OFTEN = "500ms"
RANGE = "4s"

SHORTER: Mapping[str, tuple[str, str]] = {
    "TaskHubRestarting": ("> 3", "> 0"),
    "TaskHubHeartbeatOld": ("> 60", "> 2"),
    "TaskHubQueueOld": ("> 300", "> 2"),
    "TaskHubCommitsSlow": ("> 0.5", "> 0.1"),
    "TaskHubProcessorsDying": ("> 3", "> 0"),
    "TaskHubWebhookBehind": ("> 300", "> 1"),
}
"""Bounds of alerts that take their time, for a test that has not got it."""


def shortened(rules: str) -> str:
    """The same rules, with nothing to wait for."""
    text = re.sub(r"\[\d+[mh]\]", f"[{RANGE}]", re.sub(r"for: \d+[mh]", "for: 0s", rules))
    head, *alerts = text.split("- alert: ")
    return "- alert: ".join([head, *map(_bounded, alerts)])


def _bounded(alert: str) -> str:
    name = alert.partition("\n")[0]
    old, new = SHORTER.get(name, ("", ""))
    assert old in alert, f"{name}: no bound {old!r} to shorten"
    return alert.replace(old, new, 1)


def can_watch() -> bool:
    """Whether the programs are installed."""
    return all(command[0] for command in COMMANDS.values())


def alert_names() -> set[str]:
    """Every alert of the rules."""
    return set(re.findall(r"- alert: (\w+)", (RULES / "alerts.yml").read_text()))


def panel_queries() -> dict[str, str]:
    """The metric queries of all dashboards as Grafana would send them, by where they stand."""
    found = {}
    for path in (ROOT / "dashboards").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["type"] == "prometheus":
                    place = f"{path.stem}: {panel['title']}: {target['refId']}"
                    query = re.sub(r"\$__(rate_interval|range)", RANGE, target["expr"])
                    found[place] = re.sub(r"\$(job|instance|unit)", ".+", query)
    return found


class Monitoring:
    """What watches an installation; `fired` is what Alertmanager has told, by the alert's name."""

    def __init__(self, folder: Path) -> None:
        """Lay down the configurations; nothing runs yet. `target` is the port that is scraped."""
        self.folder = folder
        self.ports = {name: free_port() for name in (*CONFIGURATIONS, "receiver", "target")}
        self.target = self.ports["target"]
        self.url = f"http://127.0.0.1:{self.ports['prometheus']}"
        self.fired: dict[str, dict[str, Any]] = {}
        self._news = asyncio.Event()
        for name, text in CONFIGURATIONS.items():
            filled = text.format(often=OFTEN, **self.ports)
            (folder / f"{name}.yml").write_text(filled)
        for path in RULES.glob("*.yml"):
            (folder / f"rules-{path.name}").write_text(shortened(path.read_text()))

    async def hear(self, request: web.Request) -> web.Response:
        """What Alertmanager posts."""
        for alert in (await request.json())["alerts"]:
            if alert["status"] == "firing":
                self.fired.setdefault(alert["labels"]["alertname"], alert)
        self._news.set()
        return web.Response()

    async def until_fired(self, *names: str, within: float = 15.0) -> None:
        """Return when all of these have arrived."""
        try:
            async with asyncio.timeout(within):
                while set(names) - set(self.fired):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            missing = sorted(set(names) - set(self.fired))
            raise AssertionError(f"{missing} never fired") from None

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """What a query gives now."""
        data = await self._get("query", query=query)
        found: list[dict[str, Any]] = data["result"]
        return found

    async def exemplars(self, query: str) -> list[dict[str, str]]:
        """The labels of the exemplars that were scraped with these series."""
        rows = await self._get("query_exemplars", query=query, start="0", end="2e9")
        return [each["labels"] for row in rows for each in row["exemplars"]]

    async def _get(self, what: str, **params: str) -> Any:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"{self.url}/api/v1/{what}", params=params) as answer,
        ):
            told = await answer.json()
        assert told["status"] == "success", (params, told)
        return told["data"]


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Monitoring]:
    """All three at work; gone in the end."""
    monitoring = Monitoring(folder)
    receiver = web.Application()
    receiver.router.add_post("/alerts", monitoring.hear)
    receiver.router.add_post("/gone", _gone)
    runner = web.AppRunner(receiver, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", monitoring.ports["receiver"]).start()
    started = [await _start(monitoring, name) for name in CONFIGURATIONS]
    try:
        yield monitoring
    finally:
        for process in started:
            process.kill()
            await process.wait()
        await runner.cleanup()


async def _gone(_: web.Request) -> web.Response:
    """A receiver of webhooks that wants no more of them."""
    return web.Response(status=410)


async def _start(monitoring: Monitoring, name: str) -> Process:
    folder, port = monitoring.folder, monitoring.ports[name]
    kind = "alertmanager" if name == "alertmanager" else "prometheus"
    program, *options = COMMANDS[kind]
    assert program is not None
    with (folder / f"{name}.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            program,
            f"--config.file={folder / name}.yml",
            f"--web.listen-address=127.0.0.1:{port}",
            *(option.format(folder=folder / name) for option in options if option),
            stdout=log,
            stderr=STDOUT,
        )


COMMANDS = {
    "alertmanager": (
        shutil.which("prometheus-alertmanager"),
        "--storage.path={folder}",
        "--cluster.listen-address=",
    ),
    "prometheus": (
        shutil.which("prometheus"),
        "--storage.tsdb.path={folder}",
        "--enable-feature=exemplar-storage",
        "--rules.alert.resend-delay=500ms",  # it takes 5 s to find its Alertmanager
    ),
}
ALERTS = """
global: {{ scrape_interval: {often}, scrape_timeout: {often}, evaluation_interval: {often} }}
rule_files: [rules-*.yml]
alerting:
  alertmanagers: [{{ static_configs: [{{ targets: ["127.0.0.1:{alertmanager}"] }}] }}]
"""
CONFIGURATIONS = {
    "alertmanager": """
route: {{ receiver: test, group_by: [alertname], group_wait: 10ms, group_interval: 200ms }}
receivers:
  - name: test
    webhook_configs:
      - url: http://127.0.0.1:{receiver}/alerts
""",
    "prometheus": ALERTS
    + """
scrape_configs:
  - job_name: taskhub
    static_configs: [{{ targets: ["127.0.0.1:{target}"] }}]
""",
    "blind": ALERTS,
}
"""The blind one has the rules and nothing to scrape: what fires there is that nobody is seen."""
