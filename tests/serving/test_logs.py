"""What the service logs: one form, what a person on call needs, and no customer."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from features.config import ServingConfig
from features.contracts import ContractError
from serving import logs
from serving.asgi import ApiError
from serving.erased import Erased
from serving.notable import Notable

SECRET = "zoe-4711"


@pytest.fixture
def lines() -> Any:
    """What the service's logger writes as JSON, read line by line."""
    stream = io.StringIO()
    handler = logs.handler_of("json", stream)
    logger = logging.getLogger("repurchase.serving")
    logger.addHandler(handler)
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = propagates


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except type(error) as found:
        return found


def test_a_record_is_one_object_on_one_line(lines) -> None:
    extra = {"path": "/v1/alerts", "status": 503, "code": "busy", "seconds": 1.5}
    logger = logging.getLogger("repurchase.serving")
    logger.warning("a\nb %s", '"c"', extra=extra)
    (line,) = lines()
    assert line.pop("time").endswith("Z") and line.pop("process") > 0
    assert line == {
        "level": "warning",
        "logger": "repurchase.serving",
        "message": 'a\nb "c"',
        **extra,
    }


def test_an_error_is_told_by_type_and_place(lines) -> None:
    error = raised(RuntimeError(SECRET), raised(KeyError(SECRET)))
    logging.getLogger("repurchase.serving").error("failed", exc_info=error)
    said = lines()[0]["traceback"]
    assert SECRET not in said
    assert said.index("builtins.KeyError") < said.index("builtins.RuntimeError")
    assert "test_logs.py" in said and "raise error from cause" in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", f"/{SECRET}"), "No space left"),
        (ContractError("curve.npy: damaged"), "curve.npy: damaged"),
    ],
)
def test_a_message_that_quotes_nobody_is_told(error: Exception, said: str) -> None:
    text = logs.error_text(raised(error))
    assert said in text and SECRET not in text


def test_of_a_lost_task_only_the_first_line_is_told() -> None:
    record = logging.makeLogRecord(
        {"name": "asyncio", "msg": f"never retrieved\nKeyError('{SECRET}')"}
    )
    assert json.loads(logs.JsonLines().format(record))["message"] == "never retrieved"
    assert SECRET not in logs.TextLines().format(record)


@pytest.mark.parametrize("form", ["auto", "json", "text"])
@pytest.mark.parametrize("is_terminal", [False, True])
def test_the_form_follows_the_reader_unless_it_is_set(form, is_terminal) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal  # type: ignore[method-assign]
    handler = logs.handler_of(form, stream)
    is_json = form == "json" or (form == "auto" and not is_terminal)
    assert isinstance(handler.formatter, logs.JsonLines) == is_json


def test_text_is_one_line_with_the_fields() -> None:
    record = logging.makeLogRecord(
        {"created": 0.0, "levelname": "WARNING", "msg": "slow", "path": "/v1/alerts"}
    )
    assert logs.TextLines().format(record) == "00:00:00 warning slow path=/v1/alerts"


# -- requests ------------------------------------------------------------------


def test_slow_requests_and_faults_are_told_and_no_others(lines) -> None:
    clock = [100.0]
    notable = Notable(0.5, lambda: clock[0])
    notable.request("/v1/alerts", 200, None, 0.49)
    notable.request("/v1/alerts", 422, "invalid", 0.1)
    assert lines() == []
    notable.request("/v1/alerts", 200, None, 0.5)
    notable.request("/v1/alerts", 503, "busy", 0.1)
    slow, busy = lines()
    assert (slow["message"], slow["seconds"], slow["status"]) == (
        "slow request",
        0.5,
        200,
    )
    assert (busy["message"], busy["code"]) == ("not served", "busy")


def test_a_thousand_of_a_kind_are_one_line_a_second(lines) -> None:
    clock = [100.0]
    notable = Notable(0.5, lambda: clock[0])
    for _ in range(1000):
        notable.request("/v1/alerts", 503, "busy", 0.1)
    notable.request("/v1/events", 503, "busy", 0.1)
    assert len(lines()) == 2
    clock[0] += 1.0
    notable.request("/v1/alerts", 503, "busy", 0.1)
    assert lines()[-1]["message"] == (
        "not served, and 999 more since the last line like this"
    )


def test_no_id_in_path_body_query_or_header_is_ever_logged(
    workspace, new_client, lines, monkeypatch
) -> None:
    client = new_client(workspace, slow_seconds=1e-9)

    def broken(customer_id: str) -> None:
        raise KeyError(customer_id)

    def ask() -> None:
        header = {"Authorization": f"Bearer {SECRET}"}
        ids = {"customer_ids": [SECRET]}
        client.post("/v1/recommendations", **ids)
        client.post("/v1/propensity", **ids)
        client.post("/v1/propensity", customer_ids=[SECRET], horizon_days=SECRET)
        client.post("/v1/events", events=[{"event_id": SECRET, "table": SECRET}])
        client.post("/v1/audiences", goal="value", filters={SECRET: SECRET})
        client("GET", f"/v1/customers/{SECRET}")
        client("DELETE", f"/v1/customers/{SECRET}")
        client("GET", f"/{SECRET}?{SECRET}={SECRET}", headers=header)
        client("GET", f"/v1/alerts?kind={SECRET}&{SECRET}=1")
        client("GET", "/metrics", headers=header)
        client(SECRET, "/metrics")

    ask()
    told = len(lines())
    # The same where each look-up fails with the id in its message.
    monkeypatch.setattr(client.follower, "of", broken)
    monkeypatch.setattr(client.erased, "refresh", broken)
    monkeypatch.setattr(
        type(client.live.current.customers), "row", lambda _, one: broken(one)
    )
    ask()
    found = lines()
    assert told >= 7 and len(found) >= told + 3
    assert any("builtins.KeyError" in line.get("traceback", "") for line in found)
    assert SECRET not in json.dumps(found)
    paths = {line.get("path") for line in found}
    assert {"/v1/customers/{id}", "other", "/v1/propensity"} <= paths


def test_an_answer_that_was_refused_says_its_code(
    workspace, new_client, lines, monkeypatch
) -> None:
    client = new_client(workspace)

    def away(*_: object) -> None:
        raise ApiError(503, "state_away", "away")

    monkeypatch.setattr(Erased, "seen", away)
    client.post("/v1/recommendations", customer_ids=["anna"])
    taken_up, line = lines()
    assert taken_up["level"] == "info"
    assert (line["code"], line["status"]) == ("state_away", 503)
    assert line["path"] == "/v1/recommendations" and line["level"] == "warning"


_PROGRAM = """
import logging, logging.config, sys, threading, warnings
from bentoml._internal.log import configure_server_logging
configure_server_logging()
from serving import logs
logs.set_up(sys.argv[1])
logging.getLogger("bentoml").info("starts")
logging.getLogger("uvicorn.error").error("wrong")
logging.getLogger("circus").warning("restarts")
logging.getLogger("somebody.else").warning("says")
assert not logging.getLogger("uvicorn.access").hasHandlers()
warnings.warn("old")
thread = threading.Thread(target=lambda: 1 / 0, name="warm")
thread.start(); thread.join()
raise KeyError("zoe-4711")
"""


def test_the_server_and_its_libraries_speak_in_the_same_form() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "auto"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stdout == ""
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["logger"] for line in found] == [
        "bentoml",
        "uvicorn.error",
        "circus",
        "somebody.else",
        "py.warnings",
        "repurchase.serving",
        "repurchase.serving",
    ]
    assert found[-2]["message"] == "warm ends"
    assert found[-1]["level"] == "critical"
    assert "builtins.KeyError" in found[-1]["traceback"]
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    "bad", [{"log_format": "xml"}, {"slow_seconds": 0}, {"grace_seconds": 0}]
)
def test_settings_out_of_range_are_refused(bad) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ServingConfig(**bad)
