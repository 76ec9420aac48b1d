"""What the dashboards are made of: variables, queries, panels of each kind, with the same manners everywhere.

Rules of this file: only what Grafana 10 knows already. Every panel has a description that says what is good and what
to do, for it is read by somebody who was woken up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import common as shared
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmaps
from grafana_foundation_sdk.models import prometheus as queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana_foundation_sdk.cog.builder import Builder

    Panels = list[Builder[models.Panel]]

RUNBOOK = "https://git.example/telethon-sidecar/docs/runbook.md"
"""Where the runbook is to be read; a variable of the dashboards, so that it can be changed in one place."""

SELECTED = 'job=~"$job",namespace=~"$namespace",pod=~"$pod"'
"""The processes that the variables choose. Outside Kubernetes there are no namespaces and pods: All is `.*` there."""

COARSE = "5m"
"""Least step of what is counted: get_me checks, one a minute, leave narrower windows empty. And `$__rate_interval` is
at least four scrapes long, so that with a shorter step windows would overlap: one event would fill several bars."""

GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "#808080"

_SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
_Panel = TypeVar(
    "_Panel", stat.Panel, timeseries.Panel, statetimeline.Panel, heatmap.Panel, table.Panel, bargauge.Panel
)


class Query:
    """An expression and how its series are called."""

    def __init__(self, expression: str, legend: str = "", *, instant: bool = False, form: str = "time_series") -> None:
        self.expression, self.legend, self.instant, self.form = expression, legend, instant, form

    def build(self, letter: str) -> prometheus.Dataquery:
        """Return it in Grafana's words."""
        query = prometheus.Dataquery().expr(self.expression).ref_id(letter).datasource(_SOURCE)
        query = query.editor_mode(queries.QueryEditorMode.CODE).format(queries.PromQueryFormat(self.form))
        query = query.legend_format(self.legend or "__auto")
        return query.instant() if self.instant else query.range()


def dressed(
    panel: _Panel,
    title: str,
    description: str,
    asked: Sequence[Query],
    *,
    size: tuple[int, int],
    unit: str = "short",
    heading: str = "",
) -> _Panel:
    """Return a panel with what every panel has.

    Args:
        panel: of some kind.
        title: a few words.
        description: what it shows, what is good, what to do.
        asked: the queries.
        size: width (of 24) and height.
        unit: as Grafana names it.
        heading: the anchor in the runbook that the panel links to.
    """
    width, height = size
    panel = panel.title(title).description(description).datasource(_SOURCE).span(width).height(height).unit(unit)
    for letter, query in zip("ABCDEFGH", asked, strict=False):
        # A big value is of now. Over a range Grafana would show the last one that there was: "connected for 4 s" while
        # there is no connection.
        query.instant = query.instant or isinstance(panel, stat.Panel)
        panel = panel.with_target(query.build(letter))
    link = dashboard.DashboardLink(f"Runbook: {heading or 'start here'}").type(models.DashboardLinkType.LINK)
    return panel.links([link.url(f"${{runbook}}#{heading}" if heading else "${runbook}").target_blank(True)])


def steps(*bounds: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Return thresholds: from a bound on (None: from the bottom), a colour."""
    made = [models.Threshold(value=value, color=color) for value, color in bounds]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def words(meaning: Mapping[str, tuple[str, str]]) -> list[Any]:
    """Return a mapping of values to (word, colour)."""
    options = {
        value: models.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(meaning.items())
    }
    return [models.ValueMap(options=options)]


def big(panel_steps: dashboard.ThresholdsConfig) -> stat.Panel:
    """Return a panel with one big, coloured value: the last one."""
    return (
        stat.Panel()
        .reduce_options(shared.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_scheme(_by_threshold())
        .thresholds(panel_steps)
    )


def lines(*, fill: int = 0) -> timeseries.Panel:
    """Return a panel with lines over time, from zero on."""
    return _lines(fill=fill).min(0)


def _lines(*, fill: int) -> timeseries.Panel:
    return (
        timeseries.Panel()
        .draw_style(common.GraphDrawStyle.LINE)
        .line_width(2)
        .fill_opacity(fill)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        .legend(_legend())
        .tooltip(shared.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    )


def signed() -> timeseries.Panel:
    """Return a panel with lines around zero, from -10 to 10 or as far as they reach."""
    return _lines(fill=0).axis_soft_min(-10).axis_soft_max(10)


def counted_on_the_right() -> list[models.DynamicConfigValue]:
    """Return what makes one query of a panel a count, beside others that have a unit."""
    return [
        models.DynamicConfigValue(id_val="unit", value="short"),
        models.DynamicConfigValue(id_val="custom.axisPlacement", value="right"),
    ]


def bars() -> timeseries.Panel:
    """Return a panel with stacked bars: how many of each kind in each step."""
    return (
        lines(fill=80)
        .interval(COARSE)
        .draw_style(common.GraphDrawStyle.BARS)
        .line_width(1)
        .stacking(shared.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    )


def limit(panel: timeseries.Panel, *bounds: tuple[float | None, str]) -> timeseries.Panel:
    """Return the panel with dashed lines at the thresholds of the alerts."""
    style = shared.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(steps(*bounds)).thresholds_style(style)


def timeline() -> statetimeline.Panel:
    """Return a panel with one coloured band for each process."""
    return (
        statetimeline.Panel()
        .show_value(common.VisibilityMode.AUTO)
        .merge_values(True)
        .row_height(0.9)
        .fill_opacity(80)
        .line_width(0)
        .color_scheme(_by_threshold())
        .legend(_legend())
    )


def density() -> heatmap.Panel:
    """Return a heatmap over the buckets of a histogram."""
    color = heatmap.HeatmapColorOptions().mode(heatmaps.HeatmapColorMode.SCHEME).scheme("Oranges").steps(32)
    return heatmap.Panel().calculate(False).color(color).cell_gap(1).y_axis(heatmap.YAxisConfig().unit("s"))


def rows() -> table.Panel:
    """Return a table of series."""
    return table.Panel().show_header(True).filterable(True)


def ranking(panel_steps: dashboard.ThresholdsConfig) -> bargauge.Panel:
    """Return horizontal bars, the worst first."""
    return (
        bargauge.Panel()
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .color_scheme(_by_threshold())
        .reduce_options(shared.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .thresholds(panel_steps)
    )


def columns(panel: table.Panel, hidden: Sequence[str], **names: str) -> table.Panel:
    """Return a table without some columns, and with others renamed."""
    options = {"excludeByName": dict.fromkeys(hidden, True), "renameByName": names}
    return panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=options))


def page(title: str, uid: str, description: str, *, variables: Sequence[str]) -> dashboard.Dashboard:
    """Return an empty dashboard with its variables, annotations and links.

    Args:
        title: its name.
        uid: its stable identity, part of its address.
        description: what it is for.
        variables: the labels that a person may choose by, the widest first.
    """
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["telethon-sidecar", "telegram"])
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for place, label in enumerate(variables):
        narrowed = ",".join(f'{wider}=~"${wider}"' for wider in variables[:place])
        asked = f"label_values(telegram_connected{{{narrowed}}}, {label})"
        made = made.with_variable(
            dashboard.QueryVariable(label)
            .label(label.capitalize())
            .datasource(_SOURCE)
            .query({"query": asked, "refId": label})
            .definition(asked)
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
        )
    here = dashboard.DashboardLink
    link, others = models.DashboardLinkType.LINK, models.DashboardLinkType.DASHBOARDS
    return (
        made.with_variable(dashboard.ConstantVariable("runbook").label("Address of the runbook").value(RUNBOOK))
        .annotation(_starts())
        .annotation(_alerts())
        .link(here("Runbook").type(link).icon("doc").url("${runbook}").target_blank(True))
        .link(
            here("Other dashboards of telethon-sidecar")
            .type(others)
            .tags(["telethon-sidecar"])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )


def _by_threshold() -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)


def _legend() -> shared.VizLegendOptions:
    return (
        shared.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _starts() -> dashboard.AnnotationQuery:
    """Mark deployments: a process that started within the step."""
    started = f"changes(process_start_time_seconds{{{SELECTED}}}[$__rate_interval]) > 0"
    first = f"(time() - process_start_time_seconds{{{SELECTED}}} < 60)"
    known = f"telegram_sidecar_build_info{{{SELECTED}}}"
    return (
        dashboard.AnnotationQuery()
        .name("Deployments and restarts")
        .datasource(_SOURCE)
        .enable(True)
        .icon_color(BLUE)
        .expr(f"({started} or {first}) * on (job, cluster, namespace, pod, instance) group_left (version) {known}")
        .title_format("{{pod}} {{instance}} started")
        .text_format("version {{version}}")
        .step("60s")
    )


def _alerts() -> dashboard.AnnotationQuery:
    """Mark alerts that fire for what is chosen, or for no process in particular."""
    chosen = ",".join(f'{label}=~"${label}|"' for label in ("job", "namespace", "pod"))
    return (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(_SOURCE)
        .enable(True)
        .icon_color(RED)
        .expr(f'ALERTS{{component="telethon-sidecar",alertstate="firing",{chosen}}}')
        .title_format("{{alertname}}")
        .text_format("{{namespace}} {{pod}} {{instance}} {{session}}")
        .step("60s")
    )
