"""Splits: whole groups, stratified, the same from the same seed whatever the order."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amount import sampled
from carina.datasets.split import assign_splits
from carina.errors import DataError
from make import make_manifest

SPLITS = {"train", "calibration", "test"}


def shares(manifest, finding):
    rows = manifest.filter(pl.col("finding") == finding)
    return {split: (rows["split"] == split).mean() for split in SPLITS}


def test_shares_are_70_10_20_by_finding():
    manifest = assign_splits(make_manifest(["a"] * 1000 + ["b"] * 150), seed=1)
    for finding, tolerance in (("a", 0.002), ("b", 0.01)):
        assert shares(manifest, finding) == pytest.approx(
            {"train": 0.7, "calibration": 0.1, "test": 0.2}, abs=tolerance
        )


def test_the_baselines_validation_images_are_the_test_images():
    manifest = assign_splits(make_manifest(["a"] * 50 + ["b"] * 50), seed=1)
    assert set(manifest["baseline_split"]) == {"train", "validation"}
    assert ((manifest["split"] == "test") == (manifest["baseline_split"] == "validation")).all()


def test_seed_and_order():
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
def test_a_group_never_straddles_and_each_finding_is_everywhere(rows, seed):
    # Groups of one finding, and now and then of two: a mislabelled copy.
    manifest = make_manifest([finding for _, finding in rows], group=[group for group, _ in rows])
    try:
        split = assign_splits(manifest, seed=seed)
    except DataError as error:
        assert "independent groups; at least 3 are needed" in str(error)  # noqa: PT017
        return
    assert split.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    for finding in set(manifest["finding"]):
        assert set(split.filter(pl.col("finding") == finding)["split"]) == SPLITS


@settings(deadline=None, database=None, max_examples=sampled(40))
@given(st.integers(0, 99))
def test_shares_with_groups_of_many_sizes(seed):
    sizes = np.random.default_rng(seed).choice([1, 1, 1, 2, 3, 8], size=200)
    manifest = make_manifest(["a"] * int(sizes.sum()), group=np.repeat(np.arange(200), sizes).tolist())
    reached = shares(assign_splits(manifest, seed=seed), "a")
    assert reached == pytest.approx({"train": 0.7, "calibration": 0.1, "test": 0.2}, abs=0.02)


def test_three_groups_are_enough_and_two_are_not():
    manifest = make_manifest(["a"] * 3)
    assert set(assign_splits(manifest, seed=0)["split"]) == SPLITS
    with pytest.raises(DataError, match=r"Finding 'b' has 4 images in 2 independent groups; at least 3 .*--findings"):
        assign_splits(make_manifest(["a"] * 9 + ["b"] * 4, group=[*range(9), 10, 10, 11, 11]), seed=0)


def test_a_finding_that_only_stands_in_groups_of_another_is_refused():
    """Each of its images is a copy of two that carry another label: no split can hold it on purpose."""
    manifest = make_manifest(["a"] * 20 + ["b"] * 3, group=[*[row // 2 for row in range(20)], 0, 1, 2])
    with pytest.raises(DataError, match="Finding 'b' has 3 images in 0 independent groups"):
        assign_splits(manifest, seed=0)


def test_a_group_counts_for_its_commonest_finding():
    """Ten groups of two b and a mislabelled a are groups of b, whatever comes first by name."""
    manifest = make_manifest(
        ["a"] * 10 + ["a", "b", "b"] * 10, group=[*range(10), *[10 + row // 3 for row in range(30)]]
    )
    split = assign_splits(manifest, seed=0)
    assert shares(split, "b") == pytest.approx({"train": 0.7, "calibration": 0.1, "test": 0.2})


def test_test_only_takes_everything():
    manifest = assign_splits(make_manifest(["a", "b"]), seed=0, test_only=True)
    assert manifest["split"].to_list() == ["test", "test"]
    assert manifest["baseline_split"].to_list() == ["validation", "validation"]
