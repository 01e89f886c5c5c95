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

CHANNEL, CHANNEL_COLUMN = "channel", "preferred_channel"

OWN = "customers."
"""Before the name of a shop's own column that is named like one of ours."""

_SHORT = {TIER: "member_tier", CHANNEL: CHANNEL_COLUMN}


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
    insight = published.insight
    ours = {
        name: () if insight is None else insight.words_of(column)
        for name, column in _ours(published).items()
    }
    words = {name: profile.words for name, profile in _profiles(published).items()}
    return {**ours, **words, TAG: TAGS}


def _ours(published: Published) -> dict[str, str]:
    """Column of insight by the name it is asked for.

    The channel is that on pages and alerts: the stated one, else the usual one. The
    tier of a loyalty programme is ``member_tier``.
    """
    insight = published.insight
    if insight is None:
        return {}
    ours = {name: name for name in insight.filters} | {TIER: TIER_COLUMN}
    if insight.words_of(CHANNEL_COLUMN):
        ours[CHANNEL] = CHANNEL_COLUMN
    return ours


def _profiles(published: Published) -> dict[str, Profile]:
    """Columns of the profile by the name they are asked for.

    A name that is ours always means ours; a shop's own column of that name has
    ``OWN`` before it. Where we say nothing, short names stand for columns of the
    contract, unless the shop has a column of its own of that name.
    """
    own, ours = published.known.profiles, {*_ours(published), TAG}
    short = {name: own[column] for name, column in _SHORT.items() if column in own}
    free = {name: one for name, one in (short | dict(own)).items() if name not in ours}
    return free | {f"{OWN}{name}": own[name] for name in sorted(ours & set(own))}


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
    insight, ours = published.insight, _ours(published)
    if insight is not None and name in ours:
        return insight.column(ours[name])
    return _profiles(published)[name].codes
