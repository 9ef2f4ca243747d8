"""``carina demo``: the whole way on synthetic radiographs, without data and without network."""

import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import polars as pl

from carina.api.training_run import train
from carina.cli.console import print_note, print_result, progress_bars
from carina.cli.options import option, switch
from carina.cli.predict import INTENDED_USE
from carina.cli.predict_table import PredictTable
from carina.cli.train import load_quietly
from carina.datasets.importing import import_dataset
from carina.errors import ConfigurationError
from carina.inference.prediction_list import said_of
from carina.inference.predictor import Predictor
from carina.phantoms.phantom import write_phantoms

_MARKER = ".carina-demo"
# Studies in the worklist of --serve.
_SHOWN = 60

EXAMPLE = "demo --out demo"


def demo_command(
    out: Annotated[Path, option("FOLDER", "Folder to write. The folder of an earlier demo is replaced.")] = Path(
        "demo"
    ),
    count: Annotated[int, option("NUMBER", "Number of synthetic images to draw.", min=60)] = 1200,
    difficulty: Annotated[
        float, option("NUMBER", "How hard the images are to tell apart: 0 is easy, 1 is very hard.", min=0, max=1)
    ] = 0.1,
    seed: Annotated[int, option("NUMBER", "Seed of the random numbers for images and split.")] = 1234,
    serve: Annotated[
        bool, switch("Then show the worklist in a browser, filled with the test images, until Ctrl-C.", "--serve")
    ] = False,
) -> None:
    """Try everything on synthetic images, from data to report.

    It draws images, imports them, trains, evaluates and predicts, and says in the end where to look.
    """
    from carina.api.evaluation import evaluate  # noqa: PLC0415  # Matplotlib takes a second to import

    started = time.perf_counter()
    if serve:
        from carina.cli.serve import require_service  # noqa: PLC0415  # the service's libraries

        require_service()
    # Before an earlier demo is replaced: TensorFlow may not be installed.
    load_quietly()
    _make_room(out)
    with progress_bars() as bar:
        manifest = write_phantoms(
            out / "phantoms", count=count, difficulty=difficulty, seed=seed, progress=bar("Drawing phantoms")
        )
        report = import_dataset(manifest, out / "dataset", seed=seed, progress=bar("Reading images"))
        run = train(
            report,
            out / "run",
            recipe="demo",
            cache=out / "cache",
            command="carina demo",
            progress_of=bar,
            tell=print_note,
        )
        evaluation = evaluate(
            run, report, out=out / "evaluation", command="carina demo", progress=bar("Judging images")
        )
    print_result(evaluation.summary())
    print_result("\nA few of the test images, as carina predict shows them:\n")
    predictor, counts = Predictor(out / "run"), Counter[str]()
    table = PredictTable(predictor.run.policy, None)
    for prediction in predictor.predict(_one_of_each(report.dataset.rows("test"))):
        counts[said_of(prediction)] += 1
        table.add(prediction, None)
    table.end(counts)
    print_result(
        f"\nWeights: {run.description.weights}. Images synthetic: this shows the way, it is not a model to use.\n"
        f"Open {out / 'evaluation' / 'report.html'} in a browser; the phantoms are in {out / 'phantoms'}.\n"
        f"{INTENDED_USE}"
    )
    print_note(f"Done in {time.perf_counter() - started:.0f} s.")
    if serve:
        _serve(out, report.dataset.rows("test"))


def _serve(out: Path, rows: pl.DataFrame) -> None:
    """Fill a site with test images and serve it."""
    from carina.service.demo_site import ACCOUNT, make_demo_site  # noqa: PLC0415  # the service's libraries
    from carina.service.serve import serve  # noqa: PLC0415

    shown = rows.sample(min(_SHOWN, rows.height), shuffle=True, seed=0)["path"]
    password = make_demo_site(out / "site", out / "run", [Path(path) for path in shown])
    print_result(f"\nLog in as {ACCOUNT} with the password {password}\nImages and patients are invented.")
    serve(out / "site", tell=print_result)


def _make_room(out: Path) -> None:
    """Empty the folder of an earlier demo; refuse one that holds anything else."""
    if out.exists():
        if not (out / _MARKER).is_file():
            msg = f"{out} exists and is not an earlier demo. Choose another folder with --out."
            raise ConfigurationError(msg)
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / _MARKER).touch()


def _one_of_each(rows: pl.DataFrame) -> list[Path]:
    return [Path(path) for path in rows.group_by("finding", maintain_order=True).first()["path"]]
