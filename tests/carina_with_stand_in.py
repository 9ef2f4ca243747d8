"""``carina``, as typed, with the stand-in for what judges: python tests/carina_with_stand_in.py dicom query …"""

from collections.abc import Callable
from typing import Any

import carina.cli.dicom.listen
import carina.cli.dicom.query
from carina.cli import main
from carina.dicom.listener.judging import Judge
from dicom_stand_in import factory


def stand_in(*_: Any) -> Callable[[], Judge]:
    return factory


if __name__ == "__main__":
    carina.cli.dicom.listen.judge_factory = stand_in
    carina.cli.dicom.query.judge_factory = stand_in
    main()
