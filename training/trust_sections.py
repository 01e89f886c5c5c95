"""The sections on trust: over time, for every kind of customer, features, leaks."""

from __future__ import annotations

from training import pictures
from training.details import Details
from training.findings import plain
from training.groups import Breakdown, Group
from training.importance import Importance
from training.leaks import Leaks, Strongest
from training.metrics import MODEL
from training.section import Grid, Section, number
from training.stability import Moment, Stability


def stability(found: Stability) -> Section:
    """The same comparison at many cutoffs."""
    known = [
        m for m in found.moments if m.models[MODEL]["auc"] == m.models[MODEL]["auc"]
    ]
    answer = "At no cutoff were there both buyers and others."
    if known:
        errors = [m.models[MODEL]["ece"] for m in known]
        gains = [m.models[MODEL]["auc"] - m.models[_rival(m)]["auc"] for m in known]
        answer = (
            f"Ours ranks best at {sum(gain > 0 for gain in gains)} of {len(known)} "
            f"cutoffs; its AUC less that of the best baseline there is {min(gains):+.3f} "
            f"to {max(gains):+.3f}, its calibration error {min(errors):.3f} to "
            f"{max(errors):.3f}."
        )
    if found.left_out:
        missing = "; ".join(f"{o.cutoff:%Y-%m-%d}: {o.reason}" for o in found.left_out)
        answer = f"{answer} Left out: {missing}."
    return Section(
        "Does it hold over time?",
        "Every point is a build of its own with what was known on that day. The AUC is "
        "how often a customer who buys is ranked above one who does not; 0.5 is chance. "
        "The scale does not start there.",
        answer,
        pictures.stability(found.moments),
        tuple(
            _moments_grid(found, key, title)
            for key, title in (
                ("auc", "AUC"),
                ("brier", "Brier score, the lower the better"),
                ("ece", "calibration error, the lower the better"),
            )
        ),
    )


def _rival(moment: Moment) -> str:
    rivals = [name for name in moment.models if name != MODEL]
    return max(rivals, key=lambda name: moment.models[name]["auc"])


def _moments_grid(found: Stability, key: str, title: str) -> Grid:
    names = list(found.moments[0].models)
    rows = [
        (plain(name), *(number(m.models[name][key], ".3f") for m in found.moments))
        for name in names
    ]
    if key == "auc":
        rows += [
            ("customers", *(f"{m.customers:,}" for m in found.moments)),
            ("bought", *(f"{m.base_rate:.1%}" for m in found.moments)),
        ]
    head = ("model", *(f"{m.cutoff:%Y-%m-%d}" for m in found.moments))
    return Grid(title, head, tuple(rows))


def groups(details: Details) -> Section:
    """Every kind of customer, and which dimensions know them."""
    lines = [one for part in details.breakdowns for one in part.groups]
    known = [one for one in lines if one.auc[MODEL] == one.auc[MODEL]]
    answer = "No property parts the customers into groups that are large enough."
    if known:
        better = sum(one.auc[MODEL] > one.auc[_rival_in(one)] for one in known)
        worst = min(known, key=lambda one: one.auc[MODEL])
        home = next(p.name for p in details.breakdowns if worst in p.groups)
        answer = (
            f"Ours ranks best in {better} of {len(known)} groups; least well told apart "
            f"are those with {home.replace('_', ' ')}: {worst.name} (AUC {worst.auc[MODEL]:.3f})."
        )
    return Section(
        "Is it as good for every kind of customer?",
        "A group's AUC only compares customers of that group, so alike customers have a "
        "lower one. Promised and bought should be close; the calibration error grows by "
        "mere chance as groups get smaller: in parentheses.",
        f"{answer} {_available(details)}".strip(),
        None,
        (_groups_grid(details.breakdowns),) if lines else (),
    )


def _available(details: Details) -> str:
    """Which dimensions know everybody, or nobody."""
    everybody = [name for name, share in details.availability.items() if share == 1]
    nobody = [name for name, share in details.availability.items() if share == 0]
    said: list[str] = []
    if everybody:
        said.append(f"Data of everybody: {', '.join(everybody)}.")
    if nobody:
        said.append(f"Data of nobody: {', '.join(nobody)}.")
    return " ".join(said)


def _rival_in(group: Group) -> str:
    return max((n for n in group.auc if n != MODEL), key=lambda name: group.auc[name])


def _groups_grid(parts: tuple[Breakdown, ...]) -> Grid:
    head = (
        "group",
        "customers",
        "bought",
        "promised",
        "our AUC",
        "best baseline",
        "calibration error (by chance)",
    )
    rows: list[tuple[str, ...]] = []
    for part in parts:
        for one in part.groups:
            rival = _rival_in(one)
            name = f"{part.name.replace('_', ' ')}: {one.name}"
            if one is part.groups[-1] and part.pooled and not part.dropped:
                name += f" ({part.pooled} small {'group' if part.pooled == 1 else 'groups'})"
            rows.append(
                (
                    name,
                    f"{one.customers:,}",
                    number(one.base_rate, ".1%"),
                    number(one.promised, ".1%"),
                    number(one.auc[MODEL], ".3f"),
                    f"{number(one.auc[rival], '.3f')} {plain(rival)}",
                    f"{one.ece:.3f} ({one.ece_by_chance:.3f})",
                )
            )
        if part.dropped:
            name = f"{part.name.replace('_', ' ')}: in smaller groups, without figures"
            rows.append((name, f"{part.dropped:,}", *[""] * 5))
    return Grid("", head, tuple(rows))


def importance(found: Importance) -> Section:
    """The features that move scores."""
    answer = "No feature moves any score: every customer has the same."
    if found.top:
        first = found.top[0]
        main, share = next(iter(found.dimensions.items()))
        answer = (
            f"Strongest is {first.feature} ({first.meaning}) with {first.share:.0%} of "
            f"all movement; {found.used} features are used, and {share:.0%} of the "
            f"movement comes from the {main} dimension."
        )
    return Section(
        "What moves the score?",
        f"How far each feature pushes the scores of {found.customers:,} customers up or "
        "down on average, as a share of all pushes, at the last cutoff. It says what the "
        "model goes by, not what makes people buy.",
        answer,
        pictures.weights(found.top),
        (
            Grid(
                "by dimension",
                ("dimension", "share"),
                tuple((name, number(s, ".1%")) for name, s in found.dimensions.items()),
            ),
            Grid(
                f"the {len(found.top)} strongest features",
                ("feature", "dimension", "share", "log odds", "meaning"),
                tuple(
                    (
                        w.feature,
                        w.dimension,
                        f"{w.share:.1%}",
                        f"{w.moved:.3f}",
                        w.meaning,
                    )
                    for w in found.top
                ),
                words=frozenset({4}),
            ),
        ),
    )


def leaks(found: Leaks) -> Section:
    """Both checks, with a verdict in words."""
    shuffled, alone = found.interval, found.strongest
    rows = (
        (
            f"AUC of {len(found.shuffled)} fits on shuffled answers, 99% interval",
            f"{number(shuffled.value, '.3f')} ({number(shuffled.low, '.3f')} to "
            f"{number(shuffled.high, '.3f')})",
            "interval holds 0.5 or less",
            _of_shuffled(found),
        ),
        (
            f"AUC of the strongest feature alone ({alone.feature or 'none'})",
            number(alone.auc, ".3f"),
            f"at most {number(alone.limit, '.3f')}",
            _of_strongest(alone),
        ),
    )
    answer = "No alarm."
    if found.is_alarm or alone.is_alarm:
        answer = "There is an alarm: trust no figure here before it is understood."
    elif shuffled.value == shuffled.value:
        answer = (
            f"No alarm: trained on shuffled answers the AUC is {shuffled.value:.3f} "
            f"({shuffled.low:.3f} to {shuffled.high:.3f}), which is chance, and no "
            "feature knows too much by itself."
        )
    return Section(
        "Is it too good to be true?",
        "First check: the model is trained on answers that were dealt out to the wrong "
        "customers, so it must be no better than chance, 0.5. Second: no feature may by "
        "itself make less than half of the ranking errors of the best baseline, as one "
        "that knows the answer would.",
        answer,
        None,
        (
            Grid(
                "",
                ("check", "found", "allowed", "verdict"),
                rows,
                words=frozenset({0, 3}),
            ),
        ),
    )


def _of_shuffled(found: Leaks) -> str:
    if found.interval.value != found.interval.value:
        return "not defined: all bought or none did"
    if found.is_alarm:
        return (
            "ALARM: answers reach the scores by another way than the labels that are "
            "learned from"
        )
    return "pass: nothing is learned from shuffled answers"


def _of_strongest(alone: Strongest) -> str:
    if alone.feature is None:
        return "not defined: no feature, or all bought or none did"
    if alone.is_alarm:
        return (
            f"ALARM: {alone.feature} knows too much by itself; make sure that it was "
            "known before the cutoff"
        )
    return "pass: no feature knows too much by itself"
