"""Reference values for src/evaluate/statistics from SciPy and statsmodels: python make_statistics.py > statistics.json"""
import json
import numpy as np
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(20261124)


def pairs(n, teacher, keep, gain):
    t = (rng.random(n) < teacher).astype(float)
    s = np.where(t == 1, rng.random(n) < keep, rng.random(n) < gain).astype(float)
    return s, t


def graded(n):
    t = rng.integers(0, 4, n) / 3
    s = np.clip(t - (rng.random(n) < 0.3) * rng.integers(0, 3, n) / 3, 0, 1)
    return s, t


def ratio(s, t, axis=-1):
    return np.mean(s, axis=axis) / np.mean(t, axis=axis)


def bootstraps():
    out = []
    for name, (s, t) in {
        "right or wrong": pairs(200, 0.8, 0.95, 0.3),
        "nearly faultless": pairs(300, 1.0, 0.97, 0.0),
        "graded": graded(150),
        "weak teacher": pairs(400, 0.5, 0.9, 0.35),
    }.items():
        row = {"name": name, "student": s.tolist(), "teacher": t.tolist()}
        for method in ("percentile", "BCa"):
            ci = stats.bootstrap((s, t), ratio, paired=True, vectorized=True, n_resamples=200000, batch=2000,
                                 confidence_level=0.95, alternative="greater", method=method, rng=7)
            row[method] = ci.confidence_interval.low
        out.append(row)
    return out


print(json.dumps({
    "made_with": {"scipy": scipy.__version__, "statsmodels": statsmodels.__version__, "numpy": np.__version__},
    "bootstrap": bootstraps(),
    "wilson": [
        {"successes": k, "n": n, "confidence": c, "lower": lo, "upper": hi}
        for k, n, c in [(0, 10, .95), (10, 10, .95), (7, 10, .9), (95, 100, .95), (480, 500, .99), (1, 1000, .95)]
        for lo, hi in [proportion_confint(k, n, alpha=1 - c, method="wilson")]
    ],
    "clopper": [
        {"successes": k, "n": n, "lower": proportion_confint(k, n, alpha=0.1, method="beta")[0]}
        for k, n in [(10, 10), (59, 59), (58, 59), (98, 100), (290, 300), (950, 1000), (3, 7)]
    ],
    "normal": {
        "x": [-38, -8, -5.5, -2.33, -1, -0.1, 0, 0.5, 1.96, 4, 7.5],
        "cdf": stats.norm.cdf([-38, -8, -5.5, -2.33, -1, -0.1, 0, 0.5, 1.96, 4, 7.5]).tolist(),
        "p": [1e-12, 1e-6, 0.001, 0.02, 0.025, 0.05, 0.3, 0.5, 0.8, 0.95, 0.975, 0.999, 1 - 1e-9],
        "quantile": stats.norm.ppf([1e-12, 1e-6, 0.001, 0.02, 0.025, 0.05, 0.3, 0.5, 0.8, 0.95, 0.975, 0.999, 1 - 1e-9]).tolist(),
    },
    "mcnemar": [
        {"b": b, "c": c, "two_sided": mcnemar([[50, b], [c, 50]], exact=True).pvalue,
         "student_worse": stats.binomtest(c, b + c, 0.5, alternative="greater").pvalue}
        for b, c in [(5, 5), (0, 6), (12, 25), (1, 0), (40, 61), (300, 250)]
    ],
    "holm": [
        {"p": p, "adjusted": multipletests(p, method="holm")[1].tolist()}
        for p in [[0.01, 0.04, 0.03, 0.005], [0.2], [0.5, 0.9, 0.01, 0.01], [0.001, 0.002, 0.9, 0.04, 0.049]]
    ],
    "beta": [
        {"a": a, "b": b, "x": x, "cdf": stats.beta.cdf(x, a, b)}
        for a, b, x in [(1, 1, 0.3), (2, 5, 0.1), (50, 3, 0.95), (0.5, 0.5, 0.2), (200, 10, 0.93), (1000, 50, 0.96)]
    ],
}, indent=1))
