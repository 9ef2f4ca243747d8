"""``carina lungs``: train the segmenter that finds the lungs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from carina.cli.console import print_result, progress_bars, typed_command
from carina.cli.help_text import example
from carina.cli.options import argument, option
from carina.cli.train import load_quietly
from carina.storage.atomic import whole_folder

app = typer.Typer(help="Train the segmenter that finds the lungs.", no_args_is_help=True, rich_markup_mode="rich")


@app.command(epilog=example("lungs train lung-masks --out lungs"))
def train(
    data: Annotated[
        Path,
        argument("FOLDER", "A folder with metadata.csv, which has the columns image, mask, patient and trainable."),
    ],
    out: Annotated[Path, option("FOLDER", "Folder to write; it must not exist.")],
    weights: Annotated[
        str, option("WEIGHTS", "Weights to start from: imagenet, none, or a Keras .h5 file.")
    ] = "imagenet",
    passes: Annotated[
        int | None, option("NUMBER", "How often all images are learned from. Default: 90.", min=1)
    ] = None,
) -> None:
    """Train the lung segmenter on radiographs with masks.

    It is measured on the radiographs that are held out.
    """
    load_quietly()
    from carina.learning.lungs.lung_net import LungTraining  # noqa: PLC0415  # TensorFlow: see load_quietly
    from carina.learning.lungs.lung_training import train_lungs  # noqa: PLC0415
    from carina.reports.lung_report import write_lung_report  # noqa: PLC0415  # Matplotlib takes a second to import

    with whole_folder(out, what="lung segmenter") as folder:
        with progress_bars() as bar:
            trained = train_lungs(
                data,
                folder,
                weights=weights,
                training=LungTraining() if passes is None else LungTraining(passes=passes),
                command=typed_command(),
                progress_of=bar,
            )
        report = write_lung_report(folder, asdict(trained))
    without = report.without_two_lungs
    print_result(
        f"{out}: {trained.images['trainable']} training images, {trained.seconds['total']:.0f} s. On {report.images} "
        f"held-out images of {report.patients} patients: Dice {report.mean} on average, median {report.median:.3f}, "
        f"smallest {report.smallest:.3f}; no two lungs in {without.numerator}."
    )
