from __future__ import annotations

import json
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.publish import publish
from serving.published import Published
from serving.recommend import recommend, wishes, written
from serving.render import Renderer, rounded
from serving.texts import SortedIds, Texts

WORDS = ["plain", 'say "yes"', "back\\slash", "line\nbreak\x1f", "Käse 🧀", ""]


def renderer(score: list[float], words: list[str], is_new: list[int]) -> Renderer:
    """Offers of products 0, 1, … with as many words."""
    size = len(score)
    rows = np.arange(size, dtype=np.int32)
    figures = np.array(score, np.float32)
    columns = (rows, np.array(is_new, np.uint8), figures, figures, rows, rows)
    texts = [Texts(pa.array(words, pa.string())) for _ in range(3)]
    return Renderer(columns, *texts)


def read(lines: bytes | None) -> list[dict]:
    assert lines is not None
    return json.loads(lines)


def test_every_text_survives() -> None:
    size = len(WORDS)
    made = renderer([0.5] * size, WORDS, [0] * size)
    lines = read(made.lines(0, size, "mixed", np.ones(size, dtype=bool), size))
    for key in ("product_id", "reason", "source"):
        assert [line[key] for line in lines] == WORDS
    assert [line["rank"] for line in lines] == [1, 2, 3, 4, 5, 6]


@given(st.binary(min_size=4, max_size=4))
@example(struct.pack("<f", 9.99999999e-8))
@example(struct.pack("<f", 999999999.0))
@example(struct.pack("<f", 1e-45))
@example(struct.pack("<f", 3.4e38))
@example(struct.pack("<f", -0.0))
def test_a_number_is_told_from_every_other_of_its_precision(pattern: bytes) -> None:
    (number,) = struct.unpack("<f", pattern)
    (line,) = read(
        renderer([number], ["a"], [0]).lines(0, 1, "mixed", np.ones(1, dtype=bool), 1)
    )
    if not np.isfinite(number):
        assert line["score"] is None
    else:
        assert line["score"] == rounded(number)
        assert np.float32(line["score"]) == np.float32(number)


def test_what_does_not_pass_is_left_out_and_too_few_are_no_list() -> None:
    made = renderer([0.9, 0.8, 0.7, 0.6], ["a", "b", "c", "d"], [0, 1, 0, 1])
    allowed = np.array([False, True, True, True])

    def ids(lane: str, n: int) -> list[str]:
        return [line["product_id"] for line in read(made.lines(0, 4, lane, allowed, n))]

    assert ids("mixed", 2) == ["b", "c"]
    assert ids("new", 2) == ["b", "d"]
    assert ids("again", 1) == ["c"]
    assert made.lines(0, 4, "again", allowed, 2) is None
    assert made.lines(0, 2, "mixed", allowed, 2) is None


def test_a_long_text_finds_room() -> None:
    made = renderer([0.5], ["\x01" * 50_000], [0])
    (line,) = read(made.lines(0, 1, "mixed", np.ones(1, dtype=bool), 1))
    assert line["reason"] == "\x01" * 50_000


@pytest.mark.parametrize("lane", ["mixed", "again", "new"])
def test_lists_are_those_that_python_makes(tmp_path, many, lane) -> None:
    publish(tmp_path, many(40, 30), "m")
    published = Published.open(tmp_path)
    categories = [f"k{code}" for code in range(1, 8)]
    ask = wishes(published, 5, lane, categories)
    for customer in range(40):
        assert read(written(published, customer, ask)) == recommend(
            published, customer, ask
        )
    # Longer than what was offered: products beside the offers have to fill it.
    assert written(published, 0, wishes(published, 31, lane)) is None


@given(st.lists(st.text(max_size=6), unique=True, max_size=40), st.text(max_size=6))
def test_an_id_is_found_where_it_is(drawn: list[str], other: str) -> None:
    ids = sorted(drawn, key=str.encode)
    column = SortedIds(pa.array(ids, pa.string()))
    for row, one in enumerate(ids):
        assert column.row(one) == row
    assert column.row(other) == (ids.index(other) if other in ids else None)
