"""The prediction table: truth and probabilities, one row per image; all that evaluation knows of a model."""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.datasets.images import images_of
from carina.datasets.manifest import Dataset, Split, labels_of
from carina.errors import DataError
from carina.findings import NORMAL, finding_key, may_be_normal, order_findings
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.places import how_to_train
from carina.progress import Progress, no_progress

_PROBABILITY = "probability:"
# Not the patient: the table is passed on, and the group says all that statistics need to know of who is who.
_ABOUT_THE_IMAGE = ("sha256", "finding", "source", "view", "age", "sex", "group")


def predict_rows(predictor: Predictor, rows: pl.DataFrame, *, progress: Progress = no_progress) -> pl.DataFrame:
    """Return the prediction table of rows of a manifest.

    Its columns: image (the path below the folder that holds all; where
    patients are known the first digits of the hash), sha256, finding (the truth), source, view,
    age, sex, group, called (the most probable finding), assessable (whether ``carina predict`` would say so much),
    refused (why not),
    ``probability:<finding>`` for each, elapsed_ms.

    Raises
    ------
    DataError
        If an image cannot be read, or is not the one that was imported: a figure over the remaining ones would not be
        the figure of the set.
    """
    predicted = []
    # An image of a data set that cannot be judged raises its error.
    judged = cast("Iterator[Prediction]", predictor.predict(images_of(rows)))
    for done, prediction in enumerate(judged, start=1):
        # What is refused counts like the rest: a figure without it would be a figure of easier images.
        given = prediction.network_probabilities
        predicted.append(
            {
                "called": max(given, key=given.__getitem__),
                "assessable": prediction.refused is None,
                "refused": prediction.refused,
            }
            | {_PROBABILITY + finding: value for finding, value in given.items()}
            | {"elapsed_ms": prediction.elapsed_ms}
        )
        progress(done, rows.height)
    # Where patients are known, folders and file names may carry who they are.
    anonymous = rows["patient"].is_not_null().any()
    names = rows["sha256"].str.head(12).to_list() if anonymous else _names_below_common_folder(rows["path"].to_list())
    return rows.select(pl.Series("image", names), *_ABOUT_THE_IMAGE).hstack(
        pl.DataFrame(predicted, schema_overrides={"refused": pl.String})
    )


def rows_to_judge(dataset: Dataset, split: Split, findings: Sequence[str]) -> pl.DataFrame:
    """Return the rows of a split, for a model that knows these findings.

    Raises
    ------
    DataError
        If the split holds a finding that the model does not know.
    """
    rows = dataset.rows(split)
    unknown = [finding for finding in order_findings(rows["finding"].to_list()) if finding not in findings]
    if unknown:
        raise DataError(_not_known(dataset, rows, unknown, findings))
    return rows


def _not_known(dataset: Dataset, rows: pl.DataFrame, unknown: Sequence[str], findings: Sequence[str]) -> str:
    """Return what a person can do who has findings that the model does not know; never to call them something else."""
    count: dict[str, int] = dict(rows.group_by("finding").len().iter_rows())
    told = ", ".join(f"{name} ({count[name]})" for name in unknown)
    known = [name for name in findings if name in count]
    words = [
        f"{dataset.folder} has findings that the model does not know: {told}. The model knows: {', '.join(findings)}."
    ]
    for name in unknown:
        same = next((finding for finding in findings if finding_key(finding) == finding_key(name)), None)
        if same is not None:
            rename = shlex.quote(f"{name}={same}")
            words.append(f"{name} and {same} are spellings of one finding: import again with --rename {rename}.")
        elif NORMAL in findings and may_be_normal(name, [other for other in count if other != name]):
            words.append(f"If {name} is normal, import again with --normal {shlex.quote(name)}.")
    # On normal images alone next to nothing can be measured.
    if set(known) - {NORMAL}:
        chosen = shlex.quote(",".join(known))
        words.append(f"To leave these images out, import again with --findings {chosen}.")
    words.append(f"To have these findings judged, train a model on them. {how_to_train(dataset.folder)}")
    return " ".join(words)


def findings_of(table: pl.DataFrame) -> tuple[str, ...]:
    """Return the findings of a prediction table, in the order of the model's logits."""
    return tuple(name.removeprefix(_PROBABILITY) for name in table.columns if name.startswith(_PROBABILITY))


def probabilities_of(table: pl.DataFrame) -> NDArray[np.float64]:
    """Return float64 ``(n, findings)``, columns in the order of `findings_of`."""
    return table.select(_PROBABILITY + finding for finding in findings_of(table)).to_numpy().astype(np.float64)


def truth_of(table: pl.DataFrame) -> NDArray[np.int64]:
    """Return the index of the true finding: int64 ``(n,)``."""
    return labels_of(table, findings_of(table))


def groups_of(table: pl.DataFrame) -> NDArray[np.int64]:
    """Return a number for each patient or set of near-duplicates: int64 ``(n,)``."""
    return table["group"].to_numpy().astype(np.int64)


def _names_below_common_folder(paths: list[str]) -> list[str]:
    # The prediction table is passed on and committed; the folders of the machine it was made on are nobody's business.
    folder = os.path.commonpath([str(Path(path).parent) for path in paths])
    return [Path(os.path.relpath(path, folder)).as_posix() for path in paths]
