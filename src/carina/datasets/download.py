"""Public data sets, downloaded by their official client and imported."""

from dataclasses import dataclass
from pathlib import Path

from carina.errors import ConfigurationError, DataError


@dataclass(frozen=True, slots=True)
class PublicDataset:
    """A public data set that Carina can download."""

    handle: str  # its name at Kaggle
    folder: str  # the folder inside the download that holds the findings' folders
    # licence, cite: what its authors ask for
    licence: str
    cite: str


PUBLIC_DATASETS = {
    "covid19-radiography": PublicDataset(
        handle="tawsifurrahman/covid19-radiography-database",
        folder="COVID-19_Radiography_Dataset",
        licence="CC BY 4.0, as its authors state",
        cite="Chowdhury et al., IEEE Access 8, 2020, doi:10.1109/ACCESS.2020.3010287; Rahman et al., arXiv:2012.02238",
    ),
}


def download_public_dataset(name: str) -> Path:
    """Return the folder of a downloaded one of `PUBLIC_DATASETS`, ready to be imported.

    A second call reuses the download.

    Raises
    ------
    ConfigurationError
        If the name is unknown.
    DataError
        If the download fails, or is not laid out as expected.
    """
    if name not in PUBLIC_DATASETS:
        msg = f"Unknown public data set {name!r}. Known: {', '.join(PUBLIC_DATASETS)}."
        raise ConfigurationError(msg)
    public = PUBLIC_DATASETS[name]
    try:
        import kagglehub  # noqa: PLC0415  # a second to import, for one verb

        root = Path(kagglehub.dataset_download(public.handle))
    except Exception as error:  # noqa: BLE001  # kagglehub lets through whatever its transport raises
        msg = (
            f"{name} could not be downloaded ({type(error).__name__}). Without network: fetch kaggle.com/datasets/"
            f"{public.handle} in a browser, unpack it, and run: carina data import FOLDER --out DATASET"
        )
        raise DataError(msg) from None
    folder = root / public.folder
    if folder.is_dir():
        return folder
    if not root.is_dir():
        msg = f"The download of {name} left no folder at {root}. Delete the client's cache and try again."
        raise DataError(msg)
    return root
