"""The shapes of Grafana's dashboards (classic JSON, for Grafana 9 to 13), without their content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    common,
    heatmap,
    logs,
    loki,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as make
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

WIDTH = 24  # columns of Grafana's grid
SCHEMA = 36  # of Grafana 9; newer ones read it as it is
TAG = "taskhub"
PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")
LOKI = model.DataSourceRef(type_val="loki", uid="${loki_datasource}")
CHOSEN = "&".join(f"${{{name}:queryparam}}" for name in ("job", "instance", "unit"))
TO_LOGS = f"/d/taskhub-logs?${{__url_time_range}}&{CHOSEN}"

PanelBuilder = timeseries.Panel | stat.Panel | heatmap.Panel | logs.Panel


@dataclass(frozen=True)
class Query:
    """One query of a panel; `legend` names its series."""

    text: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """What a panel shows; `kind` is Grafana's type, `unit` its unit of the values."""

    title: str
    text: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    limits: Sequence[tuple[str, float]] = ()
    """(colour, from this value on), beside green."""
    of_logs: bool = False
    """Whether its queries are for Loki."""


def board(name: str, title: str, text: str, panels: Sequence[Panel]) -> model.Dashboard:
    """One dashboard: panels from left to right, variables and links as all of them have."""
    made = (
        make.Dashboard(f"TaskHub / {title}")
        .uid(f"taskhub-{name}")
        .description(text)
        .tags([TAG])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .refresh("10s")
        .time("now-1h", "now")
        .version(1)
        .link(_to_others())
        .variables(variables())
    )
    for number, (panel, place) in enumerate(placed(panels), 1):
        made = made.with_panel(built(panel).id(number).grid_pos(place))
    whole = made.build()
    whole.schema_version = SCHEMA
    return whole


def _to_others() -> make.DashboardLink:
    return (
        make.DashboardLink("TaskHub")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(as_dropdown=False)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )


def placed(panels: Sequence[Panel]) -> list[tuple[Panel, model.GridPos]]:
    """From left to right, and down when the line is full."""
    places = []
    x = y = height = 0
    for panel in panels:
        if x + panel.width > WIDTH:
            x, y, height = 0, y + height, 0
        places.append((panel, model.GridPos(h=panel.height, w=panel.width, x=x, y=y)))
        x, height = x + panel.width, max(height, panel.height)
    return places


def built(panel: Panel) -> PanelBuilder:
    """A panel of its kind, with its queries."""
    made = KINDS[panel.kind](panel)
    made = made.title(panel.title).description(panel.text)
    made = made.datasource(LOKI if panel.of_logs else PROMETHEUS)
    made = made.targets([target(panel, number) for number in range(len(panel.queries))])
    if not panel.of_logs:
        made = made.links([make.DashboardLink("Log lines of this time").url(TO_LOGS)])
    return made


def target(panel: Panel, number: int) -> Builder:  # type: ignore[type-arg]
    """One query for the data source of its panel."""
    query = panel.queries[number]
    name = "ABCDEFGH"[number]
    if panel.of_logs:
        asked = loki.Dataquery().expr(query.text).legend_format(query.legend)
        return asked.query_type("range").ref_id(name).datasource(LOKI)
    told = prometheus.Dataquery().expr(query.text).legend_format(query.legend)
    told = told.ref_id(name).datasource(PROMETHEUS)
    if panel.kind == "heatmap":
        told = told.format(PromQueryFormat.HEATMAP).exemplar(exemplar=True)
    return told.instant() if panel.kind == "stat" else told.range()


def _timeseries(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(words.LegendDisplayMode.LIST)
        .placement(words.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    tooltip = (
        common.VizTooltipOptions()
        .mode(words.TooltipDisplayMode.MULTI)
        .sort(words.SortOrder.DESCENDING)
    )
    return (
        timeseries.Panel()
        .unit(panel.unit)
        .min(0)
        .no_value("none")
        .line_width(1)
        .fill_opacity(10)
        .show_points(words.VisibilityMode.NEVER)
        .legend(legend)
        .tooltip(tooltip)
    )


def _stat(panel: Panel) -> stat.Panel:
    steps = [model.Threshold(color="green", value=None)]
    steps += [model.Threshold(color=colour, value=value) for colour, value in panel.limits]
    return (
        stat.Panel()
        .unit(panel.unit)
        .min(0)
        .no_value("0")
        .thresholds(make.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
        .color_scheme(make.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False))
        .graph_mode(words.BigValueGraphMode.NONE)
    )


def _heatmap(panel: Panel) -> heatmap.Panel:
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges")
    return heatmap.Panel().unit(panel.unit).calculate(calculate=False).color(colours.steps(64))


def _logs(panel: Panel) -> logs.Panel:
    return (
        logs.Panel()
        .unit(panel.unit)
        .show_time(show_time=True)
        .wrap_log_message(wrap_log_message=True)
        .enable_log_details(enable_log_details=True)
        .sort_order(words.LogsSortOrder.DESCENDING)
        .dedup_strategy(words.LogsDedupStrategy.NONE)
    )


KINDS = {"timeseries": _timeseries, "stat": _stat, "heatmap": _heatmap, "logs": _logs}


def variables() -> list[Builder]:  # type: ignore[type-arg]
    """What one chooses above the panels; data sources too, so that they work in any Grafana."""
    job, instance = 'job=~"$job"', 'instance=~"$instance"'
    return [
        make.DatasourceVariable("prometheus_datasource").label("Prometheus").type("prometheus"),
        make.DatasourceVariable("loki_datasource").label("Loki").type("loki"),
        _values("job", "Job", "taskhub_build_info"),
        _values("instance", "Instance", f"taskhub_build_info{{{job}}}"),
        _values("unit", "Unit", f"taskhub_build_info{{{job}, {instance}}}"),
        make.TextBoxVariable("task").label("Task id"),
    ]


def _values(name: str, label: str, selector: str) -> make.QueryVariable:
    """A variable that offers the values of a label."""
    return (
        make.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query({"query": f"label_values({selector}, {name})", "refId": f"{name}-values"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".+")
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )
