"""The stage ``features`` on Spark: the same table, whatever the size of the input."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import pyarrow as pa

from features import spark_input, store
from features.config import Config
from features.profile import UNDATED
from features.spark import SparkTables
from features.store import Stamp
from serving.erasure import erased_of
from serving.stages import Announce, cutoff_of, tell_dimensions
from training import build
from training.build import Steps


def features(config: Config, file: Path, announce: Announce | None = None) -> Path:
    """Write the feature rows of the training cutoffs and of the cutoff.

    The file has the rows and the stamp that it has from DuckDB, so that one of the
    same input, code, cutoffs and horizon is left as it is, whoever made it.

    Raises:
        ContractError: the input breaks the contract, is too short, or changed while
            it was read.
        SettingError: there is no cutoff, no Spark, or no room.
    """
    steps, until = Steps(announce), cutoff_of(config)
    quarantine = config.workspace / "quarantine"
    with (
        spark_input.session(config.engine.threads) as session,
        spark_input.unchanged(config.data) as check,
    ):
        erased = erased_of(config)
        read, place = spark_input.frames(session, config.data)
        frames = spark_input.without(read, erased)
        with (
            spark_input.reading("data", place),
            SparkTables(
                frames, place=place, memory_limit=config.engine.memory_limit
            ) as tables,
        ):
            first = tables.first_purchase(until)
            tables.write_quarantine(quarantine)
            for table, bad in tables.quarantined.items():
                if bad and announce:
                    announce(f"{table}: {bad:,} bad rows set aside in {quarantine}")
            cutoffs = [*build.cutoffs_since(first, until, config), until]
            digest = erased.mark(spark_input.digest(config.data, frames))
            stamp = Stamp.of(digest, cutoffs, config.horizon_days)
            if store.stamp_of(file) == stamp:
                if announce:
                    announce(f"features: unchanged, {stamp.fingerprint[:12]}")
                return file
            with steps("features"):
                tell_dimensions(tables.history_of_nobody(until), announce)
                if tables.facts(until).is_undated and announce:
                    announce(UNDATED)
                wide = tables.features(until, cutoffs)
                parts = _checked(spark_input.parts(wide), check)
                store.write(file, parts, stamp)
    return file


def _checked(
    parts: Iterable[pa.Table], check: Callable[[], None]
) -> Generator[pa.Table]:
    """The same parts; before the first is out, Spark has read all."""
    for part in parts:
        check()
        yield part
