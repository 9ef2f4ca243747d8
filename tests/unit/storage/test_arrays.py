"""Named arrays come back as they were; a damaged or unsafe file is refused."""

from pathlib import Path

import numpy as np
import pytest

from carina.errors import BundleError
from carina.storage.arrays import read_arrays, write_arrays


def test_a_round_trip(tmp_path: Path) -> None:
    arrays = {"a": np.arange(5), "text": np.array("words"), "seed": np.array([1, 2], dtype=np.uint32)}
    write_arrays(tmp_path / "x.npz", arrays)
    back = read_arrays(tmp_path / "x.npz")
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_every_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write_arrays(path, {"a": np.arange(100), "b": np.arange(100)})
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(BundleError, match=r"x.npz is damaged"):
            read_arrays(path)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{"code": 1}], dtype=object))
    with pytest.raises(BundleError, match=r"damaged \(ValueError\)"):
        read_arrays(tmp_path / "x.npz")
