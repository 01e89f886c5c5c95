"""LightGBM as every model of ours uses it: boosters of following seeds, kept as text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.config import TreesConfig
from features.history import Floats
from training.encoding import Encoding

# Two waiting threads would otherwise spin and starve each other on a small box.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import lightgbm as lgb

Matrix = npt.NDArray[np.float32]
Boosters = tuple[lgb.Booster, ...]

_BATCH_ROWS = 1 << 13


def fit_boosters(
    data: lgb.Dataset,
    objective: str,
    config: TreesConfig,
    seed: int,
    n_boosters: int,
    more: dict[str, Any] | None = None,
) -> Boosters:
    """Boosters of the seeds ``seed``, ``seed + 1``, ...

    Args:
        data: of ``dataset``.
        objective: LightGBM's name of the loss.
        config: the trees.
        seed: of the first one.
        n_boosters: how many.
        more: parameters of LightGBM that only this model has.
    """
    parameters: dict[str, Any] = {
        "objective": objective,
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_child_samples": config.min_rows_per_leaf,
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.row_share,
        "bagging_freq": 1,
        "lambda_l2": config.l2,
        "cat_smooth": 50.0,
        "max_cat_to_onehot": 8,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": config.threads,
        "verbosity": -1,
    } | (more or {})
    return tuple(
        lgb.train(parameters | {"seed": seed + k}, data, config.trees)
        for k in range(n_boosters)
    )


class Gathered(lgb.Sequence):
    """Rows of a matrix in any order and number, with one more column behind.

    LightGBM asks for a batch at a time, so that no second matrix is made; what it
    learns is equal to the bit.

    Args:
        matrix: shape ``[row, column]``.
        row: which of its rows come, shape ``[learned]``.
        last: the further column, same shape.
    """

    batch_size = 1 << 16

    def __init__(
        self, matrix: Matrix, row: npt.NDArray[np.int64], last: npt.NDArray[np.int64]
    ) -> None:
        self.matrix, self.row, self.last = matrix, row, last
        self.shape = (len(row), matrix.shape[1] + 1)

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """A slice as the matrix is; a single row, for the bins, in double precision."""
        if not isinstance(index, slice):
            return np.append(self.matrix[self.row[index]], self.last[index])
        row = self.row[index]
        batch = np.empty((len(row), self.shape[1]), np.float32)
        batch[:, :-1] = self.matrix[row]
        batch[:, -1] = self.last[index]
        return batch


def bin_seed(seed: int) -> int:
    """The seed of the rows that bins are found in.

    LightGBM itself draws it from ``seed``, but not for a ``Sequence``: there it is
    ``data_random_seed``. With this one both find the same bins.

    Source: LightGBM, ``Config::Set`` and ``Random::NextShort``.
    """
    drawn = (214013 * seed + 2531011) % 2**32 >> 16 & 0x7FFF
    return drawn % 0x7FFF


def dataset(
    matrix: Matrix | Gathered,
    label: npt.NDArray[Any],
    encoding: Encoding,
    *,
    start: Floats | None = None,
    weight: Floats | None = None,
) -> lgb.Dataset:
    """Rows to learn from.

    Args:
        matrix: columns of the encoding, then the model's own; shape ``[row, column]``.
        label: shape ``[row]``.
        encoding: of the features.
        start: raw score that the trees begin at, shape ``[row]``.
        weight: shape ``[row]``.
    """
    return lgb.Dataset(
        matrix,
        label,
        weight=weight,
        init_score=start,
        # Names from the shop's columns may hold what LightGBM cannot write.
        feature_name=[f"f{i}" for i in range(matrix.shape[1])],
        categorical_feature=encoding.categorical,
        free_raw_data=True,
    )


def batches(n: int) -> Iterator[slice]:
    """All of ``n`` rows in parts of nearly equal size, so that memory is bounded."""
    parts = max(1, -(-n // _BATCH_ROWS))
    for k in range(parts):
        yield slice(n * k // parts, n * (k + 1) // parts)


def mean_score(boosters: Boosters, matrix: Matrix) -> Floats:
    """Raw scores, averaged over the boosters; shape ``[row]``."""
    scores = [np.asarray(b.predict(matrix, raw_score=True)) for b in boosters]
    return np.mean(scores, axis=0)


def save_boosters(boosters: Boosters, folder: Path, name: str) -> int:
    """Write each as text to ``folder/NAME_0.txt`` and so on; how many they are."""
    for number, booster in enumerate(boosters):
        (folder / f"{name}_{number}.txt").write_text(booster.model_to_string())
    return len(boosters)


def load_boosters(folder: Path, name: str, n_boosters: int) -> Boosters:
    """The boosters that ``save_boosters`` wrote; scores are equal to the bit."""
    files = (folder / f"{name}_{n}.txt" for n in range(n_boosters))
    return tuple(lgb.Booster(model_str=file.read_text()) for file in files)
