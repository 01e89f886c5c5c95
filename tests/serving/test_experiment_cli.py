"""``repurchase experiment``: each command, and errors in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from serving import cli

Run = Callable[..., tuple[int, str]]

PLAN = """
name: spring
owner: mia
arms:
  - {name: manual, show: picks, picks: may}
  - {name: model, show: mixed}
primary: repurchase_rate
design: {mde: 0.2, assumed: 0.3}
"""


@pytest.fixture
def run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    sets = ["--set", f"workspace={workspace}", "--set", f"data={workspace / 'none'}"]

    def call(*words: object) -> tuple[int, str]:
        told = ["repurchase", "experiment", *(str(word) for word in words), *sets]
        monkeypatch.setattr("sys.argv", told)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return call


def test_from_picks_to_the_page(run: Run, tmp_path: Path) -> None:
    picks, plan = tmp_path / "may.csv", tmp_path / "plan.yaml"
    picks.write_text("product_id,rank\np1,2\np2,1\n")
    plan.write_text(PLAN)
    status, said = run("picks", picks, "--list", "may", "--owner", "mia")
    assert (status, said[:15]) == (0, "may@1: 2 lines,")
    status, said = run("create", plan)
    assert status == 0 and "design: 1,921 customers" in said and "manual 50.0%" in said
    assert run("start", "spring") == (0, "spring: running\n")
    out, asked = tmp_path / "arms.csv", tmp_path / "ids.csv"
    asked.write_text("customer_id\nanna\nnobody\nanna\n")
    assert run("assign", "spring", "--customers", asked, "--out", out)[0] == 0
    rows = [line.split(",") for line in out.read_text().splitlines()]
    assert [row[0] for row in rows] == ["customer_id", "anna", "nobody"]
    assert {row[2] for row in rows[1:]} == {"hash"}
    # Without a file: whoever is published and consents; carl refused.
    assert run("assign", "spring", "--out", out)[0] == 0
    again = [line.split(",") for line in out.read_text().splitlines()]
    assert [row[0] for row in again] == ["customer_id", "anna", "bert"]
    assert again[1] == rows[1]
    page = tmp_path / "page.html"
    status, said = run("report", "spring", "--out", page)
    assert status == 0 and said.startswith("Nothing can be said yet")
    assert "<h1>spring: model against manual</h1>" in page.read_text()
    figures = json.loads(page.with_suffix(".json").read_text())
    assert sum(one["assigned"] for one in figures["customers"]) == 3
    assert run("stop", "spring") == (0, "spring: stopped\n")

    # Nothing is read of days to come, so nothing is said to be of then.
    assert run("report", "spring", "--out", page, "--as-of", "2999-01-01")[0] == 0
    assert json.loads(page.with_suffix(".json").read_text())["as_of"] < "2999"
    # The figures would take the page's place.
    status, said = run("report", "spring", "--out", tmp_path / "page.JSON")
    assert status == 2 and said.startswith("error: --out: expected the file of a page")


def test_a_rule_and_a_log_are_judged(run: Run, tmp_path: Path) -> None:
    plan, log = tmp_path / "plan.yaml", tmp_path / "log.csv"
    plan.write_text(PLAN.replace("show: picks, picks: may", "show: again"))
    assert run("create", plan)[0] == run("start", "spring")[0] == 0
    rule = (
        "off-policy",
        "spring",
        "--otherwise",
        "model",
        "--segment",
        "family=manual",
    )
    assert run(*rule) == (0, "No estimate: nobody's window is over yet.\n")
    status, said = run("off-policy", "spring", "--otherwise", "none")
    assert status == 2 and said.startswith(
        "error: otherwise: expected one of ['manual'"
    )
    # Every slot was shown for sure, and earned every fourth time.
    rows = [f"c{n},{int(n % 4 == 0)},1,1" for n in range(400)]
    log.write_text("\n".join(["customer_id,reward,logged,target", *rows]))
    status, said = run("off-policy", "--log", log)
    assert status == 0 and said.startswith("Would have earned 0.25 each (95% interval")
    assert run("off-policy")[0] == run("off-policy", "spring")[0] == 2


def test_interleaved_lists_have_a_preference_and_no_page(
    run: Run, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "{name: taste, owner: mia, kind: interleaved, arms: "
        "[{name: manual, show: again}, {name: model, show: mixed}]}"
    )
    assert run("create", plan)[0] == run("start", "taste")[0] == 0
    status, said = run("assign", "taste", "--out", tmp_path / "arms.csv")
    assert status == 2 and said.startswith("error: kind: expected the report of a rand")
    out = tmp_path / "page.html"
    status, said = run("report", "taste", "--out", out)
    assert status == 0 and said.startswith("Still running: nobody of 0 customers click")
    assert json.loads(out.with_suffix(".json").read_text())["winner"] is None
    assert not out.exists()


def test_a_design_is_said_in_a_few_lines(run: Run) -> None:
    asked = ("design", "--primary", "repurchase_rate", "--assumed", "0.3")
    status, said = run(*asked, "--mde", "0.2", "--holdout", "0.1")
    assert status == 0 and said.startswith("2,134 customers, who do not come as things")
    assert "split: control 4500 (45.0%), treatment 4500 (45.0%), holdout 1000" in said
    assert "an effect of +20.0% is found with 80%" in said
    status, said = run(*asked, "--mde", "0.2", "--days", "90")
    assert status == 2 and said.startswith("error: plan: expected one of mde, days")
    status, said = run(*asked, "--days", "90")
    assert status == 2 and said.startswith("error: days: expected days in which")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2017", "expected 1 to 256 characters"),
        ("2017,", "expected 1 to 256 characters"),
        ("2017," + "a" * 257, "expected 1 to 256 characters"),
        ("2017, anna", "expected no blanks around it"),
    ],
)
def test_what_is_no_id_is_not_drawn(
    run: Run, tmp_path: Path, row: str, said: str
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN.replace("show: picks, picks: may", "show: again"))
    assert run("create", plan)[0] == run("start", "spring")[0] == 0
    out, asked = tmp_path / "arms.csv", tmp_path / "ids.csv"
    out.write_text("of before")
    asked.write_text(f"joined,customer_id\n2016,anna\n{row}\n")
    status, told = run("assign", "spring", "--customers", asked, "--out", out)
    assert status == 2 and told.startswith(f"error: customer_id: {said}"), told
    assert f"in line 3 of {asked}" in told and told.count("\n") == 1
    assert out.read_text() == "of before"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("report", "june"), "name: expected that of an experiment, got 'june'"),
        (("start", "june"), "name: expected that of an experiment, got 'june'"),
        (("create", "PLAN"), "arms.0.picks: expected an uploaded list, got 'may'"),
        (("create", "BAD"), "arms: field required"),
        (("create", "nowhere.yaml"), "plan: expected YAML or JSON in nowhere.yaml"),
        (("picks", "BAD", "--list", "a", "--owner", "b"), "product_id: expected a col"),
    ],
)
def test_what_is_wrong_is_one_line(
    run: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    files = {"PLAN": tmp_path / "plan.yaml", "BAD": tmp_path / "bad.yaml"}
    files["PLAN"].write_text(PLAN)
    files["BAD"].write_text("name: spring\nowner: mia\n")
    status, told = run(*(files.get(word, word) for word in words))
    assert status == 2 and told.startswith(f"error: {said}"), told
    assert told.count("\n") == 1
