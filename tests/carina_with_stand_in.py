"""``carina``, as typed, with the stand-in for what judges."""

from collections.abc import Callable
from typing import Any

import carina.cli.dicom.listen
import carina.cli.dicom.query
from carina.cli import main
from carina.dicom.listener.judging import Judge
from dicom_stand_in import factory


def stand_in(*_: Any, **__: Any) -> Callable[[], Judge]:
    return factory


def main_with_stand_in() -> None:
    carina.cli.dicom.listen.judge_factory = stand_in
    carina.cli.dicom.query.judge_factory = stand_in
    main()
