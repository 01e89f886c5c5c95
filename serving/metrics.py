"""What Prometheus may ask: requests, latency, errors, snapshot, cold starts, drift.

BentoML's own metrics are off: they measure the same requests a second time.
With several worker processes the counts are shared through the folder that
BentoML names in ``PROMETHEUS_MULTIPROC_DIR``, and a scrape shows their sum.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from serving import drift, drift_alarm
from serving.asgi import Reply

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

MEDIA = CONTENT_TYPE_LATEST.encode()


_OF_LOG = {
    "lag_seconds": "Since the event log was last read to its end, of the slowest "
    "worker; NaN: never yet.",
    "events": "Events since the cutoff that answers take into account.",
    "dropped": "Events that found no room in memory, since the start.",
    "unknown_products": "Events of products that the served version lacks, since the "
    "start.",
    "failures": "Rounds in which the event log could not be read, since the start.",
}


_ANSWERED = "repurchase_scores_answered"
_EXPECTED = "repurchase_scores_expected"
_PSI = "repurchase_scores_psi"
_OF_PSI = (
    "Population stability index of the probabilities answered by /v1/propensity since "
    "the start, at the published horizon, against those of all customers of the version "
    "that answered: below .1 alike, above .25 not. Whoever is asked for often counts "
    "often: a shop that asks for its best customers only has a high one, always. A "
    "change of it is the sign, of other customers or of other behaviour. NaN: fewer "
    f"than {drift.ENOUGH} answers."
)


class _Collected(Collector):
    """What was collected, once more."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class Metrics:
    """Counters of one service process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._kinds: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._lock = Lock()
        self._answered: dict[str, tuple[int, int]] = {}
        self._requests = Counter(
            "repurchase_requests",
            "Requests answered.",
            ("path", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "repurchase_request_seconds",
            "Time from the request's head to the reply's end.",
            ("path",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._errors = Counter(
            "repurchase_errors",
            "Requests answered with an error.",
            ("path", "code"),
            registry=self._registry,
        )
        self._customers = Counter(
            "repurchase_customers",
            "Customers answered; the cold-start share is the part with "
            'cold_start="true".',
            ("path", "cold_start"),
            registry=self._registry,
        )
        self._events = Counter(
            "repurchase_events",
            "Events received, by what became of them.",
            ("outcome",),
            registry=self._registry,
        )
        self._age = Gauge(
            "repurchase_snapshot_age_seconds",
            "From the cutoff of the served version to now.",
            multiprocess_mode="mostrecent",
            registry=self._registry,
        )
        self._refused = Gauge(
            "repurchase_snapshots_refused",
            "Published versions refused as damaged since the start.",
            multiprocess_mode="max",
            registry=self._registry,
        )
        self._scores = [
            Counter(name, said, ("bin",), registry=self._registry)
            for name, said in (
                (
                    _ANSWERED,
                    "Customers whose probability /v1/propensity answered, by tenths of "
                    "the published distribution, 0 the lowest; each as often as asked "
                    "for.",
                ),
                (
                    _EXPECTED,
                    "The same for as many customers drawn at random; the index over "
                    "any time is in the increase of both.",
                ),
            )
        ]
        self._log = {
            name: Gauge(
                f"repurchase_log_{name}",
                said,
                multiprocess_mode="livemax",
                registry=self._registry,
            )
            for name, said in _OF_LOG.items()
        }

    def observe(self, path: str, reply: Reply, seconds: float) -> None:
        """Counts one reply."""
        # Looking a label up costs more than counting it.
        kind = (path, reply.status)
        if kind not in self._kinds:
            counter = self._requests.labels(path, str(reply.status))
            self._kinds[kind] = (counter, self._seconds.labels(path))
        counter, timer = self._kinds[kind]
        counter.inc()
        timer.observe(seconds)
        if reply.code:
            self._errors.labels(path, reply.code).inc()

    def customers(self, path: str, known: int, cold: int) -> None:
        """Counts the customers of one answer; they are shown after ``flush``."""
        with self._lock:
            before = self._answered.get(path, (0, 0))
            self._answered[path] = (before[0] + known, before[1] + cold)

    def flush(self) -> None:
        """Shows what was counted since; a count of its own for each request is dear."""
        with self._lock:
            answered, self._answered = self._answered, {}
        for path, counts in answered.items():
            for is_cold, count in zip(("false", "true"), counts, strict=True):
                if count:
                    self._customers.labels(path, is_cold).inc(count)

    def events(self, **outcomes: int) -> None:
        """Counts the events of one batch, by outcome."""
        for outcome, count in outcomes.items():
            if count:
                self._events.labels(outcome).inc(count)

    def followed(
        self,
        lag_seconds: float | None,
        events: int,
        dropped: int,
        unknown_products: int,
        failures: int,
    ) -> None:
        """How far this process has read the log; see ``Follower``."""
        lag = float("nan") if lag_seconds is None else lag_seconds
        values = (lag, events, dropped, unknown_products, failures)
        for gauge, value in zip(self._log.values(), values, strict=True):
            gauge.set(value)

    def scores(self, answered: Sequence[float], expected: Sequence[float]) -> None:
        """Counts answers by bin; see ``drift.Answers.take``."""
        for counter, counts in zip(self._scores, (answered, expected), strict=True):
            for at, count in enumerate(counts):
                if count:
                    counter.labels(str(at)).inc(count)

    def text(
        self,
        age_seconds: float | None,
        refused: int,
        drifted: Mapping[str, float] | None = None,
    ) -> bytes:
        """The exposition text.

        Args:
            age_seconds: of the served version; None: none is served, shown as
                NaN.
            refused: see ``Live.failures``.
            drifted: see ``drift_alarm.Latest``; None: there is no report.
        """
        self._age.set(float("nan") if age_seconds is None else age_seconds)
        self._refused.set(refused)
        self.flush()
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        families = list(registry.collect())
        of_report = drift_alarm.families(drifted or {})
        return generate_latest(_Collected([*families, _drift(families), *of_report]))


def _drift(families: Iterable[Metric]) -> Metric:
    """The index, out of the counts of all workers."""
    counts = {name: [0.0] * drift.BINS for name in (_ANSWERED, _EXPECTED)}
    for family in families:
        for sample in family.samples if family.name in counts else ():
            if sample.name.endswith("_total"):
                counts[family.name][int(sample.labels["bin"])] += sample.value
    found = GaugeMetricFamily(_PSI, _OF_PSI)
    found.add_metric([], drift.psi(counts[_ANSWERED], counts[_EXPECTED]))
    return found
