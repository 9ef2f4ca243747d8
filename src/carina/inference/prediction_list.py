"""What a model says of several images: a table, a file, and a summary that counts everything."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from carina.decisions.triage import PRIORITIES, READING_PLACES
from carina.errors import ConfigurationError
from carina.extras import needed_for
from carina.inference.left_out import say_left_out
from carina.inference.prediction import AnyPrediction, FailedPrediction, Prediction, boxed_result, shown_name
from carina.inference.results import Csv
from carina.notebook import lines_html, table_html
from carina.storage.atomic import whole_file
from carina.wording import counted

if TYPE_CHECKING:
    import pandas as pd  # no dependency
    import polars as pl

FAILED = "failed"
PASSED_OVER = "passed over"
# As images are to be read. What failed was not judged either, so it has the place of what could not be judged.
_PLACES: dict[str, int] = {name: READING_PLACES[name] for name in PRIORITIES}
_PLACES[FAILED] = _PLACES["not-assessable"]
ROW_ORDER: tuple[str, ...] = tuple(sorted(_PLACES, key=_PLACES.__getitem__))


class Predictions(tuple[AnyPrediction, ...]):
    """What a model says of several images, in the order in which they were given.

    Each item is a `Prediction`, or a `FailedPrediction` for an image that could not be judged.

    Parameters
    ----------
    items
        The predictions.
    rows
        How they become rows of a table.
    left_out
        How many files in the named folders and archives are no images and were left out, by kind.

    Attributes
    ----------
    left_out
        As given.
    """

    left_out: Mapping[str, int]
    _rows: Csv

    def __new__(cls, items: Iterable[AnyPrediction], *, rows: Csv, left_out: Mapping[str, int]) -> Self:
        """Return the predictions."""
        made = super().__new__(cls, items)
        made._rows, made.left_out = rows, MappingProxyType(dict(left_out))
        return made

    @property
    def judged(self) -> tuple[Prediction, ...]:
        """Return the images that were judged: each has a finding and probabilities."""
        return tuple(each for each in self if isinstance(each, Prediction) and each.finding is not None)

    @property
    def refused(self) -> tuple[Prediction, ...]:
        """Return the images that were read and are not assessable: nothing is said about their findings."""
        return tuple(each for each in self if isinstance(each, Prediction) and each.finding is None)

    @property
    def failed(self) -> tuple[FailedPrediction, ...]:
        """Return what could not be read, without the objects that only belong to a study beside its images."""
        return tuple(each for each in self if isinstance(each, FailedPrediction) and not each.passed_over)

    def summary(self) -> str:
        """Return how many images have each priority, were refused and failed, and which files were left out."""
        counts = Counter(map(said_of, self))
        said = (summary(counts), say_passed_over(counts[PASSED_OVER]), say_left_out(self.left_out))
        return "\n".join(line for line in said if line)

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the rows of ``carina predict --csv`` to a file, which is replaced if it exists.

        Parameters
        ----------
        path
            The file. Its columns are described in ``docs/reference/output.md``.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        with whole_file(Path(path)) as temporary:
            temporary.write_text(self._csv(), encoding="utf-8", newline="")

    def to_polars(self) -> "pl.DataFrame":
        """Return the rows of ``carina predict --csv`` as a table; what is empty there is null.

        Probabilities are numbers with six decimals, ``gate_accepted`` is a truth value, the rest is text.
        """
        with needed_for("to_polars"):
            import polars as pl  # noqa: PLC0415  # predicting does without tables

        as_numbers = {name: pl.Float64 for name in self._rows.columns if name.startswith("probability:")}
        text = pl.read_csv(self._csv().encode(), infer_schema=False, schema_overrides=as_numbers)
        return text.with_columns(pl.col("gate_accepted") == "true")

    def to_pandas(self) -> "pd.DataFrame":
        """Return the table of `to_polars` as one of pandas.

        Raises
        ------
        ConfigurationError
            If pandas is not installed.
        """
        return as_pandas(self.to_polars())

    def _csv(self) -> str:
        rows = (self._rows.row(each, None) for each in self if isinstance(each, Prediction) or not each.passed_over)
        return self._rows.header + "".join(rows)

    def __repr__(self) -> str:
        return f"<carina.Predictions of {counted(len(self), 'image')}. {' '.join(self.summary().splitlines())}>"

    def _repr_html_(self) -> str:
        rows = [_cells(prediction, place) for place, prediction in enumerate(self, start=1)]
        return boxed_result(table_html(("image", "priority", "finding", "reason"), rows), lines_html(self.summary()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Come back whole from a copy or another process."""
        return partial(Predictions, rows=self._rows, left_out=dict(self.left_out)), (tuple(self),)


def as_pandas(table: "pl.DataFrame") -> "pd.DataFrame":
    """Return a table of polars as one of pandas.

    Raises
    ------
    ConfigurationError
        If pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415  # no dependency
    except ModuleNotFoundError:
        msg = "to_pandas needs pandas, which is not installed: pip install pandas. to_polars needs nothing more."
        raise ConfigurationError(msg) from None
    return pd.DataFrame(table.to_dict(as_series=False))


def _cells(prediction: AnyPrediction, place: int) -> tuple[str, str, str, str]:
    name = shown_name(prediction.path, place)
    if isinstance(prediction, FailedPrediction):
        return name, PASSED_OVER if prediction.passed_over else "not judged", "", str(prediction.error)
    shares, finding = prediction.probabilities, prediction.finding
    said = "" if finding is None or shares is None else f"{finding} {shares[finding]:.2f}"
    return name, prediction.triage.priority, said, prediction.triage.reason


def said_of(prediction: AnyPrediction) -> str:
    """Return the word for an image in tables and counts: its priority, that it failed, or that it was passed over."""
    if isinstance(prediction, Prediction):
        return prediction.triage.priority
    return PASSED_OVER if prediction.passed_over else FAILED


def summary(counts: Counter[str]) -> str:
    """Return how many images have each priority, were refused and failed, by the words of `said_of`."""
    refused, failed = counts["not-assessable"], counts[FAILED]
    judged = [(counts[said], said) for said in ROW_ORDER if counts[said] and said not in ("not-assessable", FAILED)]
    total = sum(count for count, _ in judged)
    each = f" ({', '.join(f'{count:,} {said}' for count, said in judged)})" if judged else ""
    said = f"Judged: {counted(total, 'image')}{each}. Refused (not-assessable): {refused:,}."
    return f"{said} Failed: {failed:,}."


def say_passed_over(count: int) -> str | None:
    """Return how many objects were passed over; None where there were none."""
    if not count:
        return None
    return (
        f"{counted(count, 'object')} beside the images passed over: reports, presentation states, documents or answers "
        "of Carina's own."
    )
