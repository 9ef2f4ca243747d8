"""Splits: whole groups, stratified, the same from the same seed whatever the order."""

import hashlib
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amount import sampled
from carina.datasets.split import assign_splits, keep_published_split
from carina.errors import DataError
from make import make_manifest

SPLITS = {"train", "calibration", "test"}


def shares(manifest: pl.DataFrame, finding: str) -> dict[str, float]:
    rows = manifest.filter(pl.col("finding") == finding)
    return {split: (rows["split"] == split).mean() for split in SPLITS}


def test_shares_are_70_10_20_by_finding() -> None:
    manifest = assign_splits(make_manifest(["a"] * 1000 + ["b"] * 150), seed=1)
    for finding, tolerance in (("a", 0.002), ("b", 0.01)):
        assert shares(manifest, finding) == pytest.approx(
            {"train": 0.7, "calibration": 0.1, "test": 0.2}, abs=tolerance
        )


def test_the_baselines_validation_images_are_the_test_images() -> None:
    manifest = assign_splits(make_manifest(["a"] * 50 + ["b"] * 50), seed=1)
    assert set(manifest["baseline_split"]) == {"train", "validation"}
    assert ((manifest["split"] == "test") == (manifest["baseline_split"] == "validation")).all()


def test_seed_and_order() -> None:
    manifest = make_manifest(["a"] * 60 + ["b"] * 40, group=[row // 2 for row in range(100)])
    first = assign_splits(manifest, seed=1)
    of_sha = dict(first.select("sha256", "split").iter_rows())
    shuffled = manifest.sample(fraction=1, shuffle=True, seed=3)
    # Groups are numbered by rows, so another order numbers them otherwise.
    shuffled = shuffled.with_columns(group=pl.lit(1000) - pl.col("group"), path=pl.lit("renamed") + pl.col("path"))
    again = assign_splits(shuffled, seed=1)
    assert dict(again.select("sha256", "split").iter_rows()) == of_sha
    other = assign_splits(manifest, seed=2)
    assert dict(other.select("sha256", "split").iter_rows()) != of_sha


@settings(deadline=None, database=None, max_examples=sampled(80))
@given(st.lists(st.tuples(st.integers(0, 25), st.sampled_from("ab")), min_size=1, max_size=80), st.integers(0, 9))
def test_a_group_never_straddles_and_each_finding_is_everywhere(rows: Any, seed: int) -> None:
    # Groups of one finding, and now and then of two: a mislabelled copy.
    manifest = make_manifest([finding for _, finding in rows], group=[group for group, _ in rows])
    try:
        split = assign_splits(manifest, seed=seed)
    except DataError as error:
        assert "at least 3 are needed" in str(error)  # noqa: PT017
        return
    assert split.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    for finding in set(manifest["finding"]):
        assert set(split.filter(pl.col("finding") == finding)["split"]) == SPLITS


@settings(deadline=None, database=None, max_examples=sampled(40))
@given(st.integers(0, 99))
def test_shares_with_groups_of_many_sizes(seed: int) -> None:
    sizes = np.random.default_rng(seed).choice([1, 1, 1, 2, 3, 8], size=200)
    manifest = make_manifest(["a"] * int(sizes.sum()), group=np.repeat(np.arange(200), sizes).tolist())
    reached = shares(assign_splits(manifest, seed=seed), "a")
    assert reached == pytest.approx({"train": 0.7, "calibration": 0.1, "test": 0.2}, abs=0.02)


def test_three_groups_are_enough_and_two_are_not() -> None:
    manifest = make_manifest(["a"] * 3)
    assert set(assign_splits(manifest, seed=0)["split"]) == SPLITS
    with pytest.raises(DataError, match=r"Finding 'b' has 4 images in 2 independent groups; at least 3 .*--findings"):
        assign_splits(make_manifest(["a"] * 9 + ["b"] * 4, group=[*range(9), 10, 10, 11, 11]), seed=0)


def test_a_finding_that_only_stands_in_groups_of_another_is_refused() -> None:
    """Each of its images is a copy of two that carry another label: no split can hold it on purpose."""
    manifest = make_manifest(["a"] * 20 + ["b"] * 3, group=[*[row // 2 for row in range(20)], 0, 1, 2])
    with pytest.raises(DataError, match="Finding 'b' has 3 images in 0 independent groups"):
        assign_splits(manifest, seed=0)


def test_a_group_counts_for_its_commonest_finding() -> None:
    """Ten groups of two b and a mislabelled a are groups of b, whatever comes first by name."""
    manifest = make_manifest(
        ["a"] * 10 + ["a", "b", "b"] * 10, group=[*range(10), *[10 + row // 3 for row in range(30)]]
    )
    split = assign_splits(manifest, seed=0)
    assert shares(split, "b") == pytest.approx({"train": 0.7, "calibration": 0.1, "test": 0.2})


def test_test_only_takes_everything() -> None:
    manifest = assign_splits(make_manifest(["a", "b"]), seed=0, test_only=True)
    assert manifest["split"].to_list() == ["test", "test"]
    assert manifest["baseline_split"].to_list() == ["validation", "validation"]


def test_patients_with_several_findings_are_split_by_the_rarest() -> None:
    """Each of 20 patients has three normal films and one of TB: both findings have their share everywhere."""
    findings = ["Normal", "Normal", "Normal", "TB"] * 20
    patients = [f"P{row // 4}" for row in range(80)]
    manifest = make_manifest(findings, group=[row // 4 for row in range(80)], patient=patients)
    split = assign_splits(manifest, seed=3)
    for finding in ("Normal", "TB"):
        assert shares(split, finding) == pytest.approx({"train": 0.7, "calibration": 0.1, "test": 0.2})
    assert split.group_by("patient").agg(pl.col("split").n_unique())["split"].max() == 1


def test_the_rarest_finding_is_stratified_among_patients_with_several() -> None:
    """Of 200 patients 20 have a film of TB among five normal ones: its share of each split is no matter of luck."""
    findings, patients = [], []
    for patient in range(200):
        films = ["Normal"] * 5 + ["TB"] * (patient % 10 == 0)
        findings += films
        patients += [f"P{patient}"] * len(films)
    groups = [int(patient[1:]) for patient in patients]
    for seed in range(5):
        split = assign_splits(make_manifest(findings, group=groups, patient=patients), seed=seed)
        assert shares(split, "TB") == pytest.approx({"train": 0.7, "calibration": 0.1, "test": 0.2})
        assert shares(split, "Normal") == pytest.approx({"train": 0.7, "calibration": 0.1, "test": 0.2}, abs=0.01)


def test_few_patients_with_the_rare_finding_alone_do_not_change_that() -> None:
    findings, patients = [], []
    for patient in range(123):
        films = ["TB"] if patient < 3 else ["Normal"] * 5 + ["TB"] * (patient < 23)
        findings += films
        patients += [f"P{patient}"] * len(films)
    groups = [int(patient[1:]) for patient in patients]
    for seed in range(8):
        split = assign_splits(make_manifest(findings, group=groups, patient=patients), seed=seed)
        assert shares(split, "TB") == pytest.approx({"train": 0.7, "calibration": 0.1, "test": 0.2}, abs=0.07)


def test_groups_of_a_rarer_finding_count_for_the_others_in_them() -> None:
    """Of the four patients with b two have a as well; whichever splits these reach, the others reach the rest."""
    findings, groups = ["a", "b", "a", "b", "a", "b", "b"], [0, 0, 1, 1, 2, 3, 4]
    manifest = make_manifest(findings, group=groups, patient=[f"P{group}" for group in groups])
    for seed in range(12):
        split = assign_splits(manifest, seed=seed)
        for finding in "ab":
            assert set(split.filter(pl.col("finding") == finding)["split"]) == SPLITS


def test_a_finding_in_two_patients_is_refused() -> None:
    manifest = make_manifest(
        ["a"] * 12 + ["b", "b"], group=[*range(12), 0, 1], patient=[f"P{n}" for n in [*range(12), 0, 1]]
    )
    with pytest.raises(DataError, match="Finding 'b' has 2 images in 2 independent groups"):
        assign_splits(manifest, seed=0)


def sealed(manifest: pl.DataFrame, seed: int) -> str:
    splits = assign_splits(manifest, seed=seed).select("sha256", "split").sort("sha256")["split"]
    return hashlib.sha256(" ".join(splits).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("findings", "patients", "digest"),
    [
        # One finding a group; copies of several; few patients of several, as in `nih`.
        ((["a"] * 3 + ["b"] * 3 + ["a"] * 3) * 15, None, "298633188b2db38c"),
        (["a", "a", "b", "b", "b", "a"] * 40, None, "2821558805f6f3b2"),
        ((["a"] * 9 + ["b"] * 9) * 8 + ["a", "b"] * 4, "known", "a4e83a30e57fc0ee"),
    ],
)
def test_splits_of_earlier_versions_stay_as_they_were(findings: list[str], patients: str | None, digest: str) -> None:
    """Results were published on such splits. The digests were written by Carina 0.1.0."""
    groups = [row // 3 for row in range(len(findings))]
    patient = [None if patients is None else f"P{group}" for group in groups]
    assert sealed(make_manifest(findings, group=groups, patient=patient), 1234) == digest


PUBLISHED = ["train"] * 60 + ["val"] * 20 + ["test"] * 20


def published(**columns: Any) -> pl.DataFrame:
    return make_manifest(["a", "b"] * 50, **({"split": PUBLISHED} | columns))


def test_a_published_split_is_kept() -> None:
    split, notes = keep_published_split(published(), seed=1)
    assert split["split"].to_list() == ["train"] * 60 + ["calibration"] * 20 + ["test"] * 20
    assert split["baseline_split"].to_list() == ["train"] * 80 + ["validation"] * 20
    first, second = notes
    assert first == "The published validation images are the calibration split."
    assert second == (
        "The calibration split is small: a (10), b (10). Probabilities and thresholds that it chooses are uncertain; "
        "without --split-from, a tenth of the images calibrates."
    )


def test_without_validation_images_calibration_is_cut_from_training_by_patient() -> None:
    manifest = published(
        split=["Training"] * 80 + ["TEST"] * 20,
        group=[row // 4 for row in range(100)],
        patient=[f"P{row // 4}" for row in range(100)],
    )
    split, notes = keep_published_split(manifest, seed=1)
    assert set(split["split"][80:]) == {"test"}
    cut = split.filter(pl.col("split") == "calibration")
    assert 8 <= cut.height <= 12
    assert split.group_by("patient").agg(pl.col("split").n_unique())["split"].max() == 1
    assert notes[0] == f"The calibration split is cut from the published training images: {cut.height} images."
    assert split.equals(keep_published_split(manifest, seed=1)[0])
    assert not split.equals(keep_published_split(manifest, seed=2)[0])


def test_without_test_images_the_validation_images_are_the_test() -> None:
    split, notes = keep_published_split(published(split=["train"] * 80 + ["valid"] * 20), seed=1)
    assert split["split"].to_list()[80:] == ["test"] * 20
    assert (split["split"] == "calibration").sum() in range(8, 13)
    assert notes[0] == "The published split has no test images: its validation images are the test split."


def test_leaks_of_a_published_split_are_counted() -> None:
    copies, patients = list(range(100)), [f"P{row}" for row in range(100)]
    copies[90], copies[91], patients[70] = 3, 60, "P5"
    manifest = published(duplicate_group=copies, patient=patients)
    _, notes = keep_published_split(manifest, seed=1)
    of_copies, of_patients = notes[-2:]
    assert of_copies.startswith(
        "The published split leaks: 4 images are near-duplicates of images in another part of it (2 groups of "
        "near-duplicates; test images among them: 2). Results on it are too good."
    )
    assert of_patients.startswith(
        "The published split leaks: 2 images are images of patients in another part of it (1 patient; test images "
        "among them: 0)."
    )


@pytest.mark.parametrize(
    ("split", "says"),
    [
        (["train"] * 99 + [None], "1 of 100 images has no published split. Import without --split-from"),
        (["train"] * 50 + ["fold 2"] * 50, "50 of 100 images have no published split"),
        (["train"] * 100, "The published split has only train images"),
        (["test"] * 50 + ["val"] * 50, "The published split has only test, validation images"),
        (["train", "test"] * 50, "The published split has no test image of a"),
        (["train"] * 98 + ["test"] * 2, None),
    ],
)
def test_published_splits_that_cannot_be_kept(split: list[str], says: str | None) -> None:
    if says is None:
        keep_published_split(published(split=split), seed=1)
        return
    with pytest.raises(DataError, match=says):
        keep_published_split(published(split=split), seed=1)
