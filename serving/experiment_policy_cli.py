"""``repurchase experiment off-policy``: what another rule would have earned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from features.config import Config
from features.contracts import SettingError
from serving.experiment_errors import in_one_line
from serving.options import ConfigFile, DataPlace, Overrides, load, new_console
from serving.state_cli import now_us, opened_state


def off_policy(
    name: Annotated[
        str | None, typer.Argument(help="Of a randomised experiment; or give --log.")
    ] = None,
    otherwise: Annotated[
        str | None, typer.Option(help="Arm of all whom --segment does not name.")
    ] = None,
    segment: Annotated[
        list[str] | None, typer.Option(metavar="SEGMENT=ARM", help="Repeatable.")
    ] = None,
    reward: Annotated[
        Literal["clicks", "conversion", "repurchase_rate", "orders", "revenue"],
        typer.Option(help="Per customer and window."),
    ] = "clicks",
    log: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet of slots shown: customer_id, reward, logged, target "
            "(probabilities of the slot), perhaps predicted and expected."
        ),
    ] = None,
    data: DataPlace = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Estimate what a rule would have earned, from customers who were drawn or a log."""
    from serving.experiments import policy

    if (name is None) == (log is None) or (name is None) != (otherwise is None):
        raise SettingError(
            "off-policy: expected NAME with --otherwise, or --log, got neither or both"
        )
    if log is not None:
        found = policy.of_log(log)
        return _say(policy.sentence(found), policy.told(found))
    told = _of_experiment(
        name or "", otherwise, segment or [], reward, load(config, overrides, data)
    )
    return _say(str(told["sentence"]), told)


def _of_experiment(
    name: str,
    otherwise: str | None,
    segment: list[str],
    reward: str,
    settings: Config,
) -> dict[str, Any]:
    from features.snapshot import from_us
    from serving import experiment_work as work
    from serving.experiment_schema import OffPolicyRequest
    from serving.experiments.place import Place

    pairs = [one.rpartition("=") for one in segment]
    body = {"reward": reward, "otherwise": otherwise}
    body |= {"by_segment": {left: arm for left, _, arm in pairs}}
    with in_one_line("the options"):
        asked = OffPolicyRequest.model_validate(body)
    place = Place(settings.data, settings.engine)
    with opened_state(settings) as engine, in_one_line(name):
        return work.off_policy(engine, name, asked, place, from_us(now_us()))


def _say(sentence: str, told: dict[str, Any]) -> None:
    console = new_console()
    console.print(sentence, soft_wrap=True, markup=False)
    for key in ("ips", "snips", "doubly_robust"):
        one = told[key]
        if one is not None:
            console.print(
                f"{key.replace('_', ' ')}: {one['value']:.4g} ({one['low']:.4g} to "
                f"{one['high']:.4g})",
                markup=False,
            )
