"""Published figures on CDNOW, from the orders themselves.

The data are customers who joined a music shop in January to March 1997, with
their orders until 1998-06-30. The files lie in the ``lifetimes`` wheel, which
is read as a folder and never imported.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from features.config import Config, PropensityConfig
from features.history import History
from features.snapshot import Snapshot, to_us
from training import baselines, btyd, build
from training.baselines import Visits

ReadHistory = Callable[..., History]

CALIBRATION_END = datetime(1997, 10, 1)
WEEK = 7.0


def cdnow(name: str, columns: list[str], header: int) -> pa.Table:
    """A file of the wheel as ``purchases``: an order is a line of the file."""
    found = next(file for file in files("lifetimes") or () if file.name == name)
    lines = pd.read_csv(
        Path(str(found.locate())),
        sep=r"\s+",
        skiprows=header,
        names=columns,
        dtype={"customer_id": str, "date": str},
    )
    order = (lines.groupby(["customer_id", "date"]).cumcount() + 1).astype(str)
    return pa.table(
        {
            "customer_id": pa.array(lines["customer_id"]),
            "product_id": pa.array(["cd"] * len(lines)),
            "ts": pa.array(pd.to_datetime(lines["date"]), pa.timestamp("us")),
            "order_id": pa.array(
                lines["customer_id"] + "-" + lines["date"] + "-" + order
            ),
            "quantity": pa.array(lines["cds"], pa.float64()),
            "amount": pa.array(lines["dollars"], pa.float64()),
        }
    )


@pytest.fixture
def sample(read_history: ReadHistory) -> History:
    """The 2,357 customers of the published tables, until 1997-09-30."""
    columns = ["master", "customer_id", "date", "cds", "dollars"]
    table = cdnow("CDNOW_sample.txt", columns, header=0)
    return read_history({"purchases": table}, CALIBRATION_END)


def in_weeks(v: Visits) -> Visits:
    """As published: in weeks, until the last day and not its end."""
    return Visits(v.customer, v.x, v.t_x / WEEK, (v.T - 1) / WEEK)


def test_bg_nbd_has_the_published_parameters(sample: History) -> None:
    """r .243, alpha 4.414, a .793, b 2.426, log likelihood -9,582.4.

    Source: Fader, Hardie, Lee (2005), "Counting Your Customers the Easy Way",
    Marketing Science 24(2), table 2, column BG/NBD.
    """
    v = in_weeks(baselines.visits(sample, to_us(CALIBRATION_END)))
    assert len(v.x) == 2357
    model = baselines.fit_bg_nbd(v)
    found = [model.r, model.alpha, model.a, model.b]
    assert found == pytest.approx([0.243, 4.414, 0.793, 2.426], abs=5e-4)
    likelihood = baselines.log_likelihood(model, v)
    assert likelihood == pytest.approx(-9582.4, abs=0.05)


def test_gamma_gamma_has_the_published_parameters(sample: History) -> None:
    """p 6.25, q 3.74, gamma (our ``v``) 15.44: repeat visits of 946 buyers.

    The means must not be rounded to cents, as in the summary that goes round:
    that alone moves gamma to 15.45.

    Source: Fader, Hardie (2013), "The Gamma-Gamma Model of Monetary Value",
    the maximum likelihood estimates of its section on CDNOW.
    """
    lines = sample.purchases
    orders = pd.DataFrame(
        {"customer": lines.customer, "ts": lines.ts, "spend": lines.columns["amount"]}
    )
    visits = orders.groupby(["customer", "ts"], as_index=False)["spend"].sum()
    repeat = visits[visits["customer"].duplicated()]
    by_customer = repeat.groupby("customer")["spend"].agg(["size", "mean"])
    n, mean = by_customer.to_numpy(np.float64).T
    assert (mean > 0).sum() == 946
    model = btyd.fit_gamma_gamma(n, mean)
    found = [model.p, model.q, model.v]
    assert found == pytest.approx([6.25, 3.74, 15.44], abs=5e-3)


@pytest.mark.slow
def test_propensity_reaches_the_anchor_at_180_days(read_history: ReadHistory) -> None:
    """AUC of all 23,570 customers, from 1998-01-01: at least .807.

    The data begin a year before, so no two label windows of 180 days fit into the
    past: the model is fitted at 14 days and at drawn horizons up to 182, and asked
    for 180.
    """
    columns = ["customer_id", "date", "cds", "dollars"]
    orders = cdnow("CDNOW_master.txt", columns, header=1)
    cutoff = datetime(1998, 1, 1)
    history = read_history({"purchases": orders}, cutoff)
    config = Config(
        horizon_days=14, propensity=PropensityConfig(step_days=28, max_cutoffs=7)
    )
    features = build.build_features(history, config)
    model = build.fit_propensity(history, features, config)
    rows = build.at_cutoff(features, cutoff)

    window = Snapshot(cutoff, 180)
    ts = orders.column("ts").cast(pa.int64()).to_numpy()
    inside = (ts >= window.cutoff_us) & (ts < window.label_end_us)
    buyers = orders.filter(pa.array(inside)).column("customer_id")
    label = np.isin(history.customers, buyers.to_pylist())
    v = baselines.visits(history, window.cutoff_us)
    assert len(v.customer) == rows.num_rows == 23_570
    auc = {
        "model": roc_auc_score(label, model.probability(rows, 180)),
        "BG/NBD": roc_auc_score(label, baselines.fit_bg_nbd(v).probability(v, 180.0)),
        "recency": roc_auc_score(label, -v.days_since_last),
    }
    print(auc)
    assert auc["model"] >= 0.807
    assert auc["model"] > max(auc["BG/NBD"], auc["recency"]) + 0.01
