"""What an estimator is unbiased for: its exact expected gradient beside the gradients of J_t.

Whether E g is a combination of grad J_t for every policy is decided by the `characterization`, on
the function itself; bandits, enumerated exactly, then show how far E g is from grad J_K and in what
direction, and are a second witness: they see all orders of the samples.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from maxpo_jax.bandits import exact, multisets
from maxpo_jax.report_card import bandits as small_bandits
from maxpo_jax.report_card import characterization
from maxpo_jax.report_card.bandits import SmallBandit
from maxpo_jax.report_card.characterization import Lines
from maxpo_jax.report_card.subject import Subject
from maxpo_jax.report_card.verdicts import Counterexample, Verdict, show, small

TOLERANCE = characterization.TOLERANCE
"""Largest relative residual of an identity, for the precision of the function."""

_ROUNDING = 1e-12
_STANDARD_ERRORS = 3.0
_DRAWS, FEW_DRAWS = 400, 60
_SEEDS_APART = 1_000_000
_MOST_GROUPS_WITH_A_KEY = 10_000
_MOST_OWN_MULTISETS = 20_000


@dataclasses.dataclass(frozen=True)
class Moments:
    """Exact moments of g on each bandit.

    Attributes:
      bandits: where.
      means: E g on each, [n] each.
      variances: E|g - E g|^2 on each.
      standard_errors: of each mean over the keys that were tried, [n] each; zero without a key.
      not_finite: groups on which the advantages were not finite, and were counted as zero.
    """

    bandits: tuple[SmallBandit, ...]
    means: list[np.ndarray]
    variances: list[float]
    standard_errors: list[np.ndarray]
    not_finite: int


@dataclasses.dataclass(frozen=True)
class Target:
    """The best multiple of one gradient.

    Attributes:
      order: t of J_t.
      scale: the multiple c of grad J_t.
      residual: largest residual, relative; see `characterization.Fit`.
      exact: whether the residual is rounding (or, with a key, sampling) error.
      scale_error: how far these errors may put `scale` off.
    """

    order: int
    scale: float
    residual: float
    exact: bool
    scale_error: float

    @property
    def positive(self) -> bool:
        """Whether E g is a positive multiple of grad J_t."""
        return self.exact and self.scale > self.scale_error

    @property
    def unbiased(self) -> bool:
        """Whether E g = grad J_t."""
        return bool(self.exact and abs(self.scale - 1.0) <= self.scale_error)


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What E g is.

    Attributes:
      k: K.
      lines: the groups behind it, in which one reward changes.
      moments: the exact moments on bandits.
      target: the best multiple of grad J_K.
      other: an exact multiple of another grad J_t, or None.
      mixture: {t: c_t} with E g = sum_t c_t grad J_t exactly, or None.
      relative_bias: largest |E g - grad J_K| / |grad J_K| over the bandits.
      bias_norm: largest |E g - grad J_K| over the bandits.
      cosine: smallest cosine of E g to grad J_K over the bandits.
      scales: smallest and largest of the best multiples on single bandits.
    """

    k: int
    lines: Lines
    moments: Moments
    target: Target
    other: Target | None
    mixture: dict[int, float] | None
    relative_bias: float
    bias_norm: float
    cosine: float
    scales: tuple[float, float]

    @property
    def unbiased(self) -> bool:
        """Whether E g = grad J_K."""
        return self.target.unbiased

    @property
    def sentence(self) -> str:
        """What E g is, in words."""
        kinds = [bandit.binary for bandit in self.moments.bandits]
        where = f"{len(kinds)} bandits ({kinds.count(False)} real, {kinds.count(True)} binary)"
        keys = ""
        if any(error.any() for error in self.moments.standard_errors):
            keys = ", which is the sampling error of its keys"
        if self.unbiased:
            error = f"relative error {small(self.relative_bias)}"
            return f"E g = grad J_{self.k} on {where}, {error}{keys}"
        if self.target.exact and self.target.scale != 0.0:
            return (
                f"E g = {self.target.scale:.6g} grad J_{self.k} on {where}, "
                f"residual {small(self.target.residual)}{keys}"
            )
        return f"{self._what_instead()}; {self.distance}"

    @property
    def distance(self) -> str:
        """How far E g is from grad J_K, in numbers."""
        low, high = self.scales
        return (
            f"against grad J_{self.k}: relative bias up to {self.relative_bias:.3g}, "
            f"cosine down to {self.cosine:.4f}, best scale {self.target.scale:.4g} "
            f"({low:.3g} to {high:.3g})"
        )

    def _what_instead(self) -> str:
        if not any(np.abs(mean).max() > 1e-12 for mean in self.moments.means):
            return "E g = 0: nothing is learned"
        if self.other is not None:
            multiple = "" if self.other.unbiased else f"{self.other.scale:.6g} "
            return f"E g = {multiple}grad J_{self.other.order}, not of J_{self.k}"
        if self.mixture is not None:
            terms = (f"{c:.4g} grad J_{t}" for t, c in self.mixture.items())
            return "E g = " + " + ".join(terms).replace("+ -", "- ")
        return "E g is no multiple of any grad J_t, nor a mixture of them"


def moments(
    subject: Subject,
    bandits: tuple[SmallBandit, ...],
    group_size: int,
    k: int,
    *,
    draws: int = _DRAWS,
) -> Moments:
    """Exact mean and variance of g on each bandit, by enumeration.

    With a key, all groups are enumerated under several draws of the keys, one for each group: only
    the keys are sampled, never the groups.

    Args:
      subject: the function under test.
      bandits: where.
      group_size: B.
      k: K.
      draws: how often the keys are drawn, if there are any.

    Returns:
      The moments; the variance is that over groups and keys together.

    Raises:
      ValueError: if there are too many groups to enumerate.
    """
    not_finite = 0

    def advantages(rewards: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
        nonlocal not_finite
        values = subject.advantages(np.asarray(rewards), k, seed=seed)
        finite = np.isfinite(values).all(axis=1)
        not_finite += int((~finite).sum())
        return np.where(finite[:, None], values, 0.0)

    means, variances, errors = [], [], []
    for bandit in bandits:
        if subject.randomized:
            mean, variance, error = _sampled(advantages, bandit, group_size, k, draws)
        else:
            rewards = np.array(bandit.rewards)
            mean, covariance = exact.moments(advantages, bandit.logits, rewards, group_size, k)
            variance, error = float(np.trace(covariance)), np.zeros(len(mean))
        means.append(mean)
        variances.append(variance)
        errors.append(error)
    return Moments(bandits, means, variances, errors, not_finite)


def _sampled(
    advantages: Callable[..., np.ndarray], bandit: SmallBandit, group_size: int, k: int, draws: int
) -> tuple[np.ndarray, float, np.ndarray]:
    """Mean, variance and standard error of the mean over all groups and a sample of the keys."""
    n = len(bandit.probs)
    total = multisets.num_ordered(n, group_size)
    if total > _MOST_GROUPS_WITH_A_KEY:
        raise ValueError(
            f"with a key all {total:,} ordered groups of {n} actions have to be enumerated many "
            f"times, which is done for up to {_MOST_GROUPS_WITH_A_KEY:,}: take a smaller group_size"
        )
    actions, log_weights = multisets.ordered(np.arange(total), bandit.logits, group_size)
    weights = np.exp(log_weights)
    scores = k / group_size * (np.eye(n)[actions] - np.array(bandit.probs)[None, None, :])
    rewards = np.array(bandit.rewards)[actions]
    means, squares = [], []
    for draw in range(draws):
        g = np.einsum("gi,gia->ga", advantages(rewards, k, draw * _SEEDS_APART), scores)
        means.append(weights @ g)
        squares.append(weights @ (g**2).sum(axis=1))
    mean = np.mean(means, axis=0)
    variance = float(np.mean(squares) - mean @ mean)
    return mean, variance, np.std(means, axis=0, ddof=1) / np.sqrt(draws)


def target(found: Lines, order: int) -> Target:
    """The multiple of grad J_t that E g is closest to, by the `characterization`."""
    best = characterization.fit(found, (order,))
    return Target(order, best.scales[order], best.residual, best.exact, best.scale_error)


def expectation(subject: Subject, group_size: int, k: int, *, draws: int = _DRAWS) -> Expectation:
    """What the expected gradient of the function is, for every policy and on the panel."""
    lines = characterization.lines(subject, group_size, k, draws=draws)
    main = target(lines, k)
    other = mixture = None
    if not main.exact:
        others = (target(lines, t) for t in range(1, group_size + 1) if t != k)
        other = next((fit for fit in others if fit.exact), None)
        mixture = None if other else characterization.mixture(lines)
    panel = small_bandits.panel(subject.reward_type)
    if not (main.exact or other or mixture):  # the panel may be where nothing is to be seen
        panel = (*panel, *_own_bandit(lines, group_size))
    found = moments(subject, panel, group_size, k, draws=draws)
    main = _second_witness(found, main, TOLERANCE[subject.precision])
    truth = small_bandits.gradients(panel, k)
    both = list(zip(found.means, truth, strict=True))
    alone = [float(m @ g / (g @ g)) for m, g in both]
    return Expectation(
        k=k,
        lines=lines,
        moments=found,
        target=main,
        other=other,
        mixture=mixture,
        relative_bias=max(_norm(m - g) / _norm(g) for m, g in both),
        bias_norm=max(_norm(m - g) for m, g in both),
        cosine=min(_cosine(m, g) for m, g in both),
        scales=(min(alone), max(alone)),
    )


def _second_witness(found: Moments, main: Target, tolerance: float) -> Target:
    """The target, no longer exact where E g on the bandits is another multiple of grad J_K.

    With a key the bandits know the multiple better: they average over all groups. Groups on which
    the advantages are not finite count as zero there, and make no bias here.
    """
    if not main.exact or found.not_finite:
        return main
    truth = small_bandits.gradients(found.bandits, main.order)
    rows = list(zip(found.means, truth, found.standard_errors, strict=True))
    noise = _norm(np.concatenate([error / _norm(g) for _, g, error in rows]))
    if noise == 0.0:
        far = np.array([_norm(m - main.scale * g) for m, g, _ in rows])
        allowed = tolerance * abs(main.scale) * np.array([_norm(g) for g in truth])
        rounding = _ROUNDING * np.sqrt(found.variances)  # where the gradient is next to nothing
        return dataclasses.replace(main, exact=bool((far <= allowed + rounding).all()))
    multiples = [float(m @ g / (g @ g)) for m, g, _ in rows]
    scale = float(np.mean(multiples))
    left = _norm(np.concatenate([(m - scale * g) / _norm(g) for m, g, _ in rows]))
    error = _STANDARD_ERRORS * noise / np.sqrt(len(rows)) + tolerance
    exact = left <= _STANDARD_ERRORS * noise + tolerance
    agree = abs(scale - main.scale) <= error + main.scale_error
    error = float(error)
    return dataclasses.replace(main, scale=scale, scale_error=error, exact=bool(exact and agree))


def _own_bandit(lines: Lines, group_size: int) -> tuple[SmallBandit, ...]:
    """A bandit that pays the rewards of the worst line, if it is small enough to enumerate."""
    line = lines.rewards[characterization.fit(lines, (lines.k,)).worst]
    rewards = np.unique(line)
    n = len(rewards)
    too_many = multisets.num_multisets(n, group_size) > _MOST_OWN_MULTISETS
    if n < 2 or too_many or lines.noise.any():
        return ()
    probs = np.linspace(1.0, 2.0, n) / np.linspace(1.0, 2.0, n).sum()
    return (SmallBandit("where it is worst", tuple(rewards.tolist()), tuple(probs.tolist())),)


def check(subject: Subject, group_size: int, k: int) -> list[Verdict]:
    """Verdicts unbiased and unbiased_up_to_scale at one group size.

    Args:
      subject: the function under test.
      group_size: B.
      k: K.

    Returns:
      The two verdicts, with everything that is known about E g in their details.
    """
    found = expectation(subject, group_size, k, draws=FEW_DRAWS)
    return verdicts(subject, found, group_size)


def verdicts(subject: Subject, found: Expectation, group_size: int) -> list[Verdict]:
    """The verdicts that follow from an expectation."""
    exact_multiple = found.target.positive
    details = {
        "scale": found.target.scale,
        "residual": found.target.residual,
        "relative_bias": found.relative_bias,
        "bias_norm": found.bias_norm,
        "cosine": found.cosine,
        "scale_on_single_bandits": found.scales,
        "unbiased_for": _unbiased_for(found),
        "mixture": found.mixture,
        "groups_not_finite": found.moments.not_finite,
        "bandits": _table(found),
    }
    example = example_scaled = None
    if not found.unbiased:
        example = simplest_failure(subject, group_size, found.k, None)
        example = example or characterization.counterexample(found.lines, 1.0)
    if not exact_multiple and found.target.exact:
        example_scaled = example
    elif not exact_multiple:
        scale = found.target.scale
        example_scaled = simplest_failure(subject, group_size, found.k, scale)
        example_scaled = example_scaled or characterization.counterexample(found.lines, scale)
    note = " (groups that are not finite count as zero)" if found.moments.not_finite else ""
    return [
        Verdict(
            "unbiased",
            found.unbiased,
            found.sentence + note,
            found.relative_bias,
            example,
            details,
        ),
        Verdict(
            "unbiased_up_to_scale",
            exact_multiple,
            f"one multiple for all policies: {found.target.scale:.6g}, "
            f"residual {small(found.target.residual)}",
            found.target.residual,
            None if exact_multiple else example_scaled,
        ),
    ]


def simplest_failure(
    subject: Subject, group_size: int, k: int, scale: float | None
) -> Counterexample | None:
    """The simplest bandit on which E g is not (a given multiple of) grad J_K."""
    panel = small_bandits.simple(subject.reward_type) + small_bandits.panel(subject.reward_type)
    for bandit in panel:
        found = moments(subject, (bandit,), group_size, k, draws=FEW_DRAWS)
        (mean,), (error,) = found.means, found.standard_errors
        expected = (1.0 if scale is None else scale) * small_bandits.gradients((bandit,), k)[0]
        tolerance = TOLERANCE[subject.precision] * np.linalg.norm(expected) + 4.0 * np.linalg.norm(
            error
        )
        if np.linalg.norm(mean - expected) > tolerance:
            multiple = "" if scale is None else f"{scale:.4g} "
            setting = (
                f"policy {show(bandit.probs)}, group size {group_size}: "
                f"exact E g against {multiple}grad J_{k}"
            )
            return Counterexample(bandit.rewards, k, mean, expected, setting)
    return None


def _unbiased_for(found: Expectation) -> str:
    if found.unbiased:
        return f"J_{found.k}"
    if found.target.exact:
        return f"{found.target.scale:.6g} J_{found.k}"
    if found.other is not None:
        return f"{found.other.scale:.6g} J_{found.other.order}"
    if found.mixture is not None:
        terms = (f"{c:.6g} J_{t}" for t, c in found.mixture.items())
        return " + ".join(terms).replace("+ -", "- ")
    return "nothing"


def _table(found: Expectation) -> list[dict[str, object]]:
    truth = small_bandits.gradients(found.moments.bandits, found.k)
    rows = zip(found.moments.bandits, found.moments.means, truth, strict=True)
    return [
        {
            "name": bandit.name,
            "rewards": bandit.rewards,
            "probs": bandit.probs,
            "mean": mean,
            "gradient": gradient,
            "cosine": _cosine(mean, gradient),
            "scale": float(mean @ gradient / (gradient @ gradient)),
            "relative_bias": float(np.linalg.norm(mean - gradient) / np.linalg.norm(gradient)),
        }
        for bandit, mean, gradient in rows
    ]


def _norm(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size > 0.0 else 0.0
