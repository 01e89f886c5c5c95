"""A wrong truth is told in one line."""

from __future__ import annotations

import pytest

from features.contracts import SettingError
from features.simulate import truths_of


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("uplift", "--truth: expected key=value, got 'uplift'"),
        (
            "upliftt=1",
            "--truth: expected a name that `repurchase simulate --help` lists, got 'upliftt'",
        ),
        (
            "held_out=1.5",
            "--truth: held_out: input should be less than or equal to 1, got 1.5",
        ),
        (
            "products=many",
            "--truth: products: input should be a valid integer, "
            "unable to parse string as an integer, got 'many'",
        ),
        (
            "end=2023-01-05",
            "--truth: end: expected 28 days to 20 years after start, got 4 days; "
            "move start or end",
        ),
        (
            "loyalty=0.9",
            "--truth: loyalty: expected at most 1 together with category_focus, "
            "got 1.25; lower one",
        ),
        (
            "campaigns=60",
            "--truth: campaigns: expected at most 103 weeks of campaigns, got 120; "
            "lower campaigns or campaign_weeks",
        ),
        (
            "categories=900",
            "--truth: categories: expected at most as many as products (800), got 900; "
            "lower it",
        ),
    ],
)
def test_a_wrong_truth_is_one_line(pair: str, said: str) -> None:
    with pytest.raises(SettingError) as told:
        truths_of(["products=800", pair])
    assert str(told.value) == said
