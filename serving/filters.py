"""Whom an audience may have: consent, tags, tiers and profile, as one mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from features.contracts import SettingError
from serving.known import Profile
from serving.published import Published

Bools = npt.NDArray[np.bool_]
Filters = Mapping[str, Sequence[str]]
"""Column, and the values of which one must be the customer's."""

TAG = "tag"
TAGS = ("likely", "not_likely")

TIER, TIER_COLUMN = "tier", "abc"

_SHORT = {"tier": "member_tier", "channel": "preferred_channel"}


_ALSO = "; tiers of a loyalty programme are in member_tier"


class AskError(SettingError):
    """Something that this version cannot be asked.

    Attributes:
        field: dotted name of the argument.
    """

    def __init__(self, field: str, said: str) -> None:
        super().__init__(f"{field}: {said}")
        self.field = field


def choices(published: Published) -> dict[str, tuple[str, ...]]:
    """Every column that can be filtered by, with its values."""
    words = {name: profile.words for name, profile in _profiles(published).items()}
    return {**_insight(published), **words, **_always(published), TAG: TAGS}


def _insight(published: Published) -> dict[str, tuple[str, ...]]:
    """Columns of insight; a shop's own column of the same name comes before."""
    return {} if published.insight is None else published.insight.filters


def _always(published: Published) -> dict[str, tuple[str, ...]]:
    """The tier is always ours; that of a loyalty programme is ``member_tier``."""
    insight = published.insight
    return {} if insight is None else {TIER: insight.words_of(TIER_COLUMN)}


def _profiles(published: Published) -> dict[str, Profile]:
    """Columns of the profile, under their own names and the short ones.

    A shop's own column of a short name is meant by it; the tag is always ours.
    """
    own = published.known.profiles
    short = {name: own[column] for name, column in _SHORT.items() if column in own}
    return {**short, **own}


def likely(published: Published) -> Bools:
    """Who has the tag "likely to repurchase", ``[customer]``."""
    # Compared as float32, the type in which the curve was cut.
    threshold = np.float32(published.tag_threshold)
    return published.curve[:, published.horizon_days - 1] >= threshold


def eligible(published: Published, filters: Filters) -> Bools:
    """Who gave consent and passes every filter, ``[customer]``.

    A customer of whom a column says nothing passes no filter by it.

    Raises:
        AskError: the version has no such column, or no such value in it.
    """
    keep, columns = published.consent.copy(), choices(published)
    for name, wanted in filters.items():
        field = f"filters.{name}"
        if name not in columns:
            allowed = ", ".join(sorted(columns))
            raise AskError(field, f"expected one of {allowed}, got another column")
        unknown = sorted(set(wanted) - set(columns[name]))
        if unknown or not wanted:
            allowed = ", ".join(columns[name])
            got = f"{unknown[0]!r:.80}" if unknown else "none"
            also = _ALSO if name == TIER and published.insight is not None else ""
            raise AskError(field, f"expected some of {allowed}, got {got}{also}")
        if name == TAG:
            keep &= np.isin(likely(published), [tag == TAGS[0] for tag in wanted])
        else:
            words = columns[name]
            chosen = np.zeros(len(words) + 1, dtype=np.bool_)
            chosen[[words.index(word) for word in wanted]] = True
            # The code of an unknown value is -1: the last place, never chosen.
            keep &= chosen[_codes(published, name)]
    return keep


def _codes(published: Published, name: str) -> npt.NDArray[np.int16]:
    """The code of each customer's word in a column."""
    insight, profiles = published.insight, _profiles(published)
    if insight is not None and name == TIER:
        return insight.column(TIER_COLUMN)
    if insight is not None and name not in profiles:
        return insight.column(name)
    return profiles[name].codes
