"""Films without labels: how frequent the findings are, and which to label next."""

import numpy as np

from carina.evaluation.adaptation.unlabelled import choose_next, estimate_prevalence

FINDINGS = ("a", "b", "c")


def _said(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what a model of modest worth says of films: right on average, and unsure."""
    certainty = rng.beta(2, 1.5, len(truth))[:, None]
    return certainty * np.eye(3)[truth] + (1 - certainty) * rng.dirichlet(np.ones(3), len(truth))


def test_the_share_of_findings_is_found_where_only_that_differs() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 80)
    labelled = _said(labels, rng)
    covered = []
    for draw in range(8):
        truth = rng.choice(3, 300, p=[0.1, 0.7, 0.2])
        shares = estimate_prevalence(_said(truth, rng), labelled, labels, FINDINGS, seed=draw)
        assert abs(sum(share.value or 0 for share in shares.values()) - 1) < 1e-6
        covered += [(shares[f].low or 0) <= np.mean(truth == i) <= (shares[f].high or 0) for i, f in enumerate("abc")]
    assert np.mean(covered) >= 0.85
    # To count what the model is most sure of would be wrong by far.
    assert abs(labelled.mean(axis=0) - 1 / 3).max() < 0.05


def test_a_finding_without_labelled_films_has_no_share() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 30)
    shares = estimate_prevalence(_said(labels, rng), _said(labels, rng), labels, FINDINGS)
    assert shares["c"].value is None
    assert shares["c"].note == "no labelled film has it"


def test_three_of_four_to_label_next_are_undecided_and_one_is_drawn_whatever_the_model_thinks() -> None:
    rng = np.random.default_rng(3)
    sure, unsure = np.array([0.98, 0.01, 0.01]), np.array([0.34, 0.33, 0.33])
    table = np.array([sure] * 90 + [unsure] * 10)
    chosen = choose_next(table, 12)
    assert len({film.place for film in chosen}) == 12
    informative = [film.place for film in chosen if film.chosen == "informative"]
    drawn = [film.place for film in chosen if film.chosen == "random"]
    assert (len(informative), len(drawn)) == (9, 3)
    assert min(informative) >= 90
    other = [film.place for film in choose_next(table[rng.permutation(100)], 12) if film.chosen == "random"]
    assert other == drawn
    assert len(choose_next(table, 500)) == 100
