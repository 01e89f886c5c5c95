"""What a request may ask of a list beyond the best n products."""

from __future__ import annotations

from dataclasses import dataclass

from serving.catalogue import Catalogue, Weight


class RuleError(ValueError):
    """A rule that this request or this shop cannot have.

    Attributes:
        field: name of the argument.
    """

    def __init__(self, field: str, said: str) -> None:
        super().__init__(f"{field}: {said}")
        self.field = field


@dataclass(frozen=True)
class Rules:
    """Rules of a list. The defaults ask for nothing.

    Where not all can be kept, the later one yields:

    1. Filters, service lives and ``max_per_category`` never yield: a list is
       shorter only where no more products pass them.
    2. ``min_new_arrivals``: as many as pass, if fewer pass.
    3. ``new_share``: what one lane cannot fill, the other does.
    4. The order by ``weight_by`` and ``diversity``.

    Attributes:
        max_per_category: at most so many products of one category, at least 1.
            Products without a category are not limited. None: no limit.
        diversity: 0 (off) to 1, see ``choose``.
        weight_by: what the offers are ordered by: ``probability``, ``value``
            (probability times price) or ``margin`` (times margin rate, too). A
            product whose price or margin rate is unknown counts as 0; ties keep
            the order of probability.
        min_new_arrivals: at least so many products that arrived lately.
        new_arrival_days: lately: ``[cutoff - new_arrival_days, cutoff)``, by
            ``launched_at``, else by the first sale.
        new_share: share of *mixed* for products never bought, 0 to 1; see
            ``new_slots``. None: by expected value.
    """

    max_per_category: int | None = None
    diversity: float = 0.0
    weight_by: Weight = "probability"
    min_new_arrivals: int = 0
    new_arrival_days: int = 28
    new_share: float | None = None

    @property
    def asked(self) -> bool:
        """Whether a list is anything but the best n."""
        return (
            self.new_share is not None
            or self.max_per_category is not None
            or self.diversity > 0
            or self.min_new_arrivals > 0
            or self.weight_by != "probability"
        )

    def new_slots(self, n: int) -> int | None:
        """Lines for products never bought; None: by expected value.

        The nearest whole number to ``new_share * n``, halves upwards: a quarter
        of ten is three.
        """
        if self.new_share is None:
            return None
        # 0.29 * 50 is a hair below 14.5 in binary.
        return int(round(self.new_share * n, 9) + 0.5)


NO_RULES = Rules()

_ANY = float("inf")
_BOUNDS = (
    ("max_per_category", 1, _ANY),
    ("diversity", 0, 1),
    ("min_new_arrivals", 0, _ANY),
    ("new_arrival_days", 1, _ANY),
    ("new_share", 0, 1),
)


def check(rules: Rules, n: int, lane: str, catalogue: Catalogue) -> None:
    """That the rules are in range, fit each other and can be kept in this shop.

    Raises:
        RuleError: one does not.
    """
    _in_range(rules)
    if rules.min_new_arrivals > n:
        raise RuleError(
            "min_new_arrivals",
            f"expected at most n = {n}, got {rules.min_new_arrivals}",
        )
    if rules.new_share is not None and lane != "mixed":
        raise RuleError("new_share", f"expected with list mixed only, got list {lane}")
    if rules.max_per_category is not None and not catalogue.categories:
        raise RuleError("max_per_category", "expected categories, got products without")
    if rules.diversity > 0 and not catalogue.levels:
        raise RuleError(
            "diversity",
            "expected categories, subcategories or brands, got products without",
        )
    weighed = rules.weight_by
    if weighed != "probability" and not catalogue.orders[weighed].each.any():
        needed = "prices" if weighed == "value" else "prices and margin rates"
        raise RuleError("weight_by", f"expected {needed}, got products without")


def _in_range(rules: Rules) -> None:
    for name, low, high in _BOUNDS:
        got = getattr(rules, name)
        if got is not None and not low <= got <= high:
            bounds = f"at least {low}" if high == _ANY else f"{low} to {high}"
            raise RuleError(name, f"expected {bounds}, got {got}")
