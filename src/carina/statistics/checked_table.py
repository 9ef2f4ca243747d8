"""A prediction table is checked before anything is measured: truth, probabilities, names and prevalences.

Each check returns its array or names in one form, and says which row is wrong and what to do.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from carina.errors import ConfigurationError, DataError
from carina.statistics.intervals import FloatArray, IntArray, refuse_rows


def check_truth(truth: IntArray, findings: int) -> IntArray:
    """Return the true findings as an int array (n,), each in 0 .. findings - 1.

    Raises
    ------
    DataError
        If the table is empty, a finding is unknown (-1) or out of range, or the array is not int (n,).
    """
    truth = np.asarray(truth)
    if truth.ndim != 1 or (truth.size and truth.dtype.kind not in "iu"):
        msg = f"truth has dtype {truth.dtype} and shape {truth.shape}. Give integers (n,)."
        raise DataError(msg)
    if len(truth) == 0:
        msg = "The prediction table is empty. Give at least one image with a known finding."
        raise DataError(msg)
    unknown, remedy = truth == -1, "Unknown is not negative: drop these rows before measuring."
    refuse_rows(unknown, lambda _: f"the true finding is unknown (-1), as in {int(unknown.sum())} rows. {remedy}")
    wrong = (truth < 0) | (truth >= findings)
    refuse_rows(wrong, lambda row: f"true finding {truth[row]} is not one of 0 to {findings - 1}.")
    return truth.astype(np.int_)


def check_probabilities(probabilities: FloatArray, n: int, findings: int) -> FloatArray:
    """Return the probabilities as a float64 array (n, k) whose rows sum to 1 within 0.001.

    Raises
    ------
    DataError
        If the shape is wrong, or a row holds NaN, a number outside [0, 1], or does not sum to 1.
    """
    table = np.asarray(probabilities, dtype=np.float64)
    if table.shape != (n, findings):
        msg = (
            f"probabilities has shape {table.shape}; this truth and these findings need {(n, findings)}. "
            "Give one row an image and one column a finding."
        )
        raise DataError(msg)
    problems = (
        (np.isnan(table).any(axis=1), "holds NaN", "Predict this image again, or drop it and say so."),
        (((table < 0) | (table > 1)).any(axis=1), "leaves [0, 1]", "Give probabilities, not logits."),
        (
            np.abs(table.sum(axis=1) - 1) > 1e-3,
            "does not sum to 1",
            "Give calibrated probabilities of all findings.",
        ),
    )
    for rows, what, remedy in problems:
        if rows.any():
            row = int(np.argmax(rows))
            msg = f"Row {row} (from 0): the probabilities {table[row].tolist()}: {what}. {remedy}"
            raise DataError(msg)
    return table


def check_findings(findings: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the findings.

    Raises
    ------
    DataError
        If there are fewer than two, or one occurs twice.
    """
    names = tuple(findings)
    if len(names) < 2 or len(set(names)) != len(names):
        msg = f"findings is {list(names)}. Give at least two names, each once."
        raise DataError(msg)
    return names


def check_predicted(predicted: IntArray | None, probabilities: FloatArray) -> IntArray:
    """Return the predicted finding of each image: the most probable one unless given."""
    if predicted is None:
        return np.asarray(probabilities.argmax(axis=1))
    predicted, (n, findings) = np.asarray(predicted), probabilities.shape
    if predicted.shape != (n,) or predicted.dtype.kind not in "iu":
        msg = f"predicted has dtype {predicted.dtype} and shape {predicted.shape}. Give {n} integers."
        raise DataError(msg)
    wrong = (predicted < 0) | (predicted >= findings)
    remedy = "A missing prediction may not be skipped: predict this image."
    refuse_rows(wrong, lambda row: f"predicted finding {predicted[row]} is not one of 0 to {findings - 1}. {remedy}")
    return predicted.astype(np.int_)


def check_prevalences(prevalence: Mapping[str, float] | None, findings: tuple[str, ...]) -> dict[str, float]:
    """Return the stated prevalences by finding.

    Raises
    ------
    ConfigurationError
        If a finding is unknown, or a prevalence does not lie between 0 and 1.
    """
    stated = dict(prevalence or {})
    for name, share in stated.items():
        if name not in findings:
            msg = f"prevalence names {name!r}. Known findings: {', '.join(findings)}."
            raise ConfigurationError(msg)
        if not 0 < share < 1:
            msg = f"prevalence of {name!r} is {share}. Give a share between 0 and 1."
            raise ConfigurationError(msg)
    return stated
