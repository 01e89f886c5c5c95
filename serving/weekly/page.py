"""The weekly report as one page that needs no other file; it computes nothing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.insight.radar import radar_svg
from serving.weekly.changes import FACTORS
from training.drawing import COLOURS, blank, name_axes, svg

_FACTORS = {
    "buyers": "buyers",
    "orders_per_buyer": "orders per buyer",
    "order_value": "value of an order",
}
_GOALS = {
    "replenish": ("Needs something again", "chance to buy it in time"),
    "win_back": ("Worth winning back", "expected loss"),
    "repurchase": ("Likeliest to buy", "chance"),
}
_NONE = "\N{EN DASH}"
_SHARES = ("share",)
_PICTURED = 6
_LARGE = 100
_LEAST_POINTS = 2


def page(found: dict[str, Any]) -> str:
    """The page.

    Args:
        found: of ``figures.weekly``.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    kpis = found["kpis"]
    health = found["health"]
    return environment.get_template("page.html.j2").render(
        r=found,
        said=sentences(found),
        factors=_FACTORS,
        goals=_GOALS,
        curves=[(k, _curve(k)) for k in kpis if _is_curve(k)][:_PICTURED],
        radar=radar_svg(health["now"], health["before"]) if health else None,
        bars=_bars(found["sales"]),
        colours=COLOURS,
        amount=amount,
        signed=signed,
        percent=percent,
        value=value,
        day=day,
        good=_good,
    )


def sentences(found: dict[str, Any]) -> list[str]:
    """The page's first lines: what changed, why, whom to contact, expected value."""
    said: list[str] = []
    sales, week = found["sales"], found["week"]
    if sales:
        relative = sales["change"] / abs(sales["before"]) if sales["before"] else None
        how = f" ({signed(relative)})" if relative is not None else ""
        line = f"Net sales of {week['name']}: {amount(sales['now'])}{how}"
        if sales["parts"]:
            most = max(FACTORS, key=lambda name: abs(sales["parts"][name]))
            line += (
                f", most of the change from {_FACTORS[most]} "
                f"({sales['parts'][most]:+,.0f})"
            )
        said.append(line + ".")
    tiers = found["tiers"]
    if tiers:
        said.append(
            f"Since {day(tiers['from'])}, {amount(tiers['up'])} customers moved to a "
            f"higher tier and {amount(tiers['down'])} to a lower one."
        )
    health = found["health"]
    if health and health["driver"]:
        said.append(
            f"{amount(health['warned'])} customers are under an early warning (by "
            f"{health['driver']}); the spend expected to be lost with them is "
            f"{amount(health['expected_loss'])}."
        )
    said.extend(
        f"{amount(one['total'])} customers need something again within days."
        for one in found["contacts"]
        if one["goal"] == "replenish" and one["total"]
    )
    return said


def _is_curve(kpi: dict[str, Any]) -> bool:
    return sum(v is not None for v in kpi["curve"]) >= 2


def _good(kpi: dict[str, Any]) -> str:
    """Whether the change is good, bad, or neither, as a class of the page."""
    change = kpi["previous"]["change"]
    if not change or kpi["better"] is None:
        return ""
    return "good" if (change > 0) == (kpi["better"] == "high") else "bad"


def _curve(kpi: dict[str, Any]) -> str:
    figure, axis = blank(0.15, 0.97)
    known = [(k, v) for k, v in enumerate(kpi["curve"]) if v is not None]
    across, up = zip(*known, strict=True)
    axis.plot(across, up, color=COLOURS["kin"], linewidth=1.6)
    axis.plot(across[-1:], up[-1:], "o", color=COLOURS["ours"], markersize=6)
    weeks = kpi["weeks"]
    places = sorted({0, len(weeks) // 2, len(weeks) - 1})
    axis.set_xticks(places, [weeks[k] for k in places])
    if kpi["target"] is not None:
        axis.axhline(kpi["target"], color=COLOURS["theirs"], linestyle="--")
    name_axes(axis, "", kpi["unit"])
    return svg(figure, f"{kpi['title']} by week, now {value(kpi)}")


def _bars(sales: dict[str, Any] | None) -> str | None:
    """Parts of the change of net sales, then the groups that moved it."""
    if sales is None:
        return None
    parts = [(_FACTORS[k], v) for k, v in (sales["parts"] or {}).items()]
    groups = [
        (f"{one['by']}: {one['group'] or 'unknown'}", one["added"])
        for one in sales["movers"]
    ]
    found = [*parts, *groups][::-1]
    if not found:
        return None
    figure, axis = blank(0.33, 0.96)
    colours = [COLOURS["kin"]] * len(groups) + [COLOURS["ours"]] * len(parts)
    axis.barh(range(len(found)), [v for _, v in found], color=colours, height=0.62)
    axis.set_yticks(range(len(found)), [_short(name) for name, _ in found])
    axis.axvline(0, color="#aab4bb", linewidth=0.8)
    name_axes(axis, "added to net sales, shop currency", "")
    return svg(figure, "What moved net sales: factors, then groups")


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def amount(number: float | None) -> str:
    """Whole units; small ones with two digits."""
    if number is None:
        return _NONE
    is_plain = abs(number) >= _LARGE or number == int(number)
    return f"{number:,.0f}" if is_plain else f"{number:,.2f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent."""
    return _NONE if share is None else f"{share:.{digits}%}"


def signed(share: float | None, digits: int = 1) -> str:
    """A relative change in percent, with its sign."""
    return _NONE if share is None else f"{share:+.{digits}%}"


def value(kpi: dict[str, Any], number: float | None = None) -> str:
    """The value of a KPI, or another number of its unit, as people read it."""
    shown = kpi["value"] if number is None else number
    if shown is None:
        return _NONE
    return percent(shown) if kpi["unit"] in _SHARES else amount(shown)


def day(text: str) -> str:
    """The day of an ISO moment."""
    return f"{datetime.fromisoformat(text):%-d %B %Y}"
