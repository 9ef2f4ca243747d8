"""Whether a site that is silent finds out that a model is not good enough there, and what adapting it changes.

    python benchmarks/simulated_site.py BUNDLE [--studies 600] [--verdicts 200] [--seed 4] [--out FILE.json]

BUNDLE is trained on phantoms (``carina demo --out demo``, then ``carina export demo/run --out BUNDLE``). The site has
phantoms with another look: darker, less sharp, more noise, fainter opacities. They come in by chance, are judged by the
worker of ``carina serve`` and its process, and a reader gives a blind verdict on each: the true finding. After every
10 verdicts *Is it good enough here?* is asked. With so many VERDICTS an administrator has the model adapted; if the
library refuses, recalibrated. The rest of the studies then gets its verdicts, and both models are set side by side on
them: neither has seen them.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from carina.dicom.transport.log import EventLog
from carina.phantoms.phantom import write_phantoms
from carina.runtime.machine import describe_machine, library_versions
from carina.service.comparing import compare_models
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Image, Judgement, Model
from carina.service.described import describe
from carina.service.fitting.fitting_orders import ask_for_fitting
from carina.service.fitting.fitting_tables import Fitting
from carina.service.fitting.site_fitter import SiteFitter
from carina.service.good_enough import SiteFigures, measure_site
from carina.service.intake.take import Taken, take
from carina.service.judging.models import register_models
from carina.service.judging.site_worker import Worker
from carina.service.people.accounts import add_account
from carina.service.site_folder import Site, open_site
from carina.service.verdicts import give_verdict

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from make_dicom import encode_dicom

_EVERY = 10
_DIFFICULTY = 0.5
_REASON = "Tried on the verdicts of a simulated site."


def other_look(grey: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return a phantom as another hospital would show it: uint16, range [0, 4095]."""
    soft = cv2.GaussianBlur(grey.astype(np.float32) / 255, (0, 0), 1.2)
    dark = 0.9 * soft**1.5 + rng.normal(0, 0.03, grey.shape)
    return np.clip(4095 * dark, 0, 4095).astype(np.uint16)


def main() -> None:
    """Simulate the site."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--studies", type=int, default=600)
    parser.add_argument("--verdicts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carina-simulated-") as folder:
        result = simulate(Path(folder), asked.bundle.resolve(), asked.studies, asked.verdicts, asked.seed)
    written = json.dumps(result, indent=2) + "\n"
    print(written)
    if asked.out is not None:
        asked.out.write_text(written, encoding="utf-8")


def simulate(folder: Path, bundle: Path, studies: int, verdicts: int, seed: int) -> dict[str, Any]:
    """Return what the page said, and what adapting changed."""
    site_folder = folder / "site"
    site_folder.mkdir()
    (site_folder / "site.toml").write_text(f'bundle = "{bundle}"\n', encoding="utf-8")
    site = open_site(site_folder)
    try:
        register_models(site)
        truth = fill(site, folder, studies, seed)
        readers = {name: add_account(site.engine, name, "four words that stay", "administrator") for name in ("anna",)}
        wait_for(site, lambda session: _judged(session) == len(truth))
        order = list(np.random.default_rng(seed).permutation(list(truth)))
        with reading(site.engine) as session:
            in_use = session.scalars(select(Model)).one()
        said: list[dict[str, Any]] = []
        for number, study in enumerate(order[:verdicts], 1):
            read(site, int(study), truth[int(study)], readers["anna"], in_use)
            if number % _EVERY == 0:
                figures = measured(site, in_use.id)
                said.append({"verdicts": number, "answer": figures.answer, "sentence": figures.sentence})
        first = next((line for line in said if line["answer"] == "no"), None)
        before = _figures(measured(site, in_use.id))
        fittings = fit(site, in_use.id, readers["anna"])
        result: dict[str, Any] = {
            "machine": describe_machine(),
            "libraries": library_versions(),
            "command": " ".join(["python", "benchmarks/simulated_site.py", *sys.argv[1:]]),
            "studies": len(truth),
            "first_no": first,
            "answers": said,
            f"figures_at_{verdicts}_verdicts": before,
            "fittings": fittings,
        }
        made = fittings[-1]["made_model_id"]
        if made is not None:
            wait_for(site, lambda session: _judged(session, made) == len(truth))
            for study in order[verdicts:]:
                read(site, int(study), truth[int(study)], readers["anna"], in_use)
            with reading(site.engine) as session:
                models = [describe(site, session.get_one(Model, number)) for number in (in_use.id, made)]
                side = compare_models(session, *models)
            result["side_by_side_on_new_verdicts"] = {
                "studies": side.studies,
                "patients": side.patients,
                "not_counted_because_learned_from": side.verdicts.learned,
                "figures": [figure.model_dump() for figure in side.figures],
                "bands": [band.model_dump() for band in side.bands],
            }
            result["sentence_of_new_model"] = measured(site, made).sentence
        return result
    finally:
        site.close()


def fill(site: Site, folder: Path, studies: int, seed: int) -> dict[int, str]:
    """Let images of the other look come in; return the true finding of each study."""
    manifest = write_phantoms(folder / "phantoms", count=studies, difficulty=_DIFFICULTY, seed=1000 + seed)
    rng, truth = np.random.default_rng(seed), dict[int, str]()
    rows = pl.read_csv(manifest).sample(fraction=1.0, shuffle=True, seed=seed)
    for number, row in enumerate(rows.iter_rows(named=True)):
        grey = cv2.imread(str(manifest.parent / row["path"]), cv2.IMREAD_GRAYSCALE)
        said = {"PatientID": row["patient"], "StudyInstanceUID": f"1.2.{seed}.{number}", "ViewPosition": row["view"]}
        content = encode_dicom(other_look(np.asarray(grey, np.uint8), rng), stored=12, Manufacturer="Elsewhere", **said)
        taken = take(site, content, name="a.dcm", source="upload")
        if isinstance(taken, Taken):
            truth[taken.study_id] = row["finding"]
    return truth


def wait_for(site: Site, is_so: Callable[[Session], bool]) -> None:
    """Let the worker of `carina serve` judge until something is so."""
    stop = threading.Event()
    thread = threading.Thread(target=Worker(site, "simulated", EventLog(sys.stderr)).run, args=(stop,))
    thread.start()
    try:
        while True:
            with reading(site.engine) as session:
                if is_so(session):
                    return
            time.sleep(0.5)
    finally:
        stop.set()
        thread.join()


def read(site: Site, study: int, finding: str, account: int, model: Model) -> None:
    """Give the verdict of a reader who is always right."""
    described = describe(site, model)
    actor = f"account {account}"
    give_verdict(site.engine, study, account_id=account, actor=actor, finding=finding, findings=described.findings)


def measured(site: Site, model_id: int) -> SiteFigures:
    """Return what the page says of a model."""
    with reading(site.engine) as session:
        described = describe(site, session.get_one(Model, model_id))
        if described.run is None:
            msg = "The model's folder cannot be read."
            raise RuntimeError(msg)
        return measure_site(session, model_id, described.run.policy, described.learned)


def fit(site: Site, model_id: int, account: int) -> list[dict[str, Any]]:
    """Ask for an adapted model, and for a recalibrated one where that is refused; return what came of each."""
    done: list[dict[str, Any]] = []
    for kind in ("adapt", "recalibrate"):
        number = ask_for_fitting(site.engine, kind, _REASON, model_id=model_id, account_id=account)
        started = time.perf_counter()
        SiteFitter(site, "simulated", EventLog(sys.stderr)).fit_one()
        with reading(site.engine) as session:
            fitting = session.get_one(Fitting, number)
            line = {"kind": kind, "state": fitting.state, "message": fitting.message, "report": fitting.report}
            line |= {"seconds": round(time.perf_counter() - started, 1), "made_model_id": fitting.made_model_id}
        done.append(line)
        if line["state"] == "made":
            break
    return done


def _judged(session: Session, model_id: int | None = None) -> int:
    if model_id is None:
        return session.scalar(select(func.count()).select_from(Image).where(Image.state != "received")) or 0
    return session.scalar(select(func.count()).select_from(Judgement).where(Judgement.model_id == model_id)) or 0


def _figures(figures: SiteFigures) -> dict[str, Any]:
    names = ("sensitivity", "specificity", "could_wait", "intercept", "slope")
    told: dict[str, Any] = {name: getattr(figures, name).to_json() for name in names}
    return told | {"verdicts": asdict(figures.verdicts), "threshold": figures.threshold}


if __name__ == "__main__":
    main()
