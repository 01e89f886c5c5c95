"""A report as one page that needs no other file: the verdict first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.experiments.report import Report
from serving.experiments.told import told
from training.drawing import COLOURS, INK, RULE, blank, name_axes, svg

_WORDS = {
    "won": "Won",
    "harmful": "Worse",
    "inconclusive": "Not decided",
    "invalid": "Invalid",
}
_SHARES = ("click_rate", "conversion", "repurchase_rate")


def page(found: Report, status: str) -> str:
    """The page.

    Args:
        found: the report.
        status: of the experiment.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    given = told(found)
    primary = [one for one in given["measures"] if one["is_primary"]]
    return environment.get_template("page.html.j2").render(
        r=given,
        status=status,
        words=_WORDS,
        primary={one["arm"]: one for one in primary},
        money={one["arm"]: one for one in given["money"]},
        trends=[(one, _picture(one), _grows(one)) for one in given["over_time"]],
        scale=_scale(given["measures"]),
        # All but those of the verdicts are at the same confidence.
        sure=_percent(given["measures"][0]["confidence"], 0) if primary else "",
        colours=COLOURS,
        percent=_percent,
        signed=_signed,
        amount=_amount,
        value=_value,
        p=_p,
        moment=_moment,
    )


def _picture(trend: dict[str, Any]) -> str | None:
    """Effect by day of the window with its interval; None: fewer than two days."""
    days = [one for one in trend["days"] if one["low"] is not None]
    if len(days) < 2:
        return None
    figure, axis = blank(0.16)
    figure.set_size_inches(7.2, 2.9)
    at = [one["day"] + 1 for one in days]
    axis.fill_between(
        at,
        [one["low"] for one in days],
        [one["high"] for one in days],
        color=COLOURS["theirs"],
        alpha=0.6,
        linewidth=0,
    )
    axis.plot(at, [one["effect"] for one in days], color=COLOURS["ours"], linewidth=2.2)
    axis.axhline(0, color=INK, linewidth=1)
    axis.set_xlim(at[0], at[-1])
    axis.spines["left"].set_color(RULE)
    if trend["measure"] in _SHARES:
        from matplotlib.ticker import PercentFormatter

        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    name_axes(axis, "day since the customer's assignment", "effect of that day")
    return svg(figure, "Effect by day with its interval")


def _grows(trend: dict[str, Any]) -> bool:
    """Whether the effect, of either sign, moves away from none from day to day."""
    return (trend["slope"] or 0.0) * sum(one["effect"] for one in trend["days"]) > 0


def _scale(measures: list[dict[str, Any]]) -> float:
    """Half of the width of the bars: the widest interval, 5 % to 100 %."""
    ends = [
        abs(one[end] or 0) for one in measures for end in ("uplift_low", "uplift_high")
    ]
    return min(max(ends, default=0.05), 1.0) or 0.05


def _percent(share: float | None, digits: int = 1) -> str:
    return "n/a" if share is None else f"{share:.{digits}%}"


def _signed(share: float | None, digits: int = 1) -> str:
    return (
        "n/a"
        if share is None
        else f"{share:+.{digits}%}".replace("-", "\N{MINUS SIGN}")
    )


def _amount(value: float | None) -> str:
    return "n/a" if value is None else f"{value:,.0f}".replace("-", "\N{MINUS SIGN}")


def _value(measure: str, value: float | None) -> str:
    """A mean or an effect in its measure's unit."""
    if value is None:
        return "n/a"
    shown = f"{value:.2%}" if measure in _SHARES else f"{value:,.4g}"
    return shown.replace("-", "\N{MINUS SIGN}")


def _p(p: float | None) -> str:
    if p is None:
        return "n/a"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _moment(text: str | None) -> str:
    """``2024-03-01 12:00`` of an ISO moment; not yet where there is none."""
    return "not yet" if text is None else text[:16].replace("T", " ")
