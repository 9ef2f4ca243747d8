"""A site's verdicts become a model, by the library itself: before and after on patients held out."""

from pathlib import Path

from carina.bundles.verification import Verification
from carina.datasets.manifest import Dataset
from carina.service.fitting.fit import Film, fit


def test_a_bundle_is_recalibrated_on_verdicts_and_measured_on_patients_held_out(
    tiny_bundle: tuple[Path, Verification], phantom_dataset: Dataset, tmp_path: Path
) -> None:
    rows = phantom_dataset.rows("test").vstack(phantom_dataset.rows("calibration"))
    films = [
        Film(Path(path), finding, f"P{place}")
        for place, (path, finding) in enumerate(rows.select("path", "finding").rows())
    ]
    films += [Film(films[0].path, "Another finding", "PX")]
    said = fit("recalibrate", tiny_bundle[0], films, tmp_path / "new", "1.2.3+recalibrate.1")
    assert said.made
    report = said.report
    # Phantoms may be near-duplicates of those that the model learned from: these are left out.
    assert len(films) - 5 < report.studies == report.patients < len(films)
    assert report.left_out == (
        f"1 of {len(films)} verdicts name a finding that the model does not know, and were left out.",
    )
    measures = {(figure.measure, figure.finding) for figure in report.figures}
    assert {("sensitivity", "COVID-19"), ("specificity", "COVID-19"), ("Brier score", "COVID-19")} <= measures
    assert [band.band for band in report.bands] == ["routine", "fast-track"]
    assert not any("carina-fitting-" in line for line in report.lines)
    assert (tmp_path / "new" / "bundle.json").is_file()
