"""The refit of the last layer: where it is drawn to, what it leaves alone, and what is held out of what."""

import numpy as np
import pytest

from carina.bundles.graph_head import GraphHead
from carina.decisions.probabilities import softmax
from carina.evaluation.adaptation.held_out import draw_patients
from carina.evaluation.adaptation.refit import FOLDS, cross_fit, refit_head, split_patients, start_from
from carina.evaluation.adaptation.site import SiteFilms
from carina.statistics.curves import auroc


def films_of(n: int = 90, *, findings: int = 3, seed: int = 0) -> tuple[SiteFilms, np.ndarray, np.ndarray, GraphHead]:
    """Return films whose embedding shows the finding and whose shipped last layer does not read it."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % findings
    embedding = rng.normal(3, 2, (n, 12)).astype(np.float32)
    embedding[:, 4] += 3 * labels
    kernel, bias = rng.normal(0, 0.2, (12, findings)).astype(np.float32), np.ones(findings, np.float32)
    kernel[4] = 0
    head = GraphHead(kernel, bias)
    return SiteFilms(embedding @ kernel + bias, embedding, np.ones(n, np.bool_)), labels, np.arange(n), head


def test_an_endless_ridge_leaves_the_embedding_and_a_weak_one_reads_it() -> None:
    films, labels, groups, _ = films_of()
    start = start_from("abc", "abc")
    strong, weak = refit_head(films, labels, groups, start, (1e9, 1.0))
    assert np.abs(strong.kernel).max() < 1e-6
    before, after = (auroc(labels == 2, softmax(logits)[:, 2]) for logits in (films.logits, weak.logits(films)))
    assert after > 0.95 > before
    assert auroc(labels == 2, softmax(strong.logits(films))[:, 2]) < 0.8


@pytest.mark.parametrize("wanted", ["abc", "ac", "abcd"])
def test_the_refit_is_one_last_layer(wanted: str) -> None:
    films, labels, groups, head = films_of()
    start = start_from("abc", wanted)
    labels = labels % len(wanted)
    (refit,) = refit_head(films, labels, groups, start, (10.0,))
    folded = refit.folded(head)
    np.testing.assert_allclose(films.embedding @ folded.kernel + folded.bias, refit.logits(films), atol=1e-3)


def test_a_finding_without_films_becomes_neither_rarer_nor_more_frequent() -> None:
    films, labels, groups, _ = films_of()
    two = labels < 2
    films, labels, groups = films[two], labels[two], groups[two]
    (refit,) = refit_head(films, labels, groups, start_from("abc", "abc"), (1.0,))
    before, after = films.logits.astype(np.float64), refit.logits(films)
    odds = [each[:, 2] - np.logaddexp(each[:, 0], each[:, 1]) for each in (before, after)]
    assert odds[0].mean() == pytest.approx(odds[1].mean(), abs=1e-6)
    first, then = (auroc(labels == 1, each[:, 1] - each[:, 0]) for each in (before, after))
    assert then > max(0.8, first + 0.1)


def test_every_patient_counts_once() -> None:
    films, labels, groups, _ = films_of(60)
    start = start_from("abc", "abc")
    (once,) = refit_head(films, labels, groups, start, (10.0,))
    # The same films twice, as the same patients: the standardisation is the same, and so is the answer.
    twice = np.concatenate([np.arange(60), np.arange(60)])
    (again,) = refit_head(films[twice], labels[twice], groups[twice], start, (10.0,))
    np.testing.assert_allclose(again.logits(films), once.logits(films), atol=1e-2)
    (as_others,) = refit_head(films[twice], labels[twice], np.arange(120), start, (10.0,))
    assert np.abs(as_others.logits(films) - once.logits(films)).max() > 0.1


def test_what_is_given_for_a_film_does_not_depend_on_its_own_label() -> None:
    films, labels, groups, _ = films_of()
    groups = groups // 2
    start = start_from("abc", "abc")
    crossed = cross_fit(films, labels, groups, start)
    fold = split_patients(labels, groups, FOLDS, seed=1234)
    refits = refit_head(films[fold != 0], labels[fold != 0], groups[fold != 0], start)
    (same,) = [refit for refit in refits if refit.strength == crossed.strength]
    np.testing.assert_allclose(crossed.logits[fold == 0], same.logits(films[fold == 0]), atol=1e-9)


def test_folds_and_draws_keep_patients_whole_and_findings_even() -> None:
    labels = np.repeat([0, 1], [40, 20])
    groups = np.arange(60) // 2
    fold = split_patients(labels, groups, 5, seed=3)
    assert all(len(np.unique(fold[groups == group])) == 1 for group in groups)
    assert all(((labels == 0) & (fold == number)).sum() == 8 for number in range(5))
    # An odd number would cut a patient with two films: it gets both.
    for films in (29, 30):
        drawn = draw_patients(labels, groups, films, seed=5)
        assert len(drawn) == 30
        assert 8 <= (labels[drawn] == 1).sum() <= 12
        assert len(np.unique(groups[drawn])) == 15
    assert not np.array_equal(drawn, draw_patients(labels, groups, 30, seed=6))
