"""Ratings of a small made-up set of battles, by numpy and scipy alone.

Writes crates/ratings/tests/golden/ratings.json: the battles (from a seed) and what sequential Elo,
Bradley-Terry by scipy.optimize, Rao and Kupper's ties, style control and the sandwich estimator
make of them, each written from its formula over single battles. Needs numpy and scipy:

    python benches/peers/ratings_golden.py
"""

import json
import pathlib

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

SEED, MODELS, BATTLES = 20230523, 7, 350
POINTS = 400 / np.log(10)
TARGET = pathlib.Path(__file__).parents[2] / "crates/ratings/tests/golden/ratings.json"


def make():
    rng = np.random.default_rng(SEED)
    skill = rng.normal(0, 0.8, MODELS)
    rows = []
    for _ in range(BATTLES):
        a, b = (int(x) for x in rng.choice(MODELS, 2, replace=False))
        style = [[int(rng.gamma(4, 60)) + 1] + [int(x) for x in rng.poisson([1, 3, 2])] for _ in range(2)]
        lean = 0.6 * (style[0][0] - style[1][0]) / (style[0][0] + style[1][0])
        u = rng.random()
        tie = rng.random() < 0.25
        winner = 2 if tie else int(u > expit(skill[a] - skill[b] + lean))
        rows.append([a, b, winner, *style[0], *style[1]])
    return rows


def elo(rows, k=32.0):
    ratings = [1000.0] * MODELS
    for a, b, winner, *_ in rows:
        expected = 1 / (1 + 10 ** ((ratings[b] - ratings[a]) / 400))
        moved = k * ([1.0, 0.0, 0.5][winner] - expected)
        ratings[a] += moved
        ratings[b] -= moved
    return ratings


def maximum(loss, unknowns):
    """The last model's strength is held at zero, so that nothing is free."""
    start = np.zeros(unknowns)
    start[MODELS - 1 :] = 0.1
    for method in ("BFGS", "Newton-CG"):
        start = minimize(lambda x: loss(x)[0], start, jac=lambda x: loss(x)[1], method=method, tol=1e-12).x
    return start


def centred(theta):
    return 1000 + POINTS * (theta - theta.mean())


def design(rows):
    x = np.zeros((len(rows), MODELS))
    x[np.arange(len(rows)), [r[0] for r in rows]] = 1
    x[np.arange(len(rows)), [r[1] for r in rows]] = -1
    y = np.array([[1.0, 0.0, 0.5][r[2]] for r in rows])
    return x, y


def logistic(x, y):
    free = x.shape[1] - 1
    keep = np.delete(np.arange(x.shape[1]), MODELS - 1)

    def loss(beta):
        u = x[:, keep] @ beta
        value = -(y * log_expit(u) + (1 - y) * log_expit(-u)).sum()
        return value, -(x[:, keep].T @ (y - expit(u)))

    beta = np.zeros(x.shape[1])
    beta[keep] = maximum(loss, free)
    p = expit(x @ beta)
    information = np.linalg.pinv(x.T @ (x * (p * (1 - p))[:, None]), rcond=1e-10)
    scores = x * (y - p)[:, None]
    return beta, information @ (scores.T @ scores) @ information


def rao_kupper(rows):
    a, b, w = (np.array([r[k] for r in rows]) for k in range(3))

    def value(beta):
        theta, eta = np.append(beta[:-1], 0.0), np.exp(beta[-1])
        d = theta[a] - theta[b]
        tie = np.log(-np.expm1(-2 * eta)) + log_expit(eta + d) + log_expit(eta - d)
        return -np.choose(w, [log_expit(d - eta), log_expit(-d - eta), tie]).sum()

    def loss(beta):
        h = 1e-6
        steps = np.eye(MODELS) * h
        slope = [(8 * (value(beta + s) - value(beta - s)) - value(beta + 2 * s) + value(beta - 2 * s)) / (12 * h) for s in steps]
        return value(beta), np.array(slope)

    beta = maximum(loss, MODELS)
    return np.append(beta[:-1], 0.0), float(np.exp(np.exp(beta[-1])))


def style(rows):
    features = np.array([r[3:] for r in rows], dtype=float)
    a, b = features[:, :4], features[:, 4:]
    total = a + b
    x = np.where(total > 0, (a - b) / np.where(total > 0, total, 1), 0)
    spread = np.sqrt((x**2).mean(0))
    pairs, y = design(rows)
    beta, covariance = logistic(np.hstack([pairs, x / spread]), y)
    return beta, covariance, spread


def main():
    rows = make()
    x, y = design(rows)
    half, half_covariance = logistic(x, y)
    decided = [r for r in rows if r[2] != 2]
    skip, _ = logistic(*design(decided))
    tied, nu = rao_kupper(rows)
    styled, styled_covariance, spread = style(rows)
    anchored = half - half[3]
    contrast = np.eye(MODELS) - np.eye(MODELS)[3]
    golden = {
        "seed": SEED,
        "columns": "a, b, winner (0 a, 1 b, 2 tie), length, headers, lists, bold of a, then of b",
        "battles": rows,
        "elo_k32": elo(rows),
        "bradley_terry_half": centred(half).tolist(),
        "bradley_terry_skip": centred(skip).tolist(),
        "anchored_at_3_to_1200": (1200 + POINTS * anchored).tolist(),
        "sandwich_error": (POINTS * np.sqrt(np.diag(half_covariance))).tolist(),
        "sandwich_error_anchored": (POINTS * np.sqrt(np.diag(contrast @ half_covariance @ contrast.T))).tolist(),
        "rao_kupper": centred(tied).tolist(),
        "rao_kupper_nu": nu,
        "style": centred(styled[:MODELS]).tolist(),
        "style_error": (POINTS * np.sqrt(np.diag(styled_covariance)[:MODELS])).tolist(),
        "style_coefficients": (POINTS * styled[MODELS:]).tolist(),
        "style_coefficient_error": (POINTS * np.sqrt(np.diag(styled_covariance)[MODELS:])).tolist(),
        "style_spread": spread.tolist(),
    }
    text = json.dumps(golden)
    TARGET.write_text(text.replace("], [", "],\n[").replace(', "', ',\n"') + "\n")


main()
