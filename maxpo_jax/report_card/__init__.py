"""The report card of an advantage estimator: is it unbiased, centered, invariant, stable, fast?"""

from maxpo_jax.estimators.wrapping import CannotCallError, RewardType
from maxpo_jax.report_card.card import CLAIMS, FACTS, Card, report_card
from maxpo_jax.report_card.verdicts import Counterexample, Verdict

__all__ = [
    "CLAIMS",
    "FACTS",
    "CannotCallError",
    "Card",
    "Counterexample",
    "RewardType",
    "Verdict",
    "report_card",
]
