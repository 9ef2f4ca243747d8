"""``carina gate``: a finished run learns what it must not judge, and may get another lung segmenter."""

from pathlib import Path
from typing import Annotated

from carina.cli.console import print_result, progress_bars
from carina.cli.options import argument, option
from carina.cli.train import load_quietly

EXAMPLE = "gate runs/mine --out runs/gated"


def gate_command(
    run: Annotated[Path, argument("RUN", "A finished run. It is not changed.")],
    out: Annotated[Path, option("RUN", "Run folder to write; it must not exist.")],
    lungs: Annotated[
        Path | None,
        option("FILE", "Lung segmenter to use. Default: the run's own, else the one of the released bundle."),
    ] = None,
    negatives: Annotated[Path | None, option("FOLDER", "Folder with images of your own that must be refused.")] = None,
    cache: Annotated[
        Path | None, option("FOLDER", "Folder for intermediate results that are used again. Default: the user's cache.")
    ] = None,
) -> None:
    """Fit the gate that refuses unsuitable images.

    A finished run gets a new gate and new thresholds. Its network stays as it is.
    """
    load_quietly()
    from carina.learning.gate.regate import refit_gate  # noqa: PLC0415  # TensorFlow: see load_quietly

    with progress_bars() as bar:
        made = refit_gate(run, out, lungs=lungs, negatives=negatives, cache=cache, progress_of=bar)
    gate = made.gate
    if gate is not None:
        kinds = len(gate.images) - 1
        print_result(
            f"{out}: a gate of {gate.radiographs} radiographs and {kinds} kinds of other images, {gate.seconds:.0f} s. "
            f"It lets {gate.reached:.2%} of {gate.calibration_images} calibration radiographs through (wanted: "
            f"{gate.acceptance:.2%}).\nNext: carina export {out}"
        )
