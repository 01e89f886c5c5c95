"""What predictions rest on besides a customer's own history, as of one cutoff."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from features.history import History
from features.snapshot import Snapshot
from training.artifacts import Bundle
from training.due_rows import Usual, usual_at
from training.fresh_basis import FreshBasis, basis_of
from training.generators.fitted import Generators
from training.habits import sort_habits
from training.moment import Moment, moment_at, sort_history
from training.survey import Survey
from training.value import Worth, worth_of


@dataclass(frozen=True)
class Ground:
    """Learned from the customers of a survey at a cutoff; serves all others.

    Attributes:
        survey: whom it was learned from.
        snapshot: the cutoff, and the horizon of predictions.
        generators: for the survey's customers.
        fresh: what folds in fresh events.
        usual: purchases of product groups.
        worth: how often and for how much customers buy.
    """

    survey: Survey
    snapshot: Snapshot
    generators: Generators
    fresh: FreshBasis
    usual: Usual
    worth: Worth

    @property
    def moment(self) -> Moment:
        """Of the survey's customers; its counts and shelf are of all."""
        return self.generators.moment

    def generators_of(self, history: History) -> Generators:
        """The generators for the customers of a history of the same input."""
        if history is self.survey.history:
            return self.generators
        snapshot, counts = self.snapshot, self.moment.counts
        ordered = sort_history(history)
        return self.generators.at(
            moment_at(ordered, snapshot.cutoff, snapshot.horizon_days, counts)
        )


def ground_of(bundle: Bundle, survey: Survey, rows: pa.Table) -> Ground:
    """The ground of a bundle's predictions at the end of a survey's history.

    Args:
        bundle: fitted then or before.
        survey: with a census of that moment, if any.
        rows: of ``assemble`` at that moment, of the survey's customers.
    """
    history, model = survey.history, bundle.recommender
    snapshot = Snapshot(history.until, bundle.horizon_days)
    ordered = sort_history(history)
    generators = model.generators(ordered, history.until, survey.census(snapshot))
    return Ground(
        survey,
        snapshot,
        generators,
        basis_of(ordered, generators, bundle.horizon_days, model.fresh, model.config),
        usual_at(sort_habits(history), snapshot.cutoff_us),
        worth_of(history, rows, snapshot, bundle.spend),
    )
