"""Where bundles are found, and what golden examples notice."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import carina.bundles.bundle
from carina.bundles.bundle import BUNDLE_FILE, open_model, open_named_model, released_bundle
from carina.bundles.golden import _largest
from carina.errors import BundleError
from unit.inference.small_model import write_small_run


def test_the_released_bundle_is_found_in_a_wheel_then_in_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "src" / "carina"
    monkeypatch.setattr(carina.bundles.bundle, "__file__", str(package / "bundles" / "bundle.py"))
    with pytest.raises(BundleError, match=r"came without its model carina-mobilenetv2 .*Name a run or a bundle"):
        released_bundle()
    for place in (tmp_path / "models" / "carina-mobilenetv2", package / "models" / "carina-mobilenetv2"):
        place.mkdir(parents=True)
        (place / BUNDLE_FILE).write_text("{}")
        assert released_bundle() == place


def test_a_run_is_opened_as_it_is(tiny_run: Path) -> None:
    assert open_model(tiny_run).name == "tiny"
    assert open_model(tiny_run).format.startswith("carina-run-")


def test_what_stands_for_the_whole_of_a_bundle_and_of_a_run(tmp_path: Path) -> None:
    described, sha256 = open_named_model(released_bundle())
    assert described.name == "carina-mobilenetv2"
    assert sha256 == hashlib.sha256((released_bundle() / "SHA256SUMS").read_bytes()).hexdigest()
    run = write_small_run(tmp_path / "run")
    named = open_named_model(run)
    assert named == (open_model(run), hashlib.sha256((run / "run.json").read_bytes()).hexdigest())


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a run or a bundle"):
        open_model(tmp_path)
    with pytest.raises(BundleError, match="There is no folder"):
        open_model(tmp_path / "nowhere")


def test_a_box_that_is_found_on_one_side_only_is_no_small_difference() -> None:
    nothing, box = np.full((1, 4), np.nan), np.zeros((1, 4))
    assert _largest(nothing, nothing) == 0
    assert _largest(box, box + 0.25) == 0.25
    assert _largest(nothing, box) == _largest(box, nothing) == np.inf
