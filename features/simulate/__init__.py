"""A seeded shop in all ten tables whose laws are arguments."""

from features.simulate.shop import TRUTHS, simulate
from features.simulate.truths import Truths, catalogue, truths_of

__all__ = ["TRUTHS", "Truths", "catalogue", "simulate", "truths_of"]
