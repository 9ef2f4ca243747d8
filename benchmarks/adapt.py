"""What `carina adapt` brings for so many labels, beside a head from scratch and `carina recalibrate`.

    python benchmarks/adapt.py results/adapt.json --cache CACHE \
        --site nih=NIH-DEVELOPMENT,NIH-FINAL ... [--phantoms 600]
    python benchmarks/adapt.py results/adapt.json --table

A site has two imported data sets, made with `--half development` and `--half final`: labels are drawn from the first,
and every figure is measured on the second, with other patients. Ten draws for each number of labels. The second is
looked at once, after strengths and all else were chosen on the first.

The released network learned from part of `nih-development` (as "Other opacity"); `carina adapt` leaves such films out.
So `nih` is shown twice: `nih` draws labels from the development half all the same, as the first trial did; `nih-unseen`
takes labels and tests from the final half alone, another third of its patients in each draw. A phantom hospital is
drawn on the spot: fainter opacities, another gradation, blurred.

No band is promised while a model has a finding that no labelled film has. So adapting is shown twice, too: with all
findings of the model, and with those left out that the site's labels do not have.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.bundles.bundle import open_bundle, released_bundle
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import Dataset, open_dataset
from carina.decisions.policy import Policy
from carina.decisions.probabilities import softmax
from carina.decisions.triage import decide
from carina.errors import ConfigurationError
from carina.evaluation.adaptation.held_out import draw_patients
from carina.evaluation.adaptation.refit import cross_fit, refit_head, split_patients, start_from
from carina.evaluation.adaptation.site import SiteFilms, judge_rows
from carina.evaluation.leaks import check_leaks
from carina.evaluation.recalibrate import refit_policy
from carina.findings import COVID_19, NORMAL, OTHER_OPACITY
from carina.phantoms.phantom import write_phantoms
from carina.runtime.machine import describe_machine
from carina.statistics.curves import auroc
from carina.storage.cache_folder import default_cache_folder

LABELS = (25, 50, 100, 200, 400)
DRAWS = 10
# What a site is asked for: the finding that is flagged there, and whether AUROC is that of 1 - P(Normal).
FLAGS = {
    "nih": (OTHER_OPACITY, True),
    "nih-unseen": (OTHER_OPACITY, True),
    "external-cohen": (COVID_19, False),
    "tb-pakistan": ("Tuberculosis", True),
    "phantoms": (COVID_19, False),
}


@dataclass(frozen=True)
class Part:
    """Films of a site with their truth: int ``(n,)`` labels into `findings`, and patients."""

    films: SiteFilms
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]

    def __getitem__(self, chosen: NDArray[Any]) -> "Part":
        return Part(self.films[chosen], self.labels[chosen], self.groups[chosen])


def part_of(dataset: Dataset, findings: tuple[str, ...], cache: Path, *, drop_leaks: bool) -> Part:
    """Return the films of a data set that the released model judges."""
    bundle = released_bundle()
    described, _ = open_bundle(bundle)
    rows = dataset.rows("test")
    if drop_leaks:
        leaked = check_leaks(bundle, dataset, rows).learned["sha256"]
        rows = rows.filter(~pl.col("sha256").is_in(leaked.implode()))
    films = judge_rows(bundle, described, rows, cache)
    rows, films = rows.filter(pl.Series(films.accepted)), films[films.accepted]
    labels = np.array([findings.index(finding) for finding in rows["finding"]], dtype=np.int64)
    return Part(films, labels, rows["group"].to_numpy().astype(np.int64))


def phantom_hospital(folder: Path, count: int) -> Dataset:
    """Return phantoms with fainter opacities, as an old film digitiser might show them: flatter, darker, blurred."""
    manifest = write_phantoms(folder / "images", count=count, size=256, difficulty=0.6, seed=4242)
    curve = (255 * (np.arange(256) / 255) ** 1.6 * 0.85 + 20).astype(np.uint8)
    for path in (folder / "images").rglob("images/*.png"):
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path), cv2.GaussianBlur(cv2.LUT(pixels, curve), (0, 0), 1.2))
    return import_dataset(manifest, folder / "dataset", test_only=True).dataset


def figures(
    logits: NDArray[np.floating],
    test: Part,
    findings: tuple[str, ...],
    policy: Policy | None,
    *,
    abnormal: bool,
    flag: str,
) -> dict[str, float | int | None]:
    """Return what logits and a policy reach on the test films."""
    table = softmax(logits) if policy is None else policy.probabilities(logits)
    normal, flagged = findings.index(NORMAL), findings.index(flag)
    # Only among the findings that the site has: the films cannot show that a name is right that none of them carries.
    if abnormal:
        area = auroc(test.labels != normal, -table[:, normal])
    else:
        area = auroc(test.labels == flagged, table[:, flagged])
    told: dict[str, float | int | None] = {"auroc": area}
    if policy is None:
        return told
    called = table[:, flagged] >= policy.operating_point.threshold
    truth = test.labels == flagged
    priorities = np.array([priority for _, priority in decide(table, policy)])
    told |= {"sensitivity": float(called[truth].mean()), "specificity": float((~called)[~truth].mean())}
    for band, belongs in (("routine", normal), ("fast-track", flagged)):
        inside = priorities == band
        told[f"{band}_films"] = int(inside.sum())
        told[f"{band}_wrong"] = int((inside & (test.labels != belongs)).sum())
    return told


def ways(
    old: Policy, findings: tuple[str, ...], flag: str, there: list[int]
) -> dict[str, Callable[[Part, Part], tuple[Any, Policy]]]:
    """Return the ways to use labels: each takes labelled films and test films, and gives logits and a policy."""
    shipped = old.findings

    def policy(logits: NDArray[np.floating], train: Part, names: tuple[str, ...]) -> Policy:
        return refit_policy(
            old, logits, train.labels, train.groups, chosen_on="the labels", findings=names, flag_finding=flag
        )

    def refitted(
        train: Part, test: Part, start: NDArray[np.float64], names: tuple[str, ...] = findings
    ) -> tuple[Any, Policy]:
        crossed = cross_fit(train.films, train.labels, train.groups, start)
        (refit,) = refit_head(train.films, train.labels, train.groups, start, (crossed.strength,))
        return refit.logits(test.films), policy(crossed.logits, train, names)

    def adapted(train: Part, test: Part) -> tuple[Any, Policy]:
        return refitted(train, test, start_from(shipped, findings))

    def adapted_to_what_is_there(train: Part, test: Part) -> tuple[Any, Policy]:
        names = tuple(findings[place] for place in there)
        renumbered = replace(train, labels=np.searchsorted(there, train.labels))
        return refitted(renumbered, test, start_from(shipped, names), names)

    def from_scratch(train: Part, test: Part) -> tuple[Any, Policy]:
        no_logits = [replace(part, films=replace(part.films, logits=part.films.logits * 0)) for part in (train, test)]
        return refitted(no_logits[0], no_logits[1], np.zeros((len(shipped), len(findings))))

    def recalibrated(train: Part, test: Part) -> tuple[Any, Policy]:
        return test.films.logits, policy(train.films.logits, train, shipped)

    told = {"adapt": adapted, "adapt, absent left out": adapted_to_what_is_there, "from scratch": from_scratch}
    return told | ({"recalibrate": recalibrated} if flag in shipped else {})


def renamed(part: Part, findings: tuple[str, ...], wanted: tuple[str, ...]) -> Part:
    """Return films with their labels in another order of findings; -1 for one that is not in it."""
    place = np.array([wanted.index(finding) if finding in wanted else -1 for finding in findings])
    return replace(part, labels=place[part.labels])


def draws_of(labelled: Part, test: Part | None, count: int, draws: int) -> Iterator[tuple[Part, Part]]:
    """Yield labelled films of one draw, and the test films: all of the other half, or a third of the patients here."""
    for draw in range(draws):
        if test is None:
            held = split_patients(labelled.labels, labelled.groups, 3, seed=draw) == 0
            pool, tested = labelled[~held], labelled[held]
        else:
            pool, tested = labelled, test
        if count > len(pool.labels):
            return
        yield pool[draw_patients(pool.labels, pool.groups, count, seed=[7, draw])], tested


def summary(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation of each figure over draws; films and mistakes in bands are sums."""
    out: dict[str, Any] = {"draws": len(told)}
    for name in dict.fromkeys(name for each in told for name in each):
        values = [each[name] for each in told if name in each]
        if name.endswith(("_films", "_wrong")):
            out[name] = int(sum(values))
        else:
            out[name] = {"mean": round(float(np.mean(values)), 4), "sd": round(float(np.std(values)), 4)}
    return out


def measure_site(
    name: str, labelled: Part, test: Part | None, findings: tuple[str, ...], old: Policy
) -> dict[str, Any]:
    """Return the figures of one site."""
    flag, abnormal = FLAGS[name]
    result: dict[str, Any] = {"flag": flag, "auroc_of": "1 - P(Normal)" if abnormal else f"P({flag})"}
    result["labelled_films"], result["tested_films"] = len(labelled.labels), None if test is None else len(test.labels)
    there = np.unique(labelled.labels).tolist()
    same_flag = old if old.flag_finding == flag else None
    asked = flag if flag in old.findings else old.flag_finding
    shipped = [
        figures(tested.films.logits, tested, old.findings, same_flag, abnormal=abnormal, flag=asked)
        for _, tested in draws_of(labelled, test, 1, DRAWS if test is None else 1)
    ]
    result["0"] = {"shipped": summary(shipped)}
    for count in LABELS:
        told: dict[str, list[dict[str, Any]]] = {}
        refused: dict[str, int] = {}
        for train, tested in draws_of(labelled, test, count, DRAWS):
            for way, use in ways(old, findings, flag, there).items():
                try:
                    logits, policy = use(train, tested)
                except ConfigurationError:  # the labels cannot choose a threshold
                    refused[way] = refused.get(way, 0) + 1
                    continue
                told.setdefault(way, []).append(
                    figures(
                        logits,
                        renamed(tested, findings, policy.findings),
                        policy.findings,
                        policy,
                        abnormal=abnormal,
                        flag=flag,
                    )
                )
        # A way that was refused in all draws has no figures, and is counted all the same.
        tried = [way for way in ways(old, findings, flag, there) if way in told or way in refused]
        if tried:
            result[str(count)] = {
                way: summary(told.get(way, [])) | {"no_threshold": refused.get(way, 0)} for way in tried
            }
            print(name, count, {way: each.get("auroc") for way, each in result[str(count)].items()}, flush=True)
    return result


def table(content: dict[str, Any]) -> str:
    """Return AUROC (mean and standard deviation over draws) and mean sensitivity of each way as a Markdown table."""
    names = ("shipped", "recalibrate", "from scratch", "adapt", "adapt, absent left out")
    lines = [f"| site | labels | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for site, told in content["sites"].items():
        for count in [each for each in told if each.isdigit()]:
            cells = [_cell(told[count][name]) if name in told[count] else "" for name in names]
            lines.append(f"| {site} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(of: dict[str, Any]) -> str:
    if "auroc" not in of:
        return f"no threshold in {of['no_threshold']} draws"
    flagged = f"{of['sensitivity']['mean']:.3f}" if "sensitivity" in of else "–"
    return f"{of['auroc']['mean']:.3f} ± {of['auroc']['sd']:.3f} / {flagged}"


def main(argv: list[str] | None = None) -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", type=Path, default=default_cache_folder())
    parser.add_argument("--table", action="store_true", help="print the table of a result that is there, and end")
    parser.add_argument("--site", action="append", default=[], metavar="NAME=LABELLED,TEST")
    parser.add_argument("--phantoms", type=int, default=600)
    given = parser.parse_args(argv)
    if given.table:
        print(table(json.loads(given.out.read_text(encoding="utf-8"))))
        return
    described, _ = open_bundle(released_bundle())
    old, sites = described.policy, {}
    for site in given.site:
        name, _, folders = site.partition("=")
        flag = FLAGS[name][0]
        findings = old.findings if flag in old.findings else (*old.findings, flag)
        parts = [
            part_of(open_dataset(Path(folder)), findings, given.cache, drop_leaks=name != "nih" or place == 1)
            for place, folder in enumerate(folders.split(","))
        ]
        sites[name] = measure_site(name, parts[0], parts[1] if len(parts) == 2 else None, findings, old)
    if given.phantoms:
        with tempfile.TemporaryDirectory() as folder:
            hospital = phantom_hospital(Path(folder), given.phantoms)
            part = part_of(hospital, old.findings, given.cache, drop_leaks=True)
        half = split_patients(part.labels, part.groups, 2, seed=0) == 0
        sites["phantoms"] = measure_site("phantoms", part[half], part[~half], old.findings, old)
    content = {
        "model": f"{described.name} {described.version}",
        "draws": DRAWS,
        "machine": describe_machine(),
        "sites": sites,
    }
    given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
