"""Draw the dashboards from their own queries: `scripts/pictures.py PROMETHEUS MINUTES FOLDER`.

Asks a Prometheus that has watched a TaskHub at work for what each panel would show, and writes an
SVG for each dashboard. It is no Grafana: what is drawn is where panels stand and what they say.
"""

from __future__ import annotations

import json
import re
import sys
import time
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

Json = dict[str, Any]
Points = list[tuple[float, float]]

DASHBOARDS = Path(__file__).parents[1] / "dashboards"
CELL, ROW, GAP, HEAD = 50, 30, 8, 64  # pixels of Grafana's grid, and above it
COLOURS = ("#5794f2", "#73bf69", "#f2cc0c", "#ff780a", "#e02f44", "#b877d9", "#37872d", "#8ab8ff")
BACK, PANEL, GRID, FAINT, INK = "#111217", "#181b1f", "#2c3036", "#8e9299", "#d8d9da"
SAYS = "Drawn by scripts/pictures.py from the dashboard's own queries, not by Grafana."
FONT = 'font-family="Inter,Helvetica,Arial,sans-serif"'
UNITS = {"ops": "/s", "reqps": "/s", "short": "", "s": " s"}
SERIES = 8  # as many are drawn of one panel


class Source:
    """A Prometheus, and the minutes that are looked at."""

    def __init__(self, url: str, minutes: float) -> None:
        self.url, self.end = url, time.time()
        self.begin, self.step = self.end - minutes * 60, max(2.0, minutes * 60 / 150)

    def ask(self, expression: str) -> list[Json]:
        """The series of a panel's query over all the time."""
        for name, value in (("rate_interval", "20s"), ("range", f"{self.end - self.begin:.0f}s")):
            expression = expression.replace(f"$__{name}", value)
        expression = re.sub(r"\$(job|instance|unit)", ".*", expression)
        asked = {"query": expression, "start": self.begin, "end": self.end, "step": self.step}
        with urlopen(f"{self.url}/api/v1/query_range?{urlencode(asked)}") as answer:  # noqa: S310 - theirs
            found: list[Json] = json.load(answer)["data"]["result"]
        return found


def main(url: str, minutes: float, folder: Path) -> None:
    """One picture for each dashboard that Prometheus alone can fill."""
    source = Source(url, minutes)
    for path in sorted(DASHBOARDS.glob("*.json")):
        board = json.loads(path.read_text())
        kinds = {target["datasource"]["type"] for p in board["panels"] for target in p["targets"]}
        if kinds == {"prometheus"}:
            (folder / f"{path.stem}.svg").write_text(picture(board, source))


def picture(board: Json, source: Source) -> str:
    """The whole of a dashboard."""
    panels = board["panels"]
    width = 24 * CELL + GAP
    height = HEAD + max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels) * ROW + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {FONT}>',
        f'<rect width="{width}" height="{height}" fill="{BACK}"/>',
        text(GAP + 4, 26, board["title"], size=18),
        text(GAP + 4, 48, SAYS, fill=FAINT),
    ]
    for panel in panels:
        at = panel["gridPos"]
        place = (at["x"] * CELL + GAP, HEAD + at["y"] * ROW)
        size = (at["w"] * CELL - GAP, at["h"] * ROW - GAP)
        parts.append(
            f'<g transform="translate({place[0]} {place[1]})">{drawn(panel, size, source)}</g>'
        )
    return "\n".join([*parts, "</svg>\n"])


def drawn(panel: Json, size: tuple[int, int], source: Source) -> str:
    """One panel in its frame."""
    frame = f'<rect width="{size[0]}" height="{size[1]}" rx="3" fill="{PANEL}" stroke="{GRID}"/>'
    series = [
        (
            named(target, found["metric"]),
            [(float(at), float(value)) for at, value in found["values"]],
        )
        for target in panel["targets"]
        for found in source.ask(target["expr"])
    ]
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    draw = {"stat": stat, "heatmap": heatmap}.get(panel["type"], lines)
    return frame + text(10, 20, panel["title"]) + draw(series, size, unit, source)


def named(target: Json, labels: Json) -> str:
    """What its legend says."""
    form = target.get("legendFormat") or ""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda each: labels.get(each[1], ""), form).strip()


def stat(series: list[tuple[str, Points]], size: tuple[int, int], unit: str, _: Source) -> str:
    """The last value, large."""
    values = [points[-1][1] for _, points in series if points]
    shown = said(values[-1], unit) if values else "nothing"
    return text(size[0] / 2, size[1] / 2 + 22, shown, size=28, fill=COLOURS[1], anchor="middle")


def lines(
    series: list[tuple[str, Points]], size: tuple[int, int], unit: str, source: Source
) -> str:
    """A line for each series, and what they are called."""
    kept = [(name, [p for p in points if p[1] == p[1]]) for name, points in series]  # no NaN
    kept = sorted(kept, key=lambda each: -max((v for _, v in each[1]), default=0.0))[:SERIES]
    top = max((value for _, points in kept for _, value in points), default=0.0) or 1.0
    left, right, above, below = 58, size[0] - 12, 34, size[1] - 44
    parts = []
    for part in range(5):
        y = below - (below - above) * part / 4
        parts.append(f'<path d="M{left} {y:.0f}H{right}" stroke="{GRID}"/>')
        parts.append(text(left - 6, y + 4, said(top * part / 4, unit), fill=FAINT, anchor="end"))
    high, x, per_second = below - above, float(left), (right - left) / (source.end - source.begin)
    for (name, points), colour in zip(kept, COLOURS, strict=False):
        spots = " ".join(
            f"{left + (at - source.begin) * per_second:.1f},{below - value / top * high:.1f}"
            for at, value in points
        )
        parts.append(
            f'<polyline points="{spots}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
        if x + 7 * len(name) < right:
            parts.append(
                f'<rect x="{x}" y="{size[1] - 22}" width="12" height="3" fill="{colour}"/>'
            )
            parts.append(text(x + 16, size[1] - 16, name, size=11))
            x += 30 + 6.2 * len(name)
    return "".join(parts)


def heatmap(
    series: list[tuple[str, Points]], size: tuple[int, int], unit: str, source: Source
) -> str:
    """How many of each bucket: the buckets that are given are cumulative."""
    del unit
    rows = sorted(((float(name), dict(points)) for name, points in series), key=lambda row: row[0])
    cells = [
        (place, bound, at, max(0.0, value - below.get(at, 0.0)))
        for place, ((_, below), (bound, counts)) in enumerate(pairwise([(0.0, {}), *rows]))
        for at, value in counts.items()
    ]
    most = max((count for *_, count in cells), default=0.0) or 1.0
    left, right, above, below_ = 58, size[0] - 12, 34, size[1] - 16
    high = (below_ - above) / max(1, len(rows))
    wide = (right - left) * source.step / (source.end - source.begin)
    parts = [
        text(
            left - 6,
            below_ - high * (place + 0.3),
            f"{bound:g} s",
            fill=FAINT,
            anchor="end",
            size=10,
        )
        for place, (bound, _) in enumerate(rows)
    ]
    for place, _, at, count in cells:
        if count / most > 0.01:  # noqa: PLR2004 - fainter is nothing
            x, y = left + (at - source.begin) / source.step * wide, below_ - high * (place + 1)
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" '
                f'fill="{COLOURS[3]}" opacity="{(count / most) ** 0.5:.2f}"/>'
            )
    return "".join(parts)


def said(value: float, unit: str) -> str:
    """A number as its panel would show it."""
    if unit == "bytes":
        return f"{value / 2**20:.3g} MiB"
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g}{UNITS.get(unit, f' {unit}')}"


def text(
    x: float, y: float, words: str, *, fill: str = INK, size: int = 12, anchor: str = "start"
) -> str:
    """Some words."""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" fill="{fill}" font-size="{size}" '
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
