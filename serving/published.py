"""A published version as memory-mapped arrays: the reader of ``publish``.

All worker processes map the same files, so they share their pages. Nothing is
copied except what is small: one entry per product, one id in 64.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.contracts import ContractError
from features.history import Products
from features.kept import Kept
from features.snapshot import to_us
from serving.alert_ids import Ids
from serving.catalogue import Catalogue, catalogue_of
from serving.insight.blocks import Kpis
from serving.insight.portrait import ARRAYS, Insight
from serving.kept_files import kept_from
from serving.known import NUMBERS, PROFILES, REPLENISHMENT, Known, known_of
from serving.publish import (
    FORMAT,
    MANIFEST,
    current_version,
    fingerprint,
    version_of,
)
from serving.render import Renderer
from serving.texts import SortedIds, Texts, Told
from training import propensity
from training.any_of import AnyOf
from training.buyers import Buyers
from training.fresh_basis import FreshBasis, popular_log_odds, shop_of
from training.fresh_rows import Shop
from training.propensity import Propensity
from training.rebuy import Rebuy
from training.service_life import ServiceLife, service_life_of

__all__ = ["Offers", "Published", "current_version"]


@dataclass(frozen=True)
class Offers:
    """Scored candidates, best first within a customer; all of length offer.

    Attributes:
        offsets: int64 ``[customer + 1]``, bounds of each customer's offers.
        product: row of the product table.
        is_new: 1 if the customer never bought the product.
        source: index into ``sources``, the strongest generator.
        reason: index into ``reasons``.
    """

    offsets: npt.NDArray[np.int64]
    product: npt.NDArray[np.int32]
    is_new: npt.NDArray[np.uint8]
    score: npt.NDArray[np.float32]
    probability: npt.NDArray[np.float32]
    source: npt.NDArray[np.int32]
    reason: npt.NDArray[np.int32]
    sources: tuple[str, ...]
    reasons: Told


@dataclass(frozen=True)
class Published:
    """One published version, read-only.

    Attributes:
        customers: ids; a customer's row indexes all that follows.
        curve: float32 ``[customer, 180]``, see ``Predictions.curve``.
        expected_next: datetime64[us] ``[customer]``; NaT: not within 180 days.
        reasons: list of texts of each customer.
        consent: False: refused; they are in no audience.
        buyers: the likeliest customers of every product, rows of ``customers``.
        any_of: P(at least one of several products) from their own.
        bought_offsets, bought_products, last_bought, bought_weight: see ``Predictions``.
        lives: how long durable goods last; None: the shop has none.
        fresh: what it takes to fold later events into the offers.
        known: due groups, value, churn, uplift and profile of each customer.
        next_low, next_high: bounds of an 80 % interval around ``expected_next``.
        kept: what features read of the customers.
        launched: microseconds ``[product]``; the smallest integer: unknown.
        renderer: writes ``offers`` as answers.
        model: what the manifest says of ``propensity``.
        kpis: sums by group and period; None: published without them. An erased
            customer stays in them until the next build, as a number.
        insight: tags, tiers, health and warnings; None: published without them.
        due_alert_ids: of each pair of ``known.due``; see ``alert_ids``.
        health_alert_ids: of each customer.
        erased: customers who are hidden, see ``without``.
    """

    folder: Path
    version: str
    model_version: str
    cutoff: datetime
    cutoff_us: int
    horizon_days: int
    tag_threshold: float
    customers: SortedIds
    curve: npt.NDArray[np.float32]
    expected_next: npt.NDArray[np.datetime64]
    reasons: pa.ListArray
    consent: npt.NDArray[np.bool_]
    offers: Offers
    buyers: Buyers
    any_of: AnyOf
    catalogue: Catalogue
    bought_offsets: npt.NDArray[np.int64]
    bought_products: npt.NDArray[np.int32]
    last_bought: npt.NDArray[np.int64]
    bought_weight: npt.NDArray[np.float32]
    lives: ServiceLife | None
    fresh: FreshBasis
    known: Known
    next_low: npt.NDArray[np.datetime64]
    next_high: npt.NDArray[np.datetime64]
    kept: Kept
    launched: npt.NDArray[np.int64]
    renderer: Renderer
    model: Mapping[str, Any]
    kpis: Kpis | None
    insight: Insight | None
    due_alert_ids: Ids
    health_alert_ids: Ids
    erased: int = 0

    @cached_property
    def propensity(self) -> Propensity:
        """The model of the curves; its trees are read when they are first needed."""
        return propensity.load(self.folder, dict(self.model))

    @cached_property
    def range_(self) -> Products:
        """The range as features see it."""
        range_ = self.catalogue
        return Products(
            ids=np.array(range_.names, dtype=object),
            names=np.array(range_.names, dtype=object),
            category=range_.category,
            subcategory=range_.subcategory,
            brand=range_.brand,
            price=range_.price,
            margin_rate=range_.margin_rate,
            service_life_days=np.full(len(range_.names), np.nan),
            available=range_.available,
            launched=self.launched,
            words={},
        )

    @cached_property
    def shop(self) -> Shop:
        """The range as fresh events see it; worked out when the first one comes."""
        range_, groups = self.catalogue, self.catalogue.subcategory
        popular = range_.fill_order[: range_.scored]
        return shop_of(
            self.fresh,
            popular_log_odds(popular, range_.probability, len(range_.names)),
            popular,
            range_.available,
            # As a build groups products where the shop knows categories only.
            groups if (groups >= 0).any() else range_.category,
        )

    def bought(self, customer: int) -> npt.NDArray[np.int32]:
        """Products that a customer bought, ascending."""
        low, high = self.bought_offsets[customer : customer + 2]
        return self.bought_products[low:high]

    def resting(self, customer: int) -> npt.NDArray[np.int32] | None:
        """Durables that a customer needs no second time yet; None: there are none."""
        if self.lives is None:
            return None
        low, high = self.bought_offsets[customer : customer + 2]
        rows = self.lives.resting(
            self.bought_products[low:high], self.last_bought[low:high], self.cutoff_us
        )
        return rows if rows.size else None

    def without(self, rows: npt.NDArray[np.int64]) -> Published:
        """The same version, in which some customers are found nowhere.

        Nobody is looked up by their ids, and they count as having refused consent.
        """
        consent = self.consent.copy()
        consent[rows] = False
        hidden = self.customers.without(rows.tolist())
        made = replace(self, customers=hidden, consent=consent, erased=len(rows))
        # What was read and worked out already is the same, and its files may be gone.
        for name in ("propensity", "range_", "shop"):
            if name in vars(self):
                vars(made)[name] = vars(self)[name]
        return made

    @classmethod
    def open(cls, workspace: Path) -> Published:
        """The version in force.

        Raises:
            ContractError: nothing is published, or the version is damaged.
        """
        version = current_version(workspace)
        if version is None:
            raise ContractError(
                f"published/current: expected a published version in {workspace}, "
                "got none; run `repurchase publish` first"
            )
        return cls.open_version(workspace, version)

    @classmethod
    def open_version(cls, workspace: Path, version: str) -> Published:
        """A version by name, after every byte of it was checked.

        Raises:
            ContractError: a part is missing, altered or of another format.
        """
        folder = workspace / "published" / version
        manifest = _verified(folder, version)
        customers, products = _table(folder, "customers"), _table(folder, "products")
        return cls(
            folder=folder,
            version=version,
            model_version=str(manifest["model_version"]),
            cutoff=(cutoff := datetime.fromisoformat(manifest["cutoff"])),
            cutoff_us=to_us(cutoff),
            horizon_days=int(manifest["horizon_days"]),
            tag_threshold=float(manifest["tag_threshold"]),
            customers=SortedIds(_column(customers, "customer_id")),
            curve=_array(folder, "curve"),
            expected_next=np.asarray(_column(customers, "expected_next_at")),
            reasons=_column(customers, "reasons"),
            consent=_flags(customers, "consent"),
            offers=(offers := _offers(folder)),
            buyers=Buyers(
                _array(folder, "buyer_offsets"),
                _array(folder, "buyer_customers"),
                _array(folder, "buyer_probability"),
            ),
            any_of=AnyOf.from_json(manifest["any_of"]),
            catalogue=(
                catalogue := catalogue_of(products, _table(folder, "cold_start"))
            ),
            bought_offsets=_array(folder, "bought_offsets"),
            bought_products=_array(folder, "bought_products"),
            last_bought=_array(folder, "last_bought"),
            bought_weight=_array(folder, "bought_weight"),
            lives=service_life_of(products),
            fresh=FreshBasis.of(
                manifest["fresh"],
                _array(folder, "fresh_items"),
                _array(folder, "fresh_factors"),
                _array(folder, "fresh_gram"),
                Rebuy(
                    _array(folder, "rebuy_log_odds"), _array(folder, "rebuy_gap_days")
                ),
            ),
            known=_known(folder, manifest),
            next_low=np.asarray(_column(customers, "next_p10_at")),
            next_high=np.asarray(_column(customers, "next_p90_at")),
            kept=kept_from(
                manifest["kept"], partial(_array, folder), partial(_table, folder)
            ),
            launched=_array(folder, "launched"),
            renderer=_renderer(folder, offers, catalogue),
            model=manifest["propensity"],
            kpis=manifest["kpis"]
            and Kpis.of(manifest["kpis"], _array(folder, "kpis"), cutoff),
            insight=manifest["insight"]
            and Insight.of(
                manifest["insight"], {name: _array(folder, name) for name in ARRAYS}
            ),
            due_alert_ids=_array(folder, "due_alert_ids"),
            health_alert_ids=_array(folder, "health_alert_ids"),
        )


def _verified(folder: Path, version: str) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        named = manifest.pop("version")
        listed: dict[str, Any] = manifest["files"]
        earned = version_of(manifest)
    except FileNotFoundError:
        raise _damaged(version, f"a {MANIFEST}", "none") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(version, f"a readable {MANIFEST}", "another text") from None
    if manifest.get("format") != FORMAT:
        got = f"format {manifest.get('format')}"
        raise _damaged(version, f"format {FORMAT}", got)
    if not version == named == earned:
        raise _damaged(version, f"the {MANIFEST} of this version", "an altered one")
    for name, expected in listed.items():
        file = folder / name
        got = fingerprint(file) if file.is_file() else {"bytes": 0, "sha256": "none"}
        if got["bytes"] != expected["bytes"]:
            size = f"{name} of {expected['bytes']} bytes"
            raise _damaged(version, size, f"{got['bytes']} bytes")
        if got != expected:
            raise _damaged(version, f"{name} with its checksum", "altered content")
    return manifest


def _damaged(version: str, expected: str, got: str) -> ContractError:
    return ContractError(
        f"published/{version}: expected {expected}, got {got}; "
        "publish again, or put an earlier version in force"
    )


def _array(folder: Path, name: str) -> npt.NDArray[Any]:
    # A plain view: slicing np.memmap itself costs a microsecond more.
    mapped = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return np.asarray(mapped).view(np.ndarray)


def _table(folder: Path, name: str) -> pa.Table:
    with pa.memory_map(str(folder / f"{name}.arrow")) as source:
        return pa.ipc.open_file(source).read_all()


def _column(table: pa.Table, name: str) -> Any:
    column = table[name]
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _known(folder: Path, manifest: dict[str, Any]) -> Known:
    names = (*NUMBERS, PROFILES, REPLENISHMENT)
    there = [name for name in names if f"{name}.arrow" in manifest["files"]]
    tables = {name: _table(folder, name) for name in there}
    return known_of(tables, _array(folder, "due_offsets"), manifest)


def _flags(table: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    return np.asarray(
        _column(table, name).fill_null(True).to_numpy(zero_copy_only=False)
    )


def _offers(folder: Path) -> Offers:
    table = _table(folder, "offers")
    source, reason = _column(table, "source"), _column(table, "reason")
    return Offers(
        offsets=_array(folder, "offer_offsets"),
        product=_column(table, "product").to_numpy(),
        is_new=_column(table, "is_new").to_numpy(),
        score=_column(table, "score").to_numpy(),
        probability=_column(table, "probability").to_numpy(),
        source=source.indices.to_numpy(),
        reason=reason.indices.to_numpy(),
        sources=tuple(source.dictionary.to_pylist()),
        reasons=Texts(reason.dictionary),
    )


def _renderer(folder: Path, offers: Offers, catalogue: Catalogue) -> Renderer:
    reasons = Texts(_column(_table(folder, "offers"), "reason").dictionary)
    columns = (
        offers.product,
        offers.is_new,
        offers.score,
        offers.probability,
        offers.source,
        offers.reason,
    )
    sources = Texts(pa.array(offers.sources, pa.string()))
    return Renderer(columns, catalogue.ids, reasons, sources)
