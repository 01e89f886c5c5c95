"""Dimension 6: who the customer is, from the profile row in force.

In force at a cutoff is the row with the latest ``valid_from`` before it, a null
``valid_from`` coming first. A row is not known before the customer joined.

A text with many words is an address, a name or an id and no category: a model
would learn it by heart and keep it. It is null for everyone; see ``left_out``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa

from features.coding import nullable
from features.contracts import CUSTOMERS, ContractError
from features.feature import Attribute
from features.history import Array, Bools, Floats, History, Longs
from features.snapshot import DAY_US

NULL = "no profile row in force, or it does not say"

Columns = dict[str, pa.Array]


NEAR_DAYS = 14
"""A birthday this close is near."""


def _attribute(
    name: str, unit: str, meaning: str = "", *, is_text: bool = False
) -> Attribute:
    return Attribute(
        name=name,
        dimension="profile",
        unit=unit,
        null=NULL,
        meaning=meaning or name.replace("_", " "),
        is_text=is_text,
    )


PROFILE = (
    _attribute("tenure_days", "days", "days since joined_at"),
    _attribute("age_years", "years", "years of 365.25 days since birthday"),
    _attribute("days_to_birthday", "days", "days to the next birthday, 0 on the day"),
    _attribute("points_balance", "points"),
    _attribute("acquisition_cost", "shop currency"),
    _attribute("consent", "1 or 0", "1 given, also where it does not say; 0 refused"),
    _attribute("segment", "text", is_text=True),
    _attribute("region", "text", is_text=True),
    _attribute("member_tier", "text", is_text=True),
    _attribute("preferred_channel", "text", is_text=True),
    _attribute("is_member", "1 or 0", "1: the row in force names a tier"),
    _attribute(
        "is_birthday_near", "1 or 0", f"1: the next birthday is within {NEAR_DAYS} days"
    ),
    _attribute("days_since_profile_change", "days", "days since valid_from"),
    _attribute("tier_changes_count", "changes", "rows with another tier than before"),
    _attribute("points_change", "points", "points_balance less that of the row before"),
)
"""The attributes of the contract; further columns follow under their names."""

MAX_WORDS = 100
"""A text has at most this many distinct words, and one per two customers."""

MIN_WORDS = 10
"""So many words are fine however few the customers."""

_TIMES = ("valid_from", "joined_at", "birthday")


def _us(profiles: pa.Table, name: str) -> tuple[Longs, Bools]:
    """A time column in microseconds, and where it is null."""
    if name not in profiles.column_names:
        n = profiles.num_rows
        return np.zeros(n, np.int64), np.ones(n, np.bool_)
    column = profiles.column(name).cast(pa.timestamp("us")).cast(pa.int64())
    null = column.is_null().combine_chunks().to_numpy(zero_copy_only=False)
    return column.fill_null(0).combine_chunks().to_numpy(), null


def _customer(profiles: pa.Table) -> Longs:
    # The row of nulls has none, and counts for nobody.
    return profiles.column("customer").fill_null(0).combine_chunks().to_numpy()


def _known_us(profiles: pa.Table) -> Longs:
    """When each row was known; see ``contracts.CUSTOMERS``."""
    known = np.full(profiles.num_rows, np.iinfo(np.int64).min)
    for name in ("valid_from", "joined_at"):
        us, null = _us(profiles, name)
        known = np.where(null, known, np.maximum(known, us))
    return known


def in_force(profiles: pa.Table, cutoffs_us: Longs, n_customers: int) -> Longs:
    """The row in force of every customer at every cutoff.

    Args:
        profiles: ordered by ``customer`` (code), then ``valid_from``, null first.
        cutoffs_us: only rows known before it count.
        n_customers: codes are below it.

    Returns:
        Row numbers, shape ``[customer, cutoff]``; -1: none.
    """
    customer, known = _customer(profiles), _known_us(profiles)
    rows = np.full((n_customers, len(cutoffs_us)), -1, np.int64)
    for k, cutoff in enumerate(cutoffs_us):
        visible = np.flatnonzero(known < cutoff)
        np.maximum.at(rows[:, k], customer[visible], visible)
    return rows


def columns(
    profiles: pa.Table | None,
    rows: Longs,
    cutoffs_us: Longs,
    taken: Mapping[str, Array],
    wordy: Collection[str] = (),
) -> Columns:
    """Profile features of the spine.

    Args:
        profiles: rows of ``customers``; None where the table is missing.
        rows: row in force of each spine row, -1: none, shape ``[row]``.
        cutoffs_us: cutoff of each spine row, shape ``[row]``.
        taken: names of the other columns.
        wordy: texts with too many words, null for everyone.

    Returns:
        By name, in the order of ``PROFILE``, then further columns: float64, or
        dictionary of int32 and string for texts, words in ascending order.
        Further columns of times are left out, since nothing says when they were
        known, and so are lists and the like.

    Raises:
        ContractError: a further column has the name of a feature.
    """
    if profiles is None:
        # One column of each type for all: there may be millions of rows.
        nulls = {a.is_text: _nulls(a, len(rows)) for a in PROFILE}
        return {a.name: nulls[a.is_text] for a in PROFILE}
    # A row of nulls, never in force, gives every part of customers all columns.
    known = profiles if profiles.num_rows else _row_of_nulls(profiles.schema)
    read = known.select([name for name in known.column_names if name not in wordy])
    present = read.take(pa.array(rows, pa.int64(), mask=rows < 0))
    result = {a.name: _column(present, a) for a in PROFILE}
    result |= _times(known, rows, cutoffs_us)
    result |= _changes(known, rows, cutoffs_us)
    consent = result["consent"].fill_null(1.0).to_numpy(zero_copy_only=False)
    result["consent"] = nullable(np.where(rows < 0, np.nan, consent))
    for field in _further(known):
        if field.name in taken:
            raise ContractError(
                f"customers.{field.name}: expected a name that no feature has, got "
                f"{field.name!r}; rename the column in the export"
            )
        if _is_usable(field.type):
            further = _attribute(field.name, "as given", is_text=_is_text(field.type))
            result[field.name] = _column(present, further)
    return result


def _row_of_nulls(schema: pa.Schema) -> pa.Table:
    nulls = [pa.nulls(1, field.type) for field in schema]
    return pa.Table.from_arrays(nulls, schema=schema)


def left_out(history: History) -> tuple[str, ...]:
    """Columns of ``customers`` that are no features at ``history.until``.

    Args:
        history: all input known before ``history.until``.

    Returns:
        Names of texts with too many words, then of further columns that are no
        number, flag or text.
    """
    if history.profiles is None:
        return ()
    odd = [f.name for f in _further(history.profiles) if not _is_usable(f.type)]
    return (*history.wordy, *odd)


UNDATED = "customers has no valid_from: read as of the export at every cutoff"
"""What a reader must know where ``is_undated``: what is known later leaks."""


def is_undated(history: History) -> bool:
    """Whether no row of ``customers`` says since when it holds.

    Every cutoff then sees the values of the export, also those of later days.
    """
    profiles = history.profiles
    if profiles is None or CUSTOMERS.name not in history.since:
        return False
    return bool(_us(profiles, "valid_from")[1].all())


def is_wordy(words: int, customers: int) -> bool:
    """Whether a text has too many words to learn from.

    Args:
        words: distinct ones in all rows known, whether in force or not.
        customers: of whom it says something.
    """
    return words > min(MAX_WORDS, max(MIN_WORDS, customers // 2))


def _further(profiles: pa.Table) -> list[pa.Field]:
    """The columns that the contract does not name."""
    ours = {"customer", *_TIMES, *(a.name for a in PROFILE)}
    return [field for field in profiles.schema if field.name not in ours]


def _is_text(dtype: pa.DataType) -> bool:
    return pa.types.is_string(dtype) or pa.types.is_null(dtype)


def _is_usable(dtype: pa.DataType) -> bool:
    return _is_text(dtype) or pa.types.is_boolean(dtype) or pa.types.is_floating(dtype)


def _nulls(attribute: Attribute, n: int) -> pa.Array:
    return pa.nulls(n, _text() if attribute.is_text else pa.float64())


def _text() -> pa.DataType:
    return pa.dictionary(pa.int32(), pa.string())


def _column(present: pa.Table, attribute: Attribute) -> pa.Array:
    """The column with the words in ascending order, so that codes are steady."""
    if attribute.name not in present.column_names:
        return _nulls(attribute, present.num_rows)
    column = present.column(attribute.name).combine_chunks()
    if not attribute.is_text:
        return column.cast(pa.float64())
    coded = column.cast(pa.string()).dictionary_encode()
    words: list[str] = coded.dictionary.to_pylist()
    place = {word: code for code, word in enumerate(sorted(words))}
    code_of = np.array([*(place[word] for word in words), 0], np.int32)
    codes = code_of[coded.indices.fill_null(-1).to_numpy()]
    null = coded.is_null().to_numpy(zero_copy_only=False)
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32(), mask=null), pa.array(sorted(words), pa.string())
    )


def _times(profiles: pa.Table, rows: Longs, cutoffs_us: Longs) -> Columns:
    """Tenure, age and the way to the next birthday."""
    joined, no_joined = _us(profiles, "joined_at")
    born, no_birthday = _us(profiles, "birthday")
    tenure = (cutoffs_us - joined[rows]) / DAY_US
    age = (cutoffs_us - born[rows]) / DAY_US / 365.25
    ahead = _days_to_birthday(born[rows], cutoffs_us)
    no_joined, no_birthday = (
        null[rows] | (rows < 0) for null in (no_joined, no_birthday)
    )
    return {
        "tenure_days": nullable(np.where(no_joined, np.nan, tenure)),
        "age_years": nullable(np.where(no_birthday, np.nan, age)),
        "days_to_birthday": nullable(np.where(no_birthday, np.nan, ahead)),
        "is_birthday_near": nullable(np.where(no_birthday, np.nan, ahead <= NEAR_DAYS)),
    }


def _changes(profiles: pa.Table, rows: Longs, cutoffs_us: Longs) -> Columns:
    """What changed up to the row in force, among the rows known at the cutoff."""
    customer, known = _customer(profiles), _known_us(profiles)
    tier, points = _codes(profiles, "member_tier"), _numbers(profiles, "points_balance")
    began, no_begin = _us(profiles, "valid_from")
    changes, gained = (np.full(len(rows), np.nan) for _ in range(2))
    for cutoff in np.unique(cutoffs_us):
        visible = np.flatnonzero(known < cutoff)
        who = customer[visible]
        same = np.append(False, who[1:] == who[:-1])
        before = np.where(same, np.roll(visible, 1), visible)
        number = np.zeros(int(customer.max(initial=-1)) + 1)
        np.add.at(number, who, tier[visible] != tier[before])
        here = np.flatnonzero((cutoffs_us == cutoff) & (rows >= 0))
        place = np.searchsorted(visible, rows[here])
        changes[here] = number[customer[rows[here]]]
        difference = points[rows[here]] - points[before[place]]
        gained[here] = np.where(same[place], difference, np.nan)
    is_none = rows < 0
    age = np.where(
        is_none | no_begin[rows], np.nan, (cutoffs_us - began[rows]) / DAY_US
    )
    return {
        "is_member": nullable(np.where(is_none, np.nan, tier[rows] >= 0)),
        "days_since_profile_change": nullable(age),
        "tier_changes_count": nullable(changes),
        "points_change": nullable(gained),
    }


def _codes(profiles: pa.Table, name: str) -> Longs:
    """A text column as codes, -1: null."""
    if name not in profiles.column_names:
        return np.full(profiles.num_rows, -1)
    column = profiles.column(name).combine_chunks().cast(pa.string())
    return column.dictionary_encode().indices.fill_null(-1).to_numpy()


def _numbers(profiles: pa.Table, name: str) -> Floats:
    """A number column, NaN: null."""
    if name not in profiles.column_names:
        return np.full(profiles.num_rows, np.nan)
    column = profiles.column(name).combine_chunks().cast(pa.float64())
    return column.fill_null(np.nan).to_numpy()


def _days_to_birthday(born: Longs, cutoffs_us: Longs) -> Longs:
    """Whole days; a 29th of February is kept on the 1st of March."""
    born_day = born.astype("datetime64[us]").astype("datetime64[D]")
    month = born_day.astype("datetime64[M]")
    in_month = (born_day - month).astype(np.int64)
    month_of_year = month.astype(np.int64) % 12
    today = cutoffs_us.astype("datetime64[us]").astype("datetime64[D]")
    year = today.astype("datetime64[Y]").astype(np.int64)

    def birthday(in_year: Longs) -> Array:
        first = (in_year * 12 + month_of_year).astype("datetime64[M]")
        return first.astype("datetime64[D]") + in_month

    this_year = birthday(year)
    following = np.where(this_year >= today, this_year, birthday(year + 1))
    return (following - today).astype(np.int64)
