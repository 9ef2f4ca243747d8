"""Cells that are taken away or kept, to the pixel; what maps of a planted model are worth is in `test_audit`."""

import numpy as np

from carina.evaluation.audit.evidence import altered_frames


def test_cells_are_taken_in_their_order_and_become_the_mean_grey() -> None:
    shown = np.arange(64, dtype=np.uint8).reshape(8, 8)
    # 4 rows of 5 columns: 1, 2, 4 and 10 of 20 cells.
    shown = np.repeat(shown, 5, axis=1)
    orders = np.stack([np.arange(20), np.arange(20)[::-1]])
    without, alone = altered_frames(shown, orders, (4, 5))
    assert without.shape == (2, 4, 8, 40)
    neutral = round(shown.mean())
    first = np.zeros_like(shown, dtype=bool)
    first[:2, :16] = True
    assert np.array_equal(without[0, 1], np.where(first, neutral, shown))
    assert np.array_equal(alone[0, 1], np.where(first, shown, neutral))
    assert np.array_equal(without[0, 3][4:], shown[4:])
    assert (without[0, 3][:4] == neutral).all()
    # The other order takes the last cells.
    assert np.array_equal(alone[1, 0] != neutral, (np.indices(shown.shape) >= [[[6]], [[32]]]).all(axis=0))


def test_grids_that_do_not_divide_the_image_leave_no_pixel_out() -> None:
    shown = np.full((7, 7), 200, np.uint8)
    shown[0, 0] = 0
    without, alone = altered_frames(shown, np.arange(4)[np.newaxis], (2, 2))
    assert (without[0, -1][:4] == alone[0, -1][4:].max()).all()
