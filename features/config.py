"""Strict configuration: YAML and ``key=value`` become frozen models.

Every default of the project stands here, once; those of tags, tiers, strategy and
health in ``features.insight_config``, those of the gate in ``features.gate_config``,
those of drift in ``features.drift_config``.
Unknown keys are errors.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationError,
)

from features.contracts import SegmentBy, SettingError
from features.database import Database, parse_data, redacted
from features.drift_config import DriftConfig
from features.gate_config import GateConfig
from features.insight_config import (
    CampaignsConfig,
    HealthConfig,
    StrategyConfig,
    TagsConfig,
    TiersConfig,
)
from features.section import Section
from features.snapshot import parse_cutoff


def _naive_utc(value: object) -> object:
    """Dates and zoned times, as YAML reads them, in the project's own terms."""
    if isinstance(value, datetime | date | str):
        return parse_cutoff(value.isoformat() if isinstance(value, date) else value)
    return value


Cutoff = Annotated[datetime, BeforeValidator(_naive_utc)]
"""A naive UTC moment; a bare date means its midnight."""


Data = Annotated[
    Path | InstanceOf[Database],
    BeforeValidator(parse_data),
    PlainSerializer(str, when_used="json"),
]
"""A folder or a DuckDB file; or ``postgresql://user@host:port/database``, which is
written anywhere without its password."""


def _state_address(url: str | None) -> str | None:
    """The address, if it is one of PostgreSQL and holds no password.

    Raises:
        SettingError: it is not, or does.
    """
    if url is None:
        return None
    try:
        database = Database.parse(url)
    except SettingError:
        raise SettingError(
            "expected postgresql://user@host:port/database, got something else; "
            "encode special characters"
        ) from None
    if database.has_password:
        raise SettingError(
            "expected an address without a password, got one with; keep it in "
            "PGPASSWORD or a passfile"
        )
    return url


class EngineConfig(Section):
    """Reading of tables.

    Attributes:
        name: what reads and folds for ``repurchase features``.
        memory_limit: of DuckDB; on Spark, of each of its Python workers.
        threads: of this machine; on Spark only where it has no master.
    """

    name: Literal["duckdb", "spark"] = "duckdb"
    memory_limit: str = "1GB"
    threads: int = Field(default=2, ge=1)


class QualityConfig(Section):
    """The check of the input.

    Attributes:
        minimum_score: share of correct records that every table must reach; a
            record is correct if it keeps the contract, is no repeat, and its
            ids all lead to a row.
    """

    minimum_score: float = Field(default=0.95, ge=0, le=1)


class TreesConfig(Section):
    """Boosted trees.

    Attributes:
        trees, seeds: rounds, and boosters of following seeds that are averaged.
        threads: of LightGBM.
    """

    trees: int = Field(default=150, ge=1)
    seeds: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=0.06, gt=0)
    leaves: int = Field(default=15, ge=2)
    min_rows_per_leaf: int = Field(default=100, ge=1)
    feature_share: float = Field(default=0.3, gt=0, le=1)
    row_share: float = Field(default=0.7, gt=0, le=1)
    l2: float = Field(default=5.0, ge=0)
    threads: int = Field(default=2, ge=1)


class PropensityConfig(TreesConfig):
    """The repurchase model.

    ``repurchase tune`` found nothing better on more than one of three data sets: a
    simulated shop gains from more and larger trees; on Complete Journey and on CDNOW
    no gain was beyond the noise.

    Attributes:
        step_days: distance of training cutoffs.
        max_cutoffs: at most this many, the latest.
        history_days: the first training cutoff has at least this much history.
        drawn_horizons: horizons drawn per row, beside the stated one.
        drawn_weight: weight of a drawn row; a row of the stated horizon has 1.
        tag_precision: precision at which the tag's threshold is chosen.
    """

    step_days: int = Field(default=14, ge=1)
    max_cutoffs: int = Field(default=12, ge=2)
    history_days: int = Field(default=60, ge=1)
    drawn_horizons: int = Field(default=1, ge=0)
    drawn_weight: float = Field(default=0.5, ge=0)
    trees: int = Field(default=130, ge=1)
    tag_precision: float = Field(default=0.9, gt=0, lt=1)


class SpendConfig(TreesConfig):
    """Expected spend.

    Attributes:
        variance_power: of the Tweedie distribution: 1 Poisson, 2 gamma.
    """

    variance_power: float = Field(default=1.5, gt=1, lt=2)


class ChurnConfig(TreesConfig):
    """Churn risk; boosters of two kinds, each as many as ``seeds``.

    Attributes:
        window_days: in which visits fall, or do not.
        norm_days: before the cutoff; visits of these are the norm.
        least_visits: in the norm; who comes less often has no risk stated.
    """

    window_days: int = Field(default=28, ge=1)
    norm_days: int = Field(default=84, ge=1)
    least_visits: int = Field(default=6, ge=1)
    seeds: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=0.03, gt=0)
    leaves: int = Field(default=7, ge=2)
    min_rows_per_leaf: int = Field(default=200, ge=1)
    feature_share: float = Field(default=0.2, gt=0, le=1)
    row_share: float = Field(default=0.5, gt=0, le=1)


class ReplenishmentConfig(TreesConfig):
    """Due dates and alerts.

    Attributes:
        step_days: distance of training cutoffs.
        max_cutoffs: at most this many, the latest.
        history_days: the first training cutoff has at least this much history.
        max_customers: drawn to learn from, at most.
        max_rows: pairs of customer, group and cutoff that are learned from, at most.
        alert_days: an alert says "due in so many days", give or take as many.
        alert_precision: share of alerts that should be right; the threshold is
            chosen for it.
    """

    step_days: int = Field(default=7, ge=1)
    max_cutoffs: int = Field(default=16, ge=2)
    history_days: int = Field(default=90, ge=1)
    max_customers: int = Field(default=20_000, ge=1)
    max_rows: int = Field(default=400_000, ge=1000)
    alert_days: int = Field(default=3, ge=0, le=30)
    alert_precision: float = Field(default=0.5, gt=0, lt=1)
    trees: int = Field(default=100, ge=1)
    seeds: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    leaves: int = Field(default=31, ge=2)
    min_rows_per_leaf: int = Field(default=200, ge=1)
    feature_share: float = Field(default=0.3, gt=0, le=1)
    row_share: float = Field(default=0.6, gt=0, le=1)
    l2: float = Field(default=10.0, ge=0)


class UpliftConfig(Section):
    """Uplift of a contact, from campaigns with a holdout.

    Attributes:
        max_campaigns: campaigns that are learned from, at most, the latest.
        evaluated_share: contacts of the latest campaigns, at least, that learners
            are compared and measured on.
        min_customers: below so many customers in an arm nothing is fitted.
        min_purchases: below so many buyers in an arm there is not enough evidence.
        folds: of customers, for cross-fitting.
        clip: the share of a campaign that was sent to counts as at least this, and
            as at most 1 less this.
        trees, leaves, min_rows: of the models of the outcome.
        effect_trees, effect_leaves, effect_min_rows: of those of the effect.
        threads: of LightGBM.
    """

    max_campaigns: int = Field(default=12, ge=1)
    evaluated_share: float = Field(default=0.4, gt=0, lt=1)
    min_customers: int = Field(default=100, ge=20)
    min_purchases: int = Field(default=100, ge=1)
    folds: int = Field(default=3, ge=2)
    clip: float = Field(default=0.02, gt=0, lt=0.5)
    trees: int = Field(default=40, ge=1)
    leaves: int = Field(default=7, ge=2)
    min_rows: int = Field(default=100, ge=1)
    effect_trees: int = Field(default=20, ge=1)
    effect_leaves: int = Field(default=3, ge=2)
    effect_min_rows: int = Field(default=500, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    feature_share: float = Field(default=0.3, gt=0, le=1)
    row_share: float = Field(default=0.7, gt=0, le=1)
    l2: float = Field(default=5.0, ge=0)
    threads: int = Field(default=2, ge=1)


class RecommendConfig(Section):
    """Generators and ranker.

    Attributes:
        again_candidates: bought products per customer that are ranked.
        new_candidates: never bought products per customer and generator.
        min_buyers: buyers below which ALS, similar customers, co-purchase and category
            do not offer a product; lower where fewer than ``new_candidates`` have so many.
        factors, als_iterations, als_alpha, als_regularization: ALS.
        view_weight, cart_weight, inquiry_weight: of an event, where a purchase has 1;
            ALS and "looked at" count views and searches, carts and favourites, and
            questions before a purchase.
        neighbours: customers with similar baskets that are asked.
        neighbour_customers: drawn, among whom they are sought, at most.
        neighbour_own_weight: of the customer's own baskets beside the neighbours'.
        succession_days: what is first bought so soon after a category follows it.
        segment_by: the customer's channel, or a column of their profile.
        segment_days: sales of so many days are the segment's.
        segment_lines: purchased lines of a segment from which its own sales say more
            than the shop's.
        arrival_days: a product is new for so many days.
        co_purchase_items: best sellers that have item-to-item weights.
        co_purchase_ridge: the larger, the closer to plain co-occurrence.
        past_cutoffs: label windows that the ranker learns from, at most.
        max_customers: customers drawn per past cutoff, at most, those held out
            included.
        calibration_share: customers of the latest past cutoff held out from the
            trees, to calibrate on.
        negatives: share of the candidates not bought that are learned from.
        trees, leaves, learning_rate: LightGBM, per lane.
        keep_per_lane: best candidates per customer and lane that are kept.
        customers_per_product: likeliest customers per product that are kept, at most.
        threads: of LightGBM and ALS, and chunks of customers scored at once.
    """

    again_candidates: int = Field(default=120, ge=1)
    new_candidates: int = Field(default=20, ge=1)
    min_buyers: int = Field(default=10, ge=1)
    factors: int = Field(default=32, ge=1)
    als_iterations: int = Field(default=3, ge=1)
    als_alpha: float = Field(default=5.0, gt=0)
    als_regularization: float = Field(default=0.05, ge=0)
    view_weight: float = Field(default=0.1, ge=0)
    cart_weight: float = Field(default=0.5, ge=0)
    inquiry_weight: float = Field(default=0.3, ge=0)
    neighbours: int = Field(default=100, ge=1)
    neighbour_customers: int = Field(default=20_000, ge=1)
    neighbour_own_weight: float = Field(default=0.8, ge=0, le=1)
    succession_days: int = Field(default=30, ge=1)
    segment_by: SegmentBy = "channel"
    segment_days: int = Field(default=28, ge=1)
    segment_lines: float = Field(default=2000.0, ge=0)
    arrival_days: int = Field(default=56, ge=1)
    co_purchase_items: int = Field(default=2000, ge=1)
    co_purchase_ridge: float = Field(default=100.0, gt=0)
    past_cutoffs: int = Field(default=4, ge=1)
    max_customers: int = Field(default=10_000, ge=1)
    calibration_share: float = Field(default=0.4, gt=0, lt=1)
    negatives: float = Field(default=0.15, gt=0, le=1)
    trees: int = Field(default=140, ge=1)
    leaves: int = Field(default=31, ge=2)
    learning_rate: float = Field(default=0.08, gt=0)
    keep_per_lane: int = Field(default=100, ge=1)
    customers_per_product: int = Field(default=1000, ge=1)
    threads: int = Field(default=2, ge=1)


class TuneConfig(Section):
    """The search for better settings of a model.

    Attributes:
        minutes: no trial starts when so much time has passed in a run.
        trials: of a study in all, those of earlier runs included.
        folds: test cutoffs that settings are chosen on, at most.
        held_back: test cutoffs, the latest, that only confirm the choice, at most.
        max_customers: about how many are tuned on, drawn by their id, at most.
        seeds: boosters per fit in a trial; the confirmation has as many as a build.
    """

    minutes: float = Field(default=20.0, gt=0)
    trials: int = Field(default=60, ge=1)
    folds: int = Field(default=6, ge=2)
    held_back: int = Field(default=2, ge=1)
    max_customers: int = Field(default=20_000, ge=1)
    seeds: int = Field(default=1, ge=1)


class EvaluationConfig(Section):
    """What the evaluation report looks into, beside the evaluation cutoffs.

    Attributes:
        stability_cutoffs: moments at which propensity and its baselines are built
            anew and compared, the last evaluation cutoff being the last of them.
        stability_step_days: distance of these moments.
        min_group: a group of customers that is smaller has no line of its own; a
            customer counts once for every evaluation cutoff.
        importance_customers: drawn, to see which features move their scores.
        permutations: fits on shuffled answers per evaluation cutoff.
    """

    stability_cutoffs: int = Field(default=6, ge=1)
    stability_step_days: int = Field(default=28, ge=1)
    min_group: int = Field(default=100, ge=1)
    importance_customers: int = Field(default=500, ge=1)
    permutations: int = Field(default=4, ge=2)


def _time_zone(name: str) -> str:
    """The name, if it is one of a time zone.

    Raises:
        SettingError: it is not.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingError(
            f"expected a time zone such as Europe/Berlin, got {name!r:.80}; give a "
            "name of the IANA list, or UTC"
        ) from None
    return name


class KpiTargets(Section):
    """The value that a KPI should reach, in its own unit; null: none is set.

    Attributes: one for each of ``serving.insight.kpis.KPIS``, by its name.
    """

    repurchase_rate: float | None = Field(default=None, ge=0, le=1)
    retention_rate: float | None = Field(default=None, ge=0, le=1)
    cohort_retention: float | None = Field(default=None, ge=0, le=1)
    purchase_interval: float | None = Field(default=None, ge=0)
    average_order_value: float | None = None
    clv: float | None = None
    expected_spend_365d: float | None = None
    top5_share: float | None = Field(default=None, ge=0, le=1)
    first_repurchase_conversion: float | None = Field(default=None, ge=0, le=1)
    complaint_rate: float | None = Field(default=None, ge=0)
    response_time: float | None = Field(default=None, ge=0)
    nps: float | None = Field(default=None, ge=-100, le=100)
    csat: float | None = Field(default=None, ge=0, le=1)
    ces: float | None = None
    lost_value: float | None = Field(default=None, ge=0, le=1)


class KpisConfig(Section):
    """KPIs by period and group.

    Attributes:
        timezone: whose midnights bound months, quarters and weeks. UTC: those of the
            timestamps as they are, which is the shop's calendar where the export
            writes its local time.
        conversion_days: a new customer should order again within so many days.
        satisfied_score: a CSAT answer of this score or more is a satisfied one.
        effort_better: whether a high or a low CES score is the good one.
        trend_periods: complete periods, the latest, that a trend is fitted to.
        months, quarters, weeks: periods of each kind that are published, at most.
        targets: what should be reached.
    """

    timezone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    conversion_days: int = Field(default=30, ge=1, le=3650)
    satisfied_score: float = 4.0
    effort_better: Literal["high", "low"] = "high"
    trend_periods: int = Field(default=6, ge=4, le=60)
    months: int = Field(default=36, ge=1, le=240)
    quarters: int = Field(default=12, ge=1, le=80)
    weeks: int = Field(default=104, ge=1, le=1040)
    targets: KpiTargets = KpiTargets()


class ServingConfig(Section):
    """The service.

    Attributes:
        workers: processes that answer; all map the same published files.
        max_body_bytes: larger request bodies are refused with 413.
        max_events_bytes: the same for batches of events.
        requests_per_second: of one key in one worker, more are refused with 429;
            as many again may come at once after a pause. Null: no limit.
        body_timeout_seconds: a body that takes longer is refused with 408.
        reload_seconds: how often the pointer to the version in force is read.
        log_format: json: an object a line; text: for people; auto: text on a
            terminal, else json.
        slow_seconds: a request that takes as long is told in the log.
        grace_seconds: for requests at work, once the service is asked to stop.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=3000, ge=1, le=65535)
    workers: int = Field(default=1, ge=1)
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    max_events_bytes: int = Field(default=8_388_608, ge=1024)
    requests_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    body_timeout_seconds: float = Field(default=4.0, gt=0, le=60)
    reload_seconds: float = Field(default=1.0, ge=0)
    log_format: Literal["auto", "json", "text"] = "auto"
    slow_seconds: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    grace_seconds: int = Field(default=20, ge=1, le=3600)


class StateConfig(Section):
    """The database of the service: events, API keys, audits and erasures.

    Attributes:
        url: ``postgresql://user@host:port/name`` with ``?schema=NAME`` and options
            of libpq, for several replicas; its password belongs in ``PGPASSWORD`` or
            a passfile and nowhere else. Null: SQLite, ``state.db`` in the workspace.
    """

    url: Annotated[str | None, AfterValidator(_state_address)] = None


class TrackingConfig(Section):
    """MLflow. ``uri`` null: SQLite in the workspace."""

    uri: str | None = None
    experiment: str = "repurchase"


class Config(Section):
    """The whole configuration.

    Attributes:
        data: folder of input tables, a DuckDB file, or the address of a
            PostgreSQL database, ``postgresql://user@host:port/name`` with
            ``?schema=NAME`` and options of libpq. Keep the password in
            ``PGPASSWORD`` or a passfile. With ``engine.name`` spark also
            ``spark:SCHEMA`` of its catalog.
        workspace: everything that the system writes.
        cutoff: moment of the build; rows at or after it are not read.
        horizon_days: label window of recommendations, tag and evaluation.
        evaluation_cutoffs: earlier moments at which quality is measured.
        processes: evaluation cutoffs that are built side by side; each holds
            a whole history in memory.
        max_learners: customers that models learn from, drawn by their ids, at most.
        seed: every random draw starts here.
    """

    data: Data = Path("workspace/data")
    workspace: Path = Path("workspace")
    cutoff: Cutoff | None = None
    horizon_days: int = Field(default=14, ge=1, le=180)
    evaluation_cutoffs: tuple[Cutoff, ...] = ()
    processes: int = Field(default=1, ge=1)
    max_learners: int = Field(default=100_000, ge=1)
    seed: int = Field(default=0, ge=0)
    engine: EngineConfig = EngineConfig()
    quality: QualityConfig = QualityConfig()
    propensity: PropensityConfig = PropensityConfig()
    recommend: RecommendConfig = RecommendConfig()
    spend: SpendConfig = SpendConfig()
    churn: ChurnConfig = ChurnConfig()
    replenishment: ReplenishmentConfig = ReplenishmentConfig()
    uplift: UpliftConfig = UpliftConfig()
    tune: TuneConfig = TuneConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    drift: DriftConfig = DriftConfig()
    tags: TagsConfig = TagsConfig()
    tiers: TiersConfig = TiersConfig()
    strategy: StrategyConfig = StrategyConfig()
    health: HealthConfig = HealthConfig()
    campaigns: CampaignsConfig = CampaignsConfig()
    kpis: KpisConfig = KpisConfig()
    serving: ServingConfig = ServingConfig()
    state: StateConfig = StateConfig()
    tracking: TrackingConfig = TrackingConfig()


def load(file: Path | None, overrides: tuple[str, ...] = ()) -> Config:
    """The configuration of a YAML file with ``key.sub=value`` laid over it.

    Raises:
        SettingError: the file is no mapping, or a key or value is not allowed;
            one line that names file, key and what was expected.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            loaded: object = yaml.safe_load(file.read_text())
        except (OSError, yaml.YAMLError) as error:
            reason = redacted(" ".join(str(error).split()))
            raise SettingError(f"config: expected YAML in {file}, {reason}") from None
        if not isinstance(loaded, dict | None):
            raise SettingError(f"config: expected key: value lines in {file}")
        values = loaded or {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise SettingError(f"--set: expected key=value, got {redacted(override)!r}")
        place = values
        *path, last = key.split(".")
        for name in path:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise SettingError(f"config: {name}: expected a section, got a value")
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise SettingError(
                f"--set: expected a value for {key}, got {redacted(text)!r}"
            ) from None
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f" in {file}" if file else ""
        ours = first.get("ctx", {}).get("error")
        said = (
            f"{first['msg'].lower()}, got {first['input']!r}" if ours is None else ours
        )
        raise SettingError(redacted(f"config: {key}: {said}{where}")) from None
