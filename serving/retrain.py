"""From data to champion in one turn, resumed where a crash left it.

check -> features -> train -> gate -> publish -> registry. Every stage writes whole
files or nothing and then a line in ``retrain.json``: what it was made of, and what it
made. A stage that was made of the same is skipped. Nothing is in force before the
pointer of the published version moves, and with it the champion; see ``champion``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.config import Config
from features.contracts import ContractError
from features.scratch import whole
from serving import gating, stages
from serving.champion import champion_of, follow, model_of
from serving.erasure import erased_of, purge
from serving.gating import Judged
from serving.in_force import holds_erased, record_of
from serving.publish import MANIFEST, current_version
from serving.stages import Announce, cutoff_of, name_latest, tables_of
from serving.turns import chain_of_stages
from training import track
from training.gate import Check, Decision
from training.recipe import code_version, hash_of, hash_of_modules, settings_of

FILE = "retrain.json"

_SERVED = ("serving", "state", "tracking", "workspace", "data", "processes", "tune")
"""Parts of the configuration that change nothing of what is published."""


@dataclass(frozen=True)
class Outcome:
    """What a retraining came to.

    Attributes:
        bundle: the model; None: the data were refused.
        judged: what the gate said; None: the model was in force already.
        version: in force at the end; None: nothing was ever published.
        is_new: the version was published by this run.
    """

    bundle: str | None
    judged: Judged | None
    version: str | None
    is_new: bool

    @property
    def refused(self) -> bool:
        """Whether the gate said no."""
        return self.judged is not None and not self.judged.decision.promote


@chain_of_stages
def retrain(config: Config, announce: Announce | None = None) -> Outcome:
    """The whole chain; a champion changes only if the gate says yes.

    Whatever it says, what holds somebody who was erased is removed in the end.

    Raises:
        SettingError: there is no cutoff, or another build is at work.
        ContractError: the input breaks the contract or is too short.
    """
    outcome = _in_turn(config, announce)
    removed = purge(config)
    if removed and announce:
        announce(f"removed what held customers who were erased: {removed} folders")
    return outcome


def _in_turn(config: Config, announce: Announce | None) -> Outcome:
    """Stage after stage, until one says no."""
    workspace, cutoff = config.workspace, cutoff_of(config)
    follow(config)
    with tables_of(config) as tables:
        data = tables.digest()
    made_of = [data, cutoff.isoformat(), _code()]
    with ExitStack() as opened:
        chain = _Chain(config, hash_of([made_of, settings_of(config)]), opened)
        of_data = _checked(config, chain, made_of, announce)
        if not all(check.passed for check in of_data):
            judged = Judged(None, champion_of(workspace), Decision(of_data), {})
            gating.keep(config, judged)
            return Outcome(None, judged, current_version(workspace), is_new=False)
        bundle = _trained(config, chain, made_of, announce)
        judged = None
        if bundle != champion_of(workspace):
            judged = _judged(config, chain, made_of, bundle, of_data, announce)
            if not judged.decision.promote:
                _take_back(config)
                is_new = _without_erased(config, announce)
                return Outcome(bundle, judged, current_version(workspace), is_new)
        version, is_new = _published(config, chain, made_of, bundle, announce)
        chain.tell({"bundle": bundle, "version": version})
    return Outcome(bundle, judged, version, is_new=is_new)


class _Chain:
    """What was done already, and the run in MLflow, opened once there is work."""

    def __init__(self, config: Config, key: str, opened: ExitStack) -> None:
        self._config, self._key, self._opened = config, key, opened
        self._file = config.workspace / FILE
        self._run: track.Run | None = None
        self._done: dict[str, Any] = _read(self._file)

    def __call__(
        self,
        stage: str,
        made_of: Any,
        work: Callable[[], str],
        stands: Callable[[str], bool],
    ) -> tuple[str, bool]:
        """The result of a stage, and whether it had to be done.

        Args:
            stage: its name.
            made_of: plain values; a stage of equal ones is not done again.
            work: does it and names the result.
            stands: whether a result of before is still there.
        """
        key, before = hash_of([stage, made_of]), self._done.get(stage)
        if before and before["key"] == key and stands(before["result"]):
            return before["result"], False
        self._open()
        result = work()
        self._done[stage] = {"key": key, "result": result}
        with whole(self._file) as place:
            place.write_text(json.dumps(self._done, indent=1))
        return result, True

    def tell(self, tags: dict[str, str]) -> None:
        """Mark the run, if one was opened."""
        if self._run is not None:
            self._run.tags(tags)

    def _open(self) -> None:
        if self._run is not None:
            return
        name = f"retrain {cutoff_of(self._config):%Y-%m-%d}"
        run = self._opened.enter_context(track.run(self._config, name, self._key))
        if run.is_new:
            run.config(self._config)
        else:
            run.names_of_nested()  # those that a crash left open are removed
        self._run = run


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _code() -> str:
    """Of all that is computed: an older result of other code does not stand."""
    return hash_of([code_version(), hash_of_modules(Path(__file__).parent)])


def _checked(
    config: Config, chain: _Chain, made_of: list[str], announce: Announce | None
) -> tuple[Check, ...]:
    """What the gate says of the data; it is kept as text in the chain's file."""

    def work() -> str:
        return json.dumps(Decision(gating.look_at_data(config, announce)).to_json())

    bars = [config.quality.model_dump(), config.gate.model_dump()]
    champion = champion_of(config.workspace)
    record = record_of(config, champion)
    beside = [champion, None if record is None else record.key]
    said, _ = chain("check", [made_of, bars, beside], work, bool)
    return Decision.from_json(json.loads(said)).checks


def _trained(
    config: Config, chain: _Chain, made_of: list[str], announce: Announce | None
) -> str:
    """The model of this input; the next publish takes it."""
    models = config.workspace / "models"

    def work() -> str:
        stages.features(config, announce)
        return stages.train(config, announce).name

    def stands(name: str) -> bool:
        return (models / name / "manifest.json").is_file()

    blocks = config.gate.block_days
    bundle, _ = chain("train", [made_of, settings_of(config), blocks], work, stands)
    name_latest(config.workspace, bundle)
    return bundle


def _features(config: Config, announce: Announce | None) -> None:
    """The feature table of this input; it is there, unless somebody removed it."""
    try:
        with tables_of(config) as tables:
            stages.check_features(tables, config)
    except ContractError:
        stages.features(config, announce)


def _judged(
    config: Config,
    chain: _Chain,
    made_of: list[str],
    bundle: str,
    of_data: tuple[Check, ...],
    announce: Announce | None,
) -> Judged:
    """What the gate says of the model beside the one in force."""

    def work() -> str:
        _features(config, announce)
        gating.judge(config, announce, of_data)
        return bundle

    champion = champion_of(config.workspace)

    def stands(name: str) -> bool:
        said = Judged.of(config, name)
        return said is not None and said.champion == champion

    beside = [
        bundle,
        champion,
        sorted(gating.withdrawn(config.workspace)),
        config.gate.model_dump(),
        [cutoff.isoformat() for cutoff in gating.cutoffs_of(config)],
        config.evaluation.permutations,
    ]
    chain("gate", [made_of, beside], work, stands)
    judged = Judged.of(config, bundle)
    if judged is None:
        raise ContractError(
            f"model: expected the gate's decision in proofs/{bundle}, got none; is "
            "somebody else at work there?"
        )
    return judged


def _take_back(config: Config) -> None:
    """Let the next publish take the model in force, not the one that was refused."""
    champion = champion_of(config.workspace)
    if champion and (config.workspace / "models" / champion).is_dir():
        name_latest(config.workspace, champion)


def _without_erased(config: Config, announce: Announce | None) -> bool:
    """Publish the model in force anew if its version holds somebody who was erased.

    Returns:
        Whether it was published.
    """
    record = record_of(config, champion_of(config.workspace))
    if record is None or not holds_erased(config.workspace, erased_of(config)):
        return False
    if announce:
        announce("publish the model in force without who was erased")
    settings = record.applied(config)
    _features(settings, announce)
    stages.publish(settings, announce)
    return True


def _published(
    config: Config,
    chain: _Chain,
    made_of: list[str],
    bundle: str,
    announce: Announce | None,
) -> tuple[str, bool]:
    """The version in force, which is of this model."""

    def work() -> str:
        _features(config, announce)
        return stages.publish(config, announce)[0].name

    def stands(version: str) -> bool:
        folder = config.workspace / "published" / version
        return (
            version == current_version(config.workspace)
            and model_of(config.workspace, version) == bundle
            and (folder / MANIFEST).is_file()
        )

    settings = config.model_dump(mode="json", exclude=set(_SERVED))
    return chain("publish", [made_of, settings, bundle], work, stands)
