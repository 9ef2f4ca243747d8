"""The last layer of a model, fitted again to a site's films and drawn towards the weights that were shipped.

The new logits are ``a + z (b + B) + e W``: z are the shipped logits, e is the embedding with mean 0 and spread 1 at the
site. Ridges draw the number b towards 1, and a, B and W towards 0. With few films little moves; with many the films
decide. The map is linear in the embedding, as z is, so it becomes one last layer again.

Source: Evgeniou and Pontil 2004, doi:10.1145/1014052.1014067 (a ridge towards an earlier model).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carina.bundles.graph_head import GraphHead
from carina.decisions.probabilities import softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    from carina.evaluation.adaptation.site import SiteFilms

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]
Bools = NDArray[np.bool_]

STRENGTHS = (1000.0, 300.0, 100.0)
"""Ridges on W, in units of one patient's likelihood, the strongest first: cross-validation chooses one."""
FOLDS = 5
# On the development halves of `tb-pakistan`, `external-cohen` and `nih`, 3 to 300 were alike.
_LOGIT_RIDGE, _OFFSET_RIDGE, _TRUST_RIDGE = 100.0, 1.0, 1.0
# The spread of a feature on 25 films is a rough guess: one that hardly varies there must not be blown up.
_SPREAD_FLOOR = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Refit:
    """A change of the last layer.

    Attributes
    ----------
    offset, mixing, kernel
        float64 ``(k,)``, ``(shipped findings, k)`` and ``(embedding, k)``: what is added, how the shipped logits are
        mixed, and what the embedding as it is adds.
    strength
        The ridge.
    """

    offset: Floats
    mixing: Floats
    kernel: Floats
    strength: float

    def logits(self, films: SiteFilms) -> Floats:
        """Return float64 ``(n, k)``."""
        shipped, embedding = films.logits.astype(np.float64), films.embedding.astype(np.float64)
        return np.asarray(self.offset + shipped @ self.mixing + embedding @ self.kernel)

    def folded(self, shipped: GraphHead) -> GraphHead:
        """Return the last layer that gives these logits from the embedding alone."""
        kernel = shipped.kernel.astype(np.float64) @ self.mixing + self.kernel
        bias = shipped.bias.astype(np.float64) @ self.mixing + self.offset
        return GraphHead(kernel.astype(np.float32), bias.astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit:
    """What refits gave for films that they had not seen.

    Attributes
    ----------
    logits
        float64 ``(n, k)``, each by a refit to the other folds.
    strength
        The ridge with the lowest log loss on them.
    """

    logits: Floats
    strength: float


def start_from(shipped: Sequence[str], findings: Sequence[str]) -> Floats:
    """Return the mixing that leaves shipped logits as they are: float64 ``(shipped, findings)``; a new one gets 0."""
    return np.array([[float(old == new) for new in findings] for old in shipped])


def refit_head(
    films: SiteFilms, labels: Integers, groups: Integers, start: Floats, strengths: Sequence[float] = STRENGTHS
) -> list[Refit]:
    """Return a refit for each strength.

    Every patient counts once. A finding that no film has keeps its logit as it was shipped: the films tell the others
    apart from it, and do not make it rarer.

    Parameters
    ----------
    films
        Of the site.
    labels
        int ``(n,)``, range [0, k).
    groups
        int ``(n,)``: the patient of each film.
    start
        See `start_from`.
    strengths
        Ridges on the embedding's weights, falling.
    """
    from scipy.optimize import minimize  # noqa: PLC0415  # half a second to import

    shipped = films.logits.astype(np.float64)
    mean, scale = _standardisation(films.embedding)
    standard = (films.embedding - mean) / scale
    logit_scale = np.maximum(shipped.std(axis=0), 1e-6)
    features = np.concatenate([np.ones((len(labels), 1)), shipped / logit_scale, standard], axis=1)
    present = np.unique(labels)
    absent = np.setdiff1d(np.arange(start.shape[1]), present)
    truth = (labels[:, None] == np.arange(start.shape[1])).astype(np.float64)
    base, weights = shipped @ start, _patient_weights(groups)
    shape, logits = (features.shape[1], len(present)), shipped.shape[1]
    ridge = np.zeros((features.shape[1], 1))

    def moved(trust: float, at: Floats) -> Floats:
        changed = trust * base
        changed[:, present] += features @ at
        return changed

    def loss(flat: Floats) -> tuple[float, Floats]:
        trust, at = float(flat[0]), flat[1:].reshape(shape)
        now = moved(trust, at)
        error = weights[:, None] * (softmax(now) - truth)
        drawn = _TRUST_RIDGE * (trust - 1) ** 2 + float((ridge * at**2).sum())
        gradient = features.T @ error[:, present] + ridge * at
        slope = float((error * base).sum()) + _TRUST_RIDGE * (trust - 1)
        return float(weights @ _log_losses(now, truth)) + drawn / 2, np.append(slope, gradient)

    refits, flat = [], np.append(1.0, np.zeros(shape))
    for strength in strengths:
        ridge[:, 0] = np.repeat([_OFFSET_RIDGE, _LOGIT_RIDGE, strength], [1, logits, standard.shape[1]])
        flat = minimize(loss, flat, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
        trust, at = float(flat[0]), flat[1:].reshape(shape)
        whole = np.zeros((features.shape[1], start.shape[1]))
        whole[:, present] = at
        if len(absent):
            # These films cannot say that what none of them has is rare: on average it stays as likely as it was.
            now = moved(trust, at)
            whole[0, present] -= _mean_log_odds(base, absent, present) - _mean_log_odds(now, absent, present)
        kernel = whole[1 + logits :] / scale[:, None]
        mixing = trust * start + whole[1 : 1 + logits] / logit_scale[:, None]
        refits.append(Refit(whole[0] - mean @ kernel, mixing, kernel, strength))
    return refits


def cross_fit(films: SiteFilms, labels: Integers, groups: Integers, start: Floats, *, seed: int = 1234) -> CrossFit:
    """Return what refits give for films of patients whom they have not seen, with the strength that does best there."""
    fold = split_patients(labels, groups, FOLDS, seed=seed)
    logits = np.zeros((len(STRENGTHS), len(labels), start.shape[1]))
    for number in range(FOLDS):
        train, held = fold != number, fold == number
        for place, refit in enumerate(refit_head(films[train], labels[train], groups[train], start)):
            logits[place, held] = refit.logits(films[held])
    weights, truth = _patient_weights(groups), np.eye(start.shape[1])[labels]
    best = int(np.argmin([weights @ _log_losses(each, truth) for each in logits]))
    return CrossFit(logits[best], STRENGTHS[best])


def split_patients(labels: Integers, groups: Integers, folds: int, *, seed: int) -> NDArray[np.int64]:
    """Return the fold of each film, int64 ``(n,)``: patients whole, each finding spread evenly over the folds."""
    patients, first = np.unique(groups, return_index=True)
    order = np.random.default_rng(seed).permutation(len(patients))
    # By the finding of a patient's first film, then dealt out like cards.
    order = order[np.argsort(labels[first][order], kind="stable")]
    fold_of = np.empty(len(patients), np.int64)
    fold_of[order] = np.arange(len(patients)) % folds
    return np.asarray(fold_of[np.searchsorted(patients, groups)])


def _standardisation(embedding: NDArray[np.float32]) -> tuple[Floats, Floats]:
    mean, spread = embedding.mean(axis=0, dtype=np.float64), embedding.std(axis=0, dtype=np.float64)
    floor = _SPREAD_FLOOR * float(np.median(spread))
    return mean, np.maximum(spread, floor if floor > 0 else 1.0)


def _mean_log_odds(logits: Floats, these: Integers, those: Integers) -> float:
    """Return the mean over films of the log-odds of some findings against others."""
    return float(np.mean(np.logaddexp.reduce(logits[:, these], axis=1) - np.logaddexp.reduce(logits[:, those], axis=1)))


def _patient_weights(groups: Integers) -> Floats:
    _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(1 / sizes[place])


def _log_losses(logits: Floats, truth: Floats) -> Floats:
    top = logits.max(axis=1)
    return np.asarray(top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - (logits * truth).sum(axis=1))
