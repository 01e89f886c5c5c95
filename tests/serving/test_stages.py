"""What a build says of its input."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config import Config
from serving import stages

UNDATED = "customers has no valid_from: read as of the export at every cutoff"


@pytest.mark.parametrize("dated", [True, False])
def test_what_is_left_out_and_an_undated_profile_are_said(
    shop_dir: Path, tmp_path: Path, *, dated: bool
) -> None:
    data = tmp_path / "data"
    shutil.copytree(shop_dir, data)
    customers = pq.read_table(data / "customers.parquet")
    if not dated:
        customers = customers.drop_columns("valid_from")
    times = pa.array([datetime(2024, 1, 1)] * len(customers), pa.timestamp("us"))
    customers = customers.append_column("card_made_at", times)
    pq.write_table(customers, data / "customers.parquet")
    said: list[str] = []
    config = Config(data=data, workspace=tmp_path, cutoff="2024-10-01")
    stages.features(config, said.append)
    assert (UNDATED in said) is not dated
    assert (
        "left out (too many different words, or no number, flag or text): card_made_at"
    ) in said
