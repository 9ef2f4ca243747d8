"""The tables of four public collections as they are distributed: NIH ChestX-ray14, CheXpert, RSNA and MIMIC-CXR.

Sources
-------
NIH ChestX-ray14: Wang et al., CVPR 2017, DOI 10.1109/CVPR.2017.369. CheXpert: Irvin et al., AAAI 2019,
DOI 10.1609/aaai.v33i01.3301590. RSNA Pneumonia Detection Challenge: Shih et al., Radiology: Artificial Intelligence
2019, DOI 10.1148/ryai.2019180041. MIMIC-CXR-JPG: Johnson et al., arXiv:1901.07042.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from carina.datasets.table_columns import columns_of
from carina.datasets.table_reading import Table, read_table
from carina.errors import DataError
from carina.findings import LUNG_OPACITY

PublishedLabels = Literal["nih", "chexpert", "rsna", "mimic"]
Uncertain = Literal["leave-out", "positive", "negative"]

_NO_FINDING = "No Finding"
_RSNA_OTHER = "No Lung Opacity / Not Normal"
_OTHER_ABNORMALITY = "Other abnormality"
# Of CheXpert and MIMIC-CXR. Support Devices is the fourteenth, and says nothing of the lungs.
_MARKED = (
    _NO_FINDING,
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Lesion", LUNG_OPACITY, "Edema", "Consolidation"),
    *("Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture"),
)
# How the tables are called, what their columns tell them by, and the words for a message.
_TABLES: dict[PublishedLabels, tuple[tuple[str, ...], frozenset[str], str]] = {
    "nih": (("Data_Entry_2017*.csv*",), frozenset({"Image Index", "Finding Labels"}), "Data_Entry_2017.csv"),
    "chexpert": (
        ("train.csv", "valid.csv"),
        frozenset({"Path", _NO_FINDING, "Frontal/Lateral"}),
        "train.csv, valid.csv",
    ),
    "rsna": (
        ("stage_2_detailed_class_info.csv", "stage_2_train_labels.csv"),
        frozenset({"patientId"}),
        "stage_2_detailed_class_info.csv, stage_2_train_labels.csv",
    ),
    "mimic": (
        ("mimic-cxr-*-chexpert.csv*", "mimic-cxr-*-negbio.csv*"),
        frozenset({"subject_id", "study_id", _NO_FINDING}),
        "mimic-cxr-2.0.0-chexpert.csv or -negbio.csv, with -metadata.csv or -split.csv",
    ),
}
_SIDE_VIEWS = frozenset({"LATERAL", "LL", "RL", "LLD", "RLD", "LAO", "RAO", "SWIMMERS"})


def advice_on(columns: Sequence[str]) -> str:
    """Return a sentence that names the published tables with these columns, empty if there are none."""
    fitting = [kind for kind, (_, told_by, _) in _TABLES.items() if told_by <= set(columns)]
    return f"It looks like the published table of {fitting[0]}: add --labels-as {fitting[0]}." if fitting else ""


def read_published(
    source: Path, kind: PublishedLabels, *, uncertain: Uncertain, side_views: bool
) -> Iterator[tuple[pl.DataFrame, Path, tuple[str, ...]]]:
    """Yield what each published table of a collection says of its images, the table's path, and what was left out.

    The rows are as `carina.datasets.manifest_table.images_of` takes them.

    Parameters
    ----------
    source
        The table, or the folder in which it lies under its published name; other tables that belong to it are looked
        for beside it.
    kind
        Which collection.
    uncertain
        What -1 means in CheXpert and MIMIC-CXR: the image is left out, or the finding is there, or it is not.
    side_views
        Whether to take lateral, oblique and decubitus views, too.

    Raises
    ------
    DataError
        If there is no such table, a column is missing, a cell is not one of the published ones, or no image is left.
    """
    for path in _tables(source, kind):
        table = read_table(path)
        if kind == "nih":
            rows, notes = _nih(table)
        elif kind == "chexpert":
            rows, notes = _chexpert(table, uncertain)
        elif kind == "rsna":
            rows, notes = _rsna(table)
        else:
            rows, notes = _mimic(table, uncertain)
        if not side_views and "view" in rows.columns:
            rows, more = _without_side_views(rows, path)
            notes += more
        if rows.is_empty():
            msg = f"{path} names no image that can be taken. {' '.join(notes)}"
            raise DataError(msg)
        yield rows, path, table.notes + notes


def _tables(source: Path, kind: PublishedLabels) -> list[Path]:
    """Return the tables to read; the better one of several that say the same, and both of CheXpert's two parts."""
    if not source.is_dir():
        # Of RSNA the table with the findings goes before the one that was named: the other has only boxes.
        better = source.parent / _TABLES["rsna"][0][0]
        return [better] if kind == "rsna" and better.is_file() else [source]
    patterns, _, names = _TABLES[kind]
    found = [sorted(path for path in source.glob(pattern) if path.is_file()) for pattern in patterns]
    tables = [paths[0] for paths in found if paths]
    if not tables:
        msg = f"{source} has no table of --labels-as {kind} ({names}). Name the folder in which it lies, or the table."
        raise DataError(msg)
    return tables if kind == "chexpert" else tables[:1]


def _require(table: Table, kind: PublishedLabels, *columns: str) -> None:
    missing = [name for name in columns if name not in table.cells.columns]
    if missing:
        msg = f"{table.path} has no column {missing[0]!r}, as --labels-as {kind} needs it. {columns_of(table)}"
        raise DataError(msg)


def _taken(table: Table, **fields: pl.Expr | pl.Series) -> pl.DataFrame:
    return table.cells.select(table.rows, **fields)


def _nih(table: Table) -> tuple[pl.DataFrame, tuple[str, ...]]:
    names = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position")
    _require(table, "nih", *names)
    fields = dict(zip(("path", "finding", "patient", "age", "sex", "view"), map(pl.col, names), strict=True))
    rows, notes = _taken(table, **fields), []
    split_of: dict[str, str] = {}
    for split in ("train_val", "test"):
        path = table.path.parent / f"{split}_list.txt"
        if path.is_file():
            split_of |= dict.fromkeys(path.read_text(encoding="utf-8").split(), split)
        else:
            notes.append(f"The published split is not known: there is no {path}.")
    if split_of:
        rows = rows.with_columns(split=pl.col("path").replace_strict(split_of, default=None, return_dtype=pl.String))
    return rows, tuple(notes)


def _chexpert(table: Table, uncertain: Uncertain) -> tuple[pl.DataFrame, tuple[str, ...]]:
    _require(table, "chexpert", "Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", _NO_FINDING)
    # …/train/patient00001/study1/view1_frontal.jpg
    parts = r"([^/]+)/(patient\d+)/"
    view = pl.when(pl.col("Frontal/Lateral") == "Lateral").then(pl.lit("lateral"))
    rows = _taken(
        table,
        path=pl.col("Path"),
        finding=_marked_findings(table, uncertain),
        patient=pl.col("Path").str.extract(parts, 2),
        split=pl.col("Path").str.extract(parts, 1),
        age=pl.col("Age"),
        sex=pl.col("Sex"),
        view=view.otherwise(pl.col("AP/PA").fill_null(pl.col("Frontal/Lateral"))),
    )
    return _without_marks(rows)


def _marked_findings(table: Table, uncertain: Uncertain) -> pl.Series:
    """Return the findings that are marked 1 in each row, joined; ``uncertain`` where one is -1 and that decides."""
    marks = []
    for name in (name for name in _MARKED if name in table.cells.columns):
        mark = table.cells[name].cast(pl.Float64, strict=False)
        wrong = table.cells[name].is_not_null() & ~mark.is_in([1.0, 0.0, -1.0]).fill_null(value=False)
        if wrong.any():
            msg = f"{table.path}, row {table.rows.filter(wrong)[0]}: its {name!r} is none of 1, 0, -1 and empty."
            raise DataError(msg)
        marks.append(mark.alias(name))
    present = [1.0, -1.0] if uncertain == "positive" else [1.0]
    named = [pl.when(pl.col(mark.name).is_in(present)).then(pl.lit(mark.name)) for mark in marks]
    found = pl.concat_str(named, separator="|", ignore_nulls=True)
    if uncertain == "leave-out":
        doubtful = pl.any_horizontal(pl.col(mark.name) == -1.0 for mark in marks).fill_null(value=False)
        found = pl.when(doubtful).then(pl.lit("uncertain")).otherwise(found)
    return pl.DataFrame(marks).select(finding=found)["finding"]


def _without_marks(rows: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    marked = rows["finding"].fill_null("") != ""
    count = rows.height - int(marked.sum())
    if not count:
        return rows, ()
    note = f"Left out, since no finding is marked 1, not even {_NO_FINDING}: {count} of {rows.height} images."
    return rows.filter(marked), (note,)


def _rsna(table: Table) -> tuple[pl.DataFrame, tuple[str, ...]]:
    patients = "In RSNA's tables patientId names an image: two images of one patient cannot be kept in one split."
    _require(table, "rsna", "patientId")
    image = pl.col("patientId")
    if "class" in table.cells.columns:
        rows = _taken(table, path=image, finding=pl.col("class"), patient=image)
        rows = rows.unique(["path", "finding"], keep="first", maintain_order=True)
        # Its name begins like one for normal radiographs.
        others = int((rows["finding"] == _RSNA_OTHER).sum())
        called = f"{_RSNA_OTHER} is called {_OTHER_ABNORMALITY}: {others} of {rows.height} images."
        return rows.with_columns(pl.col("finding").replace(_RSNA_OTHER, _OTHER_ABNORMALITY)), (patients, called)
    _require(table, "rsna", "Target")
    # One row for each box.
    rows = _taken(table, path=image, finding=pl.col("Target"), patient=image).unique("path", maintain_order=True)
    wrong = ~rows["finding"].is_in(["0", "1"]).fill_null(value=False)
    if wrong.any():
        msg = f"{table.path}, row {rows['row'].filter(wrong)[0]}: its Target is neither 0 nor 1."
        raise DataError(msg)
    opaque = rows.filter(pl.col("finding") == "1").with_columns(finding=pl.lit(LUNG_OPACITY))
    note = (
        f"Left out, since Target 0 means no lung opacity, and not a normal radiograph: {rows.height - opaque.height} "
        f"of {rows.height} images. Put {_TABLES['rsna'][0][0]}, which tells them apart, beside {table.path}."
    )
    return opaque, (patients, note) if opaque.height < rows.height else (patients,)


def _mimic(table: Table, uncertain: Uncertain) -> tuple[pl.DataFrame, tuple[str, ...]]:
    _require(table, "mimic", "subject_id", "study_id", _NO_FINDING)
    labels = table.cells.select("study_id", finding=_marked_findings(table, uncertain))
    metadata, split = (_beside(table.path, part) for part in ("metadata", "split"))
    images = metadata or split
    if images is None:
        msg = (
            f"{table.path} names studies and no images. Put mimic-cxr-2.0.0-metadata.csv or -split.csv, which "
            "name them, beside it."
        )
        raise DataError(msg)
    _require(images, "mimic", "dicom_id", "subject_id", "study_id")
    patient, study = pl.col("subject_id"), pl.col("study_id")
    path = pl.format("files/p{}/p{}/s{}/{}.jpg", patient.str.head(2), patient, study, pl.col("dicom_id"))
    fields = {"path": path, "patient": patient, "study_id": study, "dicom_id": pl.col("dicom_id")}
    notes = []
    if metadata is not None:
        _require(metadata, "mimic", "ViewPosition")
        fields["view"] = pl.col("ViewPosition")
    else:
        notes.append("Views are not known without mimic-cxr-2.0.0-metadata.csv: side views are among the images.")
    rows = _taken(images, **fields)
    unlabelled = rows.height - rows.join(labels, on="study_id", how="semi").height
    if unlabelled:
        notes.append(
            f"Left out, since {table.path.name} says nothing of their study: {unlabelled} of {rows.height} images."
        )
    rows = rows.join(labels, on="study_id", how="inner", maintain_order="left")
    if split is not None:
        _require(split, "mimic", "dicom_id", "split")
        rows = rows.join(split.cells.select("dicom_id", "split"), on="dicom_id", how="left", maintain_order="left")
    rows, more = _without_marks(rows.drop("study_id", "dicom_id"))
    return rows, (*notes, *more)


def _beside(path: Path, part: str) -> Table | None:
    """Return another table of MIMIC-CXR that lies beside one, whatever the version in its name."""
    found = sorted(path.parent.glob(f"mimic-cxr-*-{part}.csv*"))
    return read_table(found[0]) if found else None


def _without_side_views(rows: pl.DataFrame, table: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    words = rows["view"].fill_null("").str.to_uppercase().str.split(" ")
    side = words.list.eval(pl.element().is_in(_SIDE_VIEWS)).list.any()
    if not side.any():
        return rows, ()
    counts = rows["view"].filter(side).value_counts(sort=True)
    told = ", ".join(f"{view} ({count})" for view, count in counts.iter_rows())
    note = f"Side views of {table.name} left out: {told}. Take them with --views."
    return rows.filter(~side), (note,)
