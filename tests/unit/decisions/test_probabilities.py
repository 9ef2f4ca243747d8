"""Probabilities as text."""

from carina.decisions.probabilities import probability_in_words


def test_a_probability_is_shown_as_0_or_1_only_where_it_is() -> None:
    assert [probability_in_words(p) for p in (1.0, 0.0, 0.5, 0.994, 0.996, 0.99998, 0.00004)] == [
        *("1.00", "0.00", "0.50", "0.994", "0.996", "0.99998", "0.00004"),
    ]
