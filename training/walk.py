"""One walk through the trees of a booster for all horizons of a row.

Most of a row's way through a tree is the same at every horizon: it parts only
where a tree splits on the horizon. Scores are those of ``lgb.Booster.predict`` to
the bit, since each horizon's leaves are added in the same order.

Source: LightGBM, ``Tree::NumericalDecision`` and ``Tree::CategoricalDecision``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from features.history import Floats

_IS_WORDS, _DEFAULT_LEFT = 1, 2
_ZERO_IS_MISSING, _NAN_IS_MISSING = 1, 2
_ZERO = np.float64(np.float32(1e-35))


class Nodes(NamedTuple):
    """All trees of a booster, one behind the other.

    Attributes:
        root: of each tree; a negative place is a leaf: ``-1 - place``.
        feature, threshold, decision: of each node.
        left, right: where to go on; as ``root``.
        first, end: of a node's bits in ``bits``, of words only.
        bits: words that go left, 32 in each number.
        leaf: values.
    """

    root: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: Floats
    decision: npt.NDArray[np.int32]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    first: npt.NDArray[np.int32]
    end: npt.NDArray[np.int32]
    bits: npt.NDArray[np.int64]
    leaf: Floats


def nodes_of(booster: str) -> Nodes:
    """The trees of LightGBM's text."""
    trees: list[Nodes] = []
    n_nodes = n_leaves = n_bits = 0
    for text in booster.split("\nend of trees")[0].split("\nTree=")[1:]:
        lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        tree = _nodes(lines, n_nodes, n_leaves, n_bits)
        trees.append(tree)
        n_nodes += len(tree.feature)
        n_leaves += len(tree.leaf)
        n_bits += len(tree.bits)
    columns: list[Any] = [np.concatenate(column) for column in zip(*trees, strict=True)]
    return Nodes(*columns)


def _nodes(lines: Mapping[str, str], n_nodes: int, n_leaves: int, n_bits: int) -> Nodes:
    """One tree, behind as many nodes, leaves and bits."""

    def integers(name: str, default: str = "") -> npt.NDArray[np.int32]:
        return np.array(lines.get(name, default).split(), np.int32)

    def places(name: str) -> npt.NDArray[np.int32]:
        child = integers(name)
        return np.where(child >= 0, child + n_nodes, child - n_leaves).astype(np.int32)

    decision = integers("decision_type")
    threshold = np.array(lines.get("threshold", "").split(), np.float64)
    bounds = integers("cat_boundaries", "0 0") + np.int32(n_bits)
    # A split on words has the number of its bits where others have a threshold.
    number = np.where(decision & _IS_WORDS, threshold, 0).astype(np.int64)
    root = n_nodes if len(decision) else -1 - n_leaves
    return Nodes(
        root=np.array([root], np.int32),
        feature=integers("split_feature"),
        threshold=threshold,
        decision=decision,
        left=places("left_child"),
        right=places("right_child"),
        first=bounds[number],
        end=bounds[number + 1],
        bits=np.array(lines.get("cat_threshold", "").split(), np.int64),
        leaf=np.array(lines["leaf_value"].split(), np.float64),
    )


@numba.njit(cache=True, nogil=True)
def scores(
    nodes: Nodes, matrix: npt.NDArray[np.float32], horizons: npt.NDArray[np.float64]
) -> Floats:
    """Raw scores, shape ``[row, horizon]``.

    Args:
        nodes: of one booster; its last feature is the horizon.
        matrix: the other features, shape ``[row, feature]``.
        horizons: ascending.
    """
    n_features = matrix.shape[1]
    found = np.zeros((len(matrix), len(horizons)))
    # A row waits at most once at each horizon, since no two wait together.
    later = np.empty((len(horizons), 3), np.int64)
    for row in range(len(matrix)):
        values, score = matrix[row], found[row]
        for root in nodes.root:
            node, begin, end, waiting = np.int64(root), 0, len(horizons), 0
            while True:
                while node >= 0:
                    feature = nodes.feature[node]
                    if feature < n_features:
                        is_left = _goes_left(nodes, node, np.float64(values[feature]))
                        node = np.int64(
                            nodes.left[node] if is_left else nodes.right[node]
                        )
                        continue
                    middle = begin
                    while middle < end and horizons[middle] <= nodes.threshold[node]:
                        middle += 1
                    if middle == begin:
                        node = np.int64(nodes.right[node])
                        continue
                    if middle < end:
                        later[waiting, 0] = nodes.right[node]
                        later[waiting, 1], later[waiting, 2] = middle, end
                        waiting, end = waiting + 1, middle
                    node = np.int64(nodes.left[node])
                value = nodes.leaf[-1 - node]
                for place in range(begin, end):
                    score[place] += value
                if waiting == 0:
                    break
                waiting -= 1
                node = later[waiting, 0]
                begin, end = later[waiting, 1], later[waiting, 2]
    return found


@numba.njit(cache=True, nogil=True, inline="always")
def _goes_left(nodes: Nodes, node: int, value: float) -> bool:
    decision = nodes.decision[node]
    is_nan = value != value
    if decision & _IS_WORDS:
        word = np.int64(-1 if is_nan else value)
        if word < 0:
            return False
        place = nodes.first[node] + (word >> 5)
        return place < nodes.end[node] and (nodes.bits[place] >> (word & 31)) & 1 == 1
    missing = decision >> 2
    if is_nan and missing != _NAN_IS_MISSING:
        value, is_nan = 0.0, False
    if is_nan or (missing == _ZERO_IS_MISSING and abs(value) <= _ZERO):
        return decision & _DEFAULT_LEFT != 0
    return value <= nodes.threshold[node]
