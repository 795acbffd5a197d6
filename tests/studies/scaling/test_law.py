"""The scaling law: its fit, what it refuses, its optima, its figure."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize, minimize_scalar

from cloud_jax.studies.paper import read_paper
from cloud_jax.studies.scaling import fitting as scaling
from cloud_jax.studies.scaling.figures import scaling_figure
from cloud_jax.studies.scaling.fitting import ScalingError, fit, optimum
from cloud_jax.studies.scaling.law import Law

PAPER = Law(*(read_paper()["scaling"][name] for name in scaling.CONSTANTS))

N, D = (
    grid.ravel()
    for grid in np.meshgrid(np.geomspace(1e5, 1e8, 5), np.geomspace(1e6, 3e8, 4))
)


def noisy(seed, law=PAPER, noise=0.01):
    return law.loss(N, D) * np.exp(noise * np.random.default_rng(seed).normal(size=20))


def test_points_without_noise_give_the_constants():
    for law in (PAPER, Law(406.4, 410.7, 1.69, 0.34, 0.28)):  # Hoffmann's, too
        found = fit(N, D, law.loss(N, D), samples=800)
        np.testing.assert_allclose(found.law, law, rtol=1e-6)
        assert found.error < 1e-9
        assert found.warnings == ()


def test_intervals_hold_the_constants():
    held = []
    for seed in range(6):
        found = fit(N, D, noisy(seed), samples=300)
        ends = np.array([found.interval(name) for name in scaling.CONSTANTS])
        held.append((ends[:, 0] <= PAPER) & (ends[:, 1] >= PAPER))
        low, high = found.interval("alpha")
        assert 0 < high - low < 0.3  # an interval that says something
        assert low < found.law.alpha < high
    assert np.sum(held, axis=0).min() >= 5


def test_few_points_take_percentiles_further_out():
    """Worked by hand: P = 20 has 15 free, t = 2.1314, reach 2.4612, tail 0.00692."""
    even = np.linspace(0, 1, 10_001)
    few = scaling.Fit(PAPER, PAPER, 20, 0.95, 0.0, ())
    assert few.between(even) == pytest.approx((0.00692, 0.99308), abs=1e-5)
    many = few._replace(points=10**7)
    assert many.between(even) == pytest.approx((0.025, 0.975), abs=1e-5)


def test_one_bad_run_does_not_move_the_law():
    loss = noisy(0, noise=0.001)
    loss[7] *= 1.5
    np.testing.assert_allclose(fit(N, D, loss, samples=2).law[2:], PAPER[2:], rtol=0.05)


def test_the_order_of_the_points_does_not_matter():
    loss, order = noisy(1), np.random.default_rng(0).permutation(20)
    one, two = fit(N, D, loss), fit(N[order], D[order], loss[order])
    assert one.law == two.law
    assert one.interval("beta") == two.interval("beta")


def test_gradient_against_finite_differences():
    x = np.stack([np.log(N) - np.log(N).mean(), np.log(D) - np.log(D).mean()])
    log_loss = np.log(noisy(2))
    rng = np.random.default_rng(0)
    for _ in range(5):
        theta = np.append(rng.normal(-1, 0.3, 3), rng.uniform(0.2, 0.6, 2))
        _, gradient = scaling.objective(theta, x, log_loss)
        found = approx_fprime(
            theta, lambda t: scaling.objective(t, x, log_loss)[0], 1e-7
        )
        np.testing.assert_allclose(gradient, found, rtol=1e-4)


def test_samples_are_minimised_as_well_as_by_lbfgs():
    x = np.stack([np.log(N) - np.log(N).mean(), np.log(D) - np.log(D).mean()])
    log_loss = np.log(noisy(3))
    weight = np.random.default_rng(0).multinomial(20, np.full(20, 0.05), size=4)
    start = np.array([-1.5, -1.5, -1.5, 0.4, 0.4])
    bounds = scaling._bounds(log_loss)
    ends = scaling._descend(start, x, log_loss, weight, bounds)
    for end, times in zip(ends, weight, strict=True):
        drawn = x.repeat(times, axis=1), log_loss.repeat(times)
        best = minimize(scaling.objective, end, drawn, jac=True, method="L-BFGS-B")
        assert scaling.objective(end, *drawn)[0] <= best.fun * (1 + 1e-3)


def test_optimum_is_the_least_loss_that_the_compute_buys():
    """Equations 5 and 6, by minimising numerically."""
    for flops in (1e12, 1e18, 1e24):
        found = minimize_scalar(
            lambda log_n, c=flops: PAPER.loss(np.exp(log_n), c / 6 / np.exp(log_n)),
            bounds=(0, 40),
            method="bounded",
            options={"xatol": 1e-9},
        )
        parameters, tokens = PAPER.optimum(flops)
        assert parameters == pytest.approx(np.exp(found.x), rel=1e-5)
        assert 6 * parameters * tokens == pytest.approx(flops, rel=1e-12)


def test_exponents_of_the_paper():
    assert round(PAPER.a, 3) == 0.448
    assert round(PAPER.b, 3) == 0.552
    assert PAPER.a + PAPER.b == pytest.approx(1, abs=1e-15)


def test_optimum_of_a_fit_has_intervals_that_hold_the_truth():
    found = optimum(fit(N, D, noisy(4)), 1e16)
    parameters, tokens = PAPER.optimum(1e16)
    loss = PAPER.loss(parameters, tokens)
    for name, true in (("parameters", parameters), ("tokens", tokens), ("loss", loss)):
        low, high = found[f"{name}_interval"]
        assert low < true < high
        assert low < found[name] < high
    with pytest.raises(ScalingError, match="budget -1: expected a finite number"):
        optimum(fit(N, D, noisy(4), samples=2), -1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, d, loss: (n[:5], d[:5], loss[:5]), "5 points cannot hold five"),
        (lambda n, d, loss: (n, d, loss[:19]), "different lengths"),
        (lambda n, d, loss: (n, d, loss * np.nan), "loss of point 1 is nan"),
        (lambda n, d, loss: (n, -d, loss), "tokens of point 1 is -1000000"),
        (lambda n, d, loss: (n * 0, d, loss), "parameters of point 1 is 0"),
        (lambda n, d, loss: (np.minimum(n, 2e5), d, loss), "2 different values of par"),
        (lambda n, d, loss: (n, d * 0 + np.arange(20) + 1e6, loss), "1 different val"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message):
    with pytest.raises(ScalingError, match=message):
        fit(*change(N, D, noisy(0)), samples=2)


@pytest.mark.parametrize(
    ("law", "noise", "message"),
    [
        (PAPER._replace(E=1e-9), 0.01, "E is not told apart from 0"),
        (PAPER._replace(A=1e-9), 0.01, "alpha is not identified"),
        (PAPER._replace(B=1e-9), 0.01, "beta is not identified"),
    ],
)
def test_what_the_points_do_not_tell_is_said(law, noise, message):
    found = fit(N, D, noisy(0, law, noise), samples=200)
    assert any(message in warning for warning in found.warnings), found.warnings
    # What it says of a budget may be nonsense but is a number.
    best = optimum(found, 1e16)
    assert np.isfinite(np.hstack(list(best.values()))).all()
    assert best["parameters"] >= 1
    assert np.isfinite(found.law.G)


def test_sizes_that_only_grow_with_the_data_are_said():
    along = np.geomspace(1e5, 1e8, 12), np.geomspace(1e6, 3e8, 12)
    warnings = fit(*along, PAPER.loss(*along), samples=100).warnings
    assert any("N and D vary together" in warning for warning in warnings)


def test_the_extremes_of_the_samples_are_no_interval_and_it_is_said():
    keep = np.argsort(N * D)[:8]
    points = (N[keep], D[keep], noisy(0)[keep])
    warnings = fit(*points, samples=200).warnings
    assert any("8 points are too few for 95% intervals" in w for w in warnings)
    assert not any("are too few" in w for w in fit(N, D, noisy(0)).warnings)


def test_figure_has_both_panels_with_units(tmp_path):
    scaling_figure(tmp_path / "scaling.svg", PAPER, N, D, noisy(0))
    text = (tmp_path / "scaling.svg").read_text()
    for label in (
        "parameters N, without embeddings",
        "tokens seen D",
        "contours: loss (nats per masked token)",
        "training compute 6ND (FLOPs)",
        "trained models",
        "best for the compute",
        "E = 0.23",
    ):
        assert f"<!-- {label} -->" in text
