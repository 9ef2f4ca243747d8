"""What a model and a data set may be given as."""

from os import PathLike
from pathlib import Path
from typing import Protocol

from carina.datasets.importing import ImportReport
from carina.datasets.manifest import Dataset, open_dataset

DatasetLike = Dataset | ImportReport | str | PathLike[str]
"""A data set, what an import gave, or the folder of a data set."""


class InFolder(Protocol):
    """What lies in a folder: a `carina.Model` or a `carina.Run`."""

    @property
    def folder(self) -> Path:
        """Return the folder."""
        ...


ModelLike = InFolder | str | PathLike[str]
"""A model, a run, or the folder of a bundle or a finished run."""


def folder_of(model: ModelLike) -> Path:
    """Return the folder of a model or a run."""
    return Path(model) if isinstance(model, str | PathLike) else model.folder


def dataset_of(dataset: DatasetLike) -> Dataset:
    """Return a data set, opened.

    Raises
    ------
    DataError
        If the folder is no data set.
    """
    if isinstance(dataset, ImportReport):
        return dataset.dataset
    return dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
