"""The committed findings against the committed data, recomputed here by other code."""

import json

import numpy as np
import pytest
import xarray as xr

from experiments.common.configuration import PROJECT_ROOT

FINDINGS = json.loads((PROJECT_ROOT / "figures" / "findings.json").read_text("utf-8"))


def data_of(figure):
    with xr.open_dataset(PROJECT_ROOT / "figures" / figure / "data.nc", engine="h5netcdf") as data:
        return data.load()


def effects_of(figure, name):
    (finding,) = [f for f in FINDINGS if (f["figure"], f["name"]) == (figure, name)]
    return {effect["where"]: effect for effect in finding["effects"]}, finding["verdict"]


def interval(values, num_effects):
    """Percentile bootstrap of a mean, resampled by counts of seeds."""
    values = np.asarray(values, np.float64)
    counts = np.random.default_rng(7).multinomial(
        len(values), np.full(len(values), 1 / len(values)), size=40_000
    )
    tail = 2.5 / num_effects
    return np.percentile(counts @ values / len(values), [tail, 100 - tail])


def assert_interval(effect, values, num_effects, back=lambda x: x):
    low, high = interval(values, num_effects)
    assert effect["estimate"] == pytest.approx(back(np.mean(values, dtype=np.float64)), rel=1e-5)
    slack = 0.1 * (high - low) + 1e-12
    assert effect["low"] == pytest.approx(back(low), abs=slack * max(1, back(high)))
    assert effect["high"] == pytest.approx(back(high), abs=slack * max(1, back(high)))


def test_what_maxpo_gains_over_rloo_on_each_bandit():
    effects, verdict = effects_of("bandit_learning", "maxpo above rloo in J_8")
    final = data_of("bandit_learning").max_at_k.isel(update=-1)
    expected = {}
    for instance, where in (("needle", "on needle"), ("ladder", "on ladder")):
        ours, theirs = (
            final.sel(instance=instance, learner=one).values for one in ("maxpo", "rloo")
        )
        assert_interval(effects[where], ours - theirs, len(effects))
        low, high = interval(ours - theirs, len(effects))
        expected[where] = "holds" if low > 0 else "does not hold" if high < 0 else "undecided"
        assert effects[where]["outcome"] in (expected[where], "tied")
        assert where in verdict or verdict == effects[where]["outcome"]


def test_where_maxpo_has_the_lower_variance_on_the_map():
    effects, _ = effects_of("variance_map", "maxpo_lower_than_ei")
    variance = data_of("variance_map").variance
    for n in variance.num_actions.values:
        maxpo, ei = (variance.sel(num_actions=n, estimator=one).values for one in ("maxpo", "ei"))
        share = np.count_nonzero(maxpo < ei) / maxpo.size
        effect = effects[f"on {n} arms"]
        assert effect["estimate"] == effect["low"] == effect["high"] == pytest.approx(share)
        assert effect["outcome"] == ("holds" if share > 0.5 else "does not hold")


def test_the_variance_ratio_in_the_maze():
    effects, _ = effects_of("maze_learning", "maxpo_variance_below_pkpo_sloo")
    data = data_of("maze_learning")
    shown = json.loads(data.attrs["config"])["shown_learning_rate"]
    final = data.final_gradient_variance.sel(learning_rate=shown)
    for where, effect in effects.items():
        k = int(where.removeprefix("at K = "))
        logs = [np.log(final.sel(estimator=e, k=k).values) for e in ("maxpo", "pkpo_sloo")]
        assert_interval(effect, logs[0] - logs[1], len(effects), back=np.exp)


def test_every_finding_has_its_numbers():
    assert len({(finding["figure"], finding["name"]) for finding in FINDINGS}) == len(FINDINGS)
    for finding in FINDINGS:
        assert finding["sentence"]
        assert finding["effects"]
        for effect in finding["effects"]:
            assert isinstance(effect["estimate"], float)
            assert effect["low"] <= effect["estimate"] <= effect["high"]
        decided = [effect for effect in finding["effects"] if effect["outcome"]]
        assert (finding["verdict"] is None) == (not decided)
