"""Two discounts, or two texts, by the same path: an arm need not show a list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from serving.experiment_schema import OffPolicyAnswer
from serving.experiments.place import Place
from serving.publish import publish

OWN = "/v1/experiments/discount"
CUSTOMERS, DAYS = 800, 14
PLAN = {
    "name": "discount",
    "owner": "mia",
    "arms": [
        {"name": "5-off", "show": "nothing"},
        {"name": "10-off", "show": "nothing"},
    ],
    "window_days": DAYS,
    "primary": "repurchase_rate",
    "salt": "s",
}


def told(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_from_two_discounts_to_the_verdict(
    tmp_path: Path, many: Any, new_client: Callable[..., Any]
) -> None:
    publish(tmp_path, many(CUSTOMERS, 6), "m1")
    data = tmp_path / "data"
    client = new_client(tmp_path, place=Place(data))
    told(client.post("/v1/experiments", **PLAN))
    told(client.post(f"{OWN}/status", status="running"))
    ids = [f"c{row:08d}" for row in range(CUSTOMERS)]
    found = told(client.post(f"{OWN}/assignments", customer_ids=ids))["assignments"]
    assert all(one["items"] == [] and one["list_version"] is None for one in found)
    better = [one["arm"] == "10-off" for one in found]
    start = client.now
    client.now += timedelta(hours=2)
    # The mail that brought it is what was seen and clicked on.
    mails = [
        {
            "event_id": one["customer_id"],
            "customer_id": one["customer_id"],
            "product_id": "mail-may",
            "ts": (start + timedelta(hours=1)).isoformat(),
        }
        for one in found
    ]
    arms = [mail | {"arm": one["arm"]} for mail, one in zip(mails, found, strict=True)]
    answer = told(client.post(f"{OWN}/exposures", exposures=arms))
    assert (answer["accepted"], answer["other_arm"]) == (CUSTOMERS, 0)
    # Of every ten customers of an arm three and five click, two and four buy.
    turn = {False: 0, True: 0}
    clicks, buyers = [], []
    for mail, is_better in zip(mails, better, strict=True):
        place = turn[is_better] % 10
        turn[is_better] += 1
        if place < 3 + 2 * is_better:
            clicks.append(mail)
        if place < 2 + 2 * is_better:
            buyers.append(mail["customer_id"])
    told(client.post(f"{OWN}/outcomes", outcomes=clicks))
    data.mkdir()
    pd.DataFrame(
        {
            "customer_id": buyers,
            "product_id": "p000001",
            "ts": pd.Timestamp(start + timedelta(days=1)).as_unit("us"),
            "order_id": buyers,
            "quantity": 1.0,
            "amount": 10.0,
        }
    ).to_parquet(data / "purchases.parquet")
    told(client.post(f"{OWN}/status", status="stopped"))
    client.now = start + timedelta(days=DAYS, hours=1)
    report = told(client("GET", f"{OWN}/report"))
    (said,) = report["verdicts"]
    assert (said["outcome"], said["is_final"]) == ("won", True)
    assert said["sentence"].startswith("10-off beats 5-off: repurchase rate is")
    measures = {one["measure"]: one for one in report["measures"]}
    for name, control, arm in (
        ("click_rate", 0.3, 0.5),
        ("repurchase_rate", 0.2, 0.4),
        ("revenue", 2.0, 4.0),
    ):
        one = measures[name]
        # Arms are not whole tens.
        assert one["low"] < arm - control < one["high"]
    # And a rule over them: everyone gets the better one.
    rule = {"otherwise": "10-off", "reward": "repurchase_rate"}
    answer = client.post(f"{OWN}/off-policy", **rule)
    OffPolicyAnswer.model_validate_json(answer.content)
    best = told(answer)["snips"]
    assert best["low"] < 0.4 < best["high"]
    wrong = client.post(f"{OWN}/off-policy", otherwise="none")
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (422, "otherwise")
