"""``carina data``: import, fetch, phantom, check."""

import json
import shlex
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from carina.cli.console import print_note, print_result, print_table, progress_bars
from carina.cli.help_text import example
from carina.cli.options import RayOption, argument, option, spread_or, switch
from carina.datasets.check import Association, DatasetCheck, check_dataset
from carina.datasets.choice import Half, SplitFrom
from carina.datasets.download import PUBLIC_DATASETS, download_public_dataset
from carina.datasets.importing import ImportReport, import_dataset, unreadable
from carina.datasets.manifest import DatasetDescription, open_dataset
from carina.datasets.published_labels import PublishedLabels, Uncertain
from carina.datasets.table_columns import FIELDS
from carina.errors import ConfigurationError
from carina.phantoms.phantom import write_phantoms

app = typer.Typer(help="Import, download, draw and check data sets.", no_args_is_help=True, rich_markup_mode="rich")

_TABLES, _NAMES, _FOLDERS = "Tables", "Names of findings", "Folders and patients"
# Images that one task reads on a cluster, and comparisons of parts of hashes.
_READ_TOGETHER = 32
_TAKEN, _SPLIT = "Part of the images", "Split"

_Out = Annotated[Path, option("FOLDER", "Folder to write; it must not exist.")]
_Findings = Annotated[
    str | None,
    option(
        "NAMES",
        "Findings to take, comma-separated. Default: all, but of the COVID-19 Radiography Database only COVID-19, "
        "Normal and Viral Pneumonia.",
        panel=_NAMES,
    ),
]
_Seed = Annotated[int, option("NUMBER", "Seed of the random numbers that make the split.", panel=_SPLIT)]


@app.command(name="import", epilog=example("data import radiographs --out datasets/mine"))
def import_command(
    source: Annotated[
        Path,
        argument(
            "SOURCE",
            "A folder with one subfolder per finding; a table of images (CSV, Excel or Parquet); or, with --labels, a "
            "folder of images or DICOM files.",
        ),
    ],
    out: _Out,
    labels: Annotated[
        Path | None,
        option(
            "TABLE",
            "Table with the finding of each image in SOURCE. It needs the column finding, and one of path, "
            "StudyInstanceUID or PatientID.",
            panel=_TABLES,
        ),
    ] = None,
    labels_as: Annotated[
        PublishedLabels | None,
        option(
            "COLLECTION",
            "Public collection whose tables are read as they are distributed: nih, chexpert, rsna or mimic.",
            panel=_TABLES,
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        option(
            "FIELD=NAME",
            "Name of a column in the table, such as finding=Diagnosis. Fields that Carina knows: "
            f"{', '.join(FIELDS)}. Repeatable.",
            panel=_TABLES,
        ),
    ] = None,
    uncertain: Annotated[
        Uncertain,
        option(
            "READING",
            "How to read -1 (uncertain) in the tables of chexpert and mimic: positive (as 1), negative (as 0) or "
            "leave-out.",
            panel=_TABLES,
        ),
    ] = "leave-out",
    findings: _Findings = None,
    rename: Annotated[
        list[str] | None,
        option(
            "OLD=NEW",
            "New name for one or more findings, such as SARS=Other opacity or SARS+Klebsiella=Other opacity. Findings "
            "are renamed before any other choice. Repeatable.",
            panel=_NAMES,
        ),
    ] = None,
    views: Annotated[
        str | None,
        option(
            "VIEWS",
            "Views to take, comma-separated, such as PA,AP. Write unknown for images whose view is not known. Default: "
            "all.",
            panel=_TAKEN,
        ),
    ] = None,
    half: Annotated[
        Half | None,
        option(
            "HALF",
            "Take one half of the patients, development or final, and keep the other half for a final test. If an "
            "image has no patient, its file name is used.",
            panel=_TAKEN,
        ),
    ] = None,
    normal: Annotated[
        list[str] | None,
        option(
            "NAME",
            "Finding that means that a radiograph is normal. It is needed if the name does not say so. Write none if "
            "no image is normal. Repeatable.",
            panel=_NAMES,
        ),
    ] = None,
    flag: Annotated[
        str | None, option("NAME", "Finding that the model flags, so that it is read first.", panel=_NAMES)
    ] = None,
    seed: _Seed = 1234,
    test_only: Annotated[
        bool, switch("Make a test set: all images are for testing, none for training.", "--test-only", panel=_SPLIT)
    ] = False,
    patient_key: Annotated[
        Path | None,
        option(
            "FILE",
            "File with a secret key of at least 16 bytes. The data set then holds keyed hashes of patients.",
            panel=_FOLDERS,
        ),
    ] = None,
    patient_from: Annotated[
        str | None,
        option(
            "REGEX",
            r"Regular expression that finds the patient in each image's path, such as '(P\d+)_'. Its one group is "
            "the patient, who is kept as a hash.",
            panel=_FOLDERS,
        ),
    ] = None,
    layout: Annotated[
        str | None,
        option(
            "LEVELS",
            "What each level of folders means, from the outermost to the innermost: finding, source, split, patient, "
            "or - for nothing. For example: source/finding/patient. Default: Carina tells it from the folders' names.",
            panel=_FOLDERS,
        ),
    ] = None,
    split_from: Annotated[
        SplitFrom | None,
        option(
            "WHERE",
            "Keep a published split: that of the folders train, val and test (folders), or that of the table's column "
            "split (column). Default: make a new one.",
            panel=_SPLIT,
        ),
    ] = None,
    ignore_unknown_columns: Annotated[
        bool,
        switch("Leave out columns of the table that Carina does not know.", "--ignore-unknown-columns", panel=_TABLES),
    ] = False,
    croissant: Annotated[
        bool, switch("Also write croissant.json, which describes the data set for catalogues.", "--croissant")
    ] = False,
    ray: RayOption = None,
) -> None:
    """Import images and their labels as a data set.

    The images stay where they are. Each is read once. Images of one patient, and near-duplicates, stay on one side of
    the split. The command prints what it assumed and what it left out.
    """
    with progress_bars() as bar, spread_or(None, ray, size=_READ_TOGETHER, cores=0.5, lost=unreadable) as spread:
        report = import_dataset(
            source,
            out,
            findings=_names(findings),
            rename=_renames(rename or []),
            views=None if views is None else views.split(","),
            half=half,
            normal=normal,
            flag=flag,
            seed=seed,
            test_only=test_only,
            labels=labels,
            columns=_columns(column or []),
            labels_as=labels_as,
            uncertain=uncertain,
            patient_key=patient_key,
            patient_from=patient_from,
            layout=layout,
            split_from=split_from,
            ignore_unknown_columns=ignore_unknown_columns,
            croissant=croissant,
            spread=spread,
            progress=bar("Reading images"),
        )
    _print_import(report)


@app.command(epilog=example("data fetch covid19-radiography --out datasets/covid19"))
def fetch(
    name: Annotated[str, argument("NAME", f"Name of the data set. There is one: {', '.join(PUBLIC_DATASETS)}.")],
    out: _Out,
    findings: _Findings = None,
    seed: _Seed = 1234,
) -> None:
    """Download a public data set and import it."""
    print_note(f"Downloading {name} ...")
    source = download_public_dataset(name)
    public = PUBLIC_DATASETS[name]
    print_note(f"Licence: {public.licence}. Cite: {public.cite}.")
    with progress_bars() as bar:
        report = import_dataset(source, out, findings=_names(findings), seed=seed, progress=bar("Reading images"))
    _print_import(report)


@app.command(epilog=example("data phantom --out practice --count 60"))
def phantom(
    out: _Out,
    count: Annotated[int, option("NUMBER", "Number of images to draw.", min=3)] = 600,
    size: Annotated[int, option("NUMBER", "Width and height of each image, in pixels.", min=64, max=1024)] = 256,
    difficulty: Annotated[
        float, option("NUMBER", "How hard the images are to tell apart: 0 is easy, 1 is very hard.", min=0, max=1)
    ] = 0.5,
    seed: Annotated[int, option("NUMBER", "Seed of the random numbers for the images.")] = 1234,
) -> None:
    """Draw synthetic chest radiographs with labels.

    They are for practice and for tests. They say nothing about real disease.
    """
    with progress_bars() as bar:
        manifest = write_phantoms(
            out, count=count, size=size, difficulty=difficulty, seed=seed, progress=bar("Drawing phantoms")
        )
    print_result(str(manifest))


@app.command(epilog=example("data check datasets/mine"))
def check(
    dataset: Annotated[Path, argument("DATASET", "An imported data set.")],
    as_json: Annotated[bool, switch("Print the result as JSON.", "--json")] = False,
) -> None:
    """Show what is in a data set and what is wrong with it.

    The exit code is 1 if anything is wrong.
    """
    opened = open_dataset(dataset)
    result = check_dataset(opened)
    if as_json:
        content = {
            "flag_finding": opened.description.flag_finding,
            "counts": result.counts.to_dicts(),
            "association": None if result.association is None else asdict(result.association),
            "stored_as": {name: each and asdict(each) for name, each in result.stored_as.items()},
            "troubles": [asdict(trouble) for trouble in result.troubles],
        }
        print_result(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _print_check(result)
        print_result(_said_of_flag(opened.description))
    raise typer.Exit(1 if result.troubles else 0)


def _names(findings: str | None) -> list[str] | None:
    return None if findings is None else [name for name in findings.split(",") if name.strip()]


def _renames(options: list[str]) -> dict[str, str]:
    """Return what ``OLD=NEW`` and ``OLD+OLD=NEW`` ask for; an old name cannot have a plus sign."""
    renames: dict[str, str] = {}
    for typed in options:
        olds, equals, new = typed.rpartition("=")
        if not equals:
            msg = f"--rename {shlex.quote(typed)} has no equals sign. Write OLD=NEW, as in: SARS=Other opacity."
            raise ConfigurationError(msg)
        for old in olds.split("+"):
            if renames.setdefault(old.strip(), new) != new:
                msg = f"--rename gives {old.strip()!r} two names, {renames[old.strip()]!r} and {new!r}. Choose one."
                raise ConfigurationError(msg)
    return renames


def _columns(options: list[str]) -> dict[str, str]:
    """Return the names of columns that ``FIELD=NAME`` gives, by field."""
    columns: dict[str, str] = {}
    for typed in options:
        field, _, name = (word.strip() for word in typed.partition("="))
        if not field or not name:
            msg = f"--column {shlex.quote(typed)} is not FIELD=NAME. Write it as in: --column finding=Diagnosis."
            raise ConfigurationError(msg)
        if columns.setdefault(field, name) != name:
            msg = f"--column gives {field!r} two names, {columns[field]!r} and {name!r}. Choose one."
            raise ConfigurationError(msg)
    return columns


def _print_import(report: ImportReport) -> None:
    dataset = report.dataset
    for note in report.notes:
        print_note(note)
    if report.offered is not None:
        print_note(f"The command that keeps the published split: {_typed_again(report.offered, dataset.folder)}")
    print_table(dataset.counts())
    print_result(report.sentence)
    for said in report.unread():
        print_note(said)
        raise typer.Exit(1)


def _said_of_flag(described: DatasetDescription) -> str:
    """Return what is flagged by a model that learns from a data set."""
    if described.flag_finding is not None:
        return f"Flagged finding: {described.flag_finding}."
    if described.test_only:
        return "Flagged finding: what the model flags that judges this test set."
    if len(described.findings) == 1:
        return f"Flagged finding: none, since {described.findings[0]} is the only finding."
    return (
        "Flagged finding: not written down by the Carina that imported this; carina train says what it flags, or asks."
    )


def _typed_again(split_from: SplitFrom, out: Path) -> str:
    """Return what was typed, with a folder to write that is not there yet, and the option that keeps a split."""
    words = [
        f"{out}-published" if last == "--out" else f"--out={out}-published" if word.startswith("--out=") else word
        for last, word in pairwise(sys.argv)
    ]
    return shlex.join(["carina", *words, "--split-from", split_from])


def _print_check(result: DatasetCheck) -> None:
    print_table(result.counts)
    print_result("")
    one_finding = result.counts["finding"].n_unique() == 1
    for name, measured in {"source": result.association, **result.stored_as}.items():
        _print_association(name, measured, one_finding=one_finding)
    if not result.troubles:
        print_result("Nothing wrong was found.")
        return
    print_result("")
    print_table(pl.DataFrame([asdict(trouble) for trouble in result.troubles]))


def _print_association(name: str, found: Association | None, *, one_finding: bool) -> None:
    if found is None:
        why = "there is one finding" if one_finding else f"the {name} is known for fewer than two findings"
        print_result(f"How far the {name} gives the finding away: not applicable, because {why}.")
        return
    print_result(
        f"Finding and {name}: Cramér's V {found.cramers_v:.3f} ({found.low:.3f} to {found.high:.3f}). "
        f"Guessing the finding from the {name} alone is right for {found.accuracy:.1%} of "
        f"{found.images} images (always guessing the commonest: {found.chance:.1%})."
    )
