"""What is said of a finding that the model does not know: true for the person who has it."""

from pathlib import Path

import pytest

from carina.datasets.importing import import_dataset
from carina.errors import DataError
from carina.evaluation.predictions import rows_to_judge
from make import write_tree

KNOWN = ("COVID-19", "Normal", "Viral Pneumonia")


@pytest.mark.parametrize(
    ("count", "model", "says", "never"),
    [
        (
            {"TB": 2, "Normal": 3},
            KNOWN,
            ["does not know: TB (2). The model knows: COVID-19, Normal, Viral Pneumonia."],
            ["--rename", "--normal", "--findings"],
        ),
        (
            {"TB": 2, "Asthma": 1, "COVID": 1, "Viral Pneumonia": 1},
            KNOWN,
            ["does not know: Asthma (1), TB (2).", "--findings 'COVID-19,Viral Pneumonia'."],
            ["--rename", "--normal"],
        ),
        (
            {"negative": 2, "TB": 1},
            ("Normal", "TB"),
            ["If negative is normal, import again with --normal neg"],
            ["--ren"],
        ),
        ({"tb": 2, "Normal": 1}, ("Normal", "TB"), ["tb and TB are spellings of one finding", "--rename tb=TB."], []),
        (
            {"TB": 2},
            KNOWN,
            ["does not know: TB (2).", "train a model on them. This data set is only for tests"],
            ["--findings", "--rename"],
        ),
    ],
)
def test_the_advice_is_true(
    count: dict[str, int], model: tuple[str, ...], says: list[str], never: list[str], tmp_path: Path
) -> None:
    source = write_tree(tmp_path / "source", count, size=32)
    dataset = import_dataset(source, tmp_path / "set", test_only=True).dataset
    with pytest.raises(DataError) as refused:
        rows_to_judge(dataset, "test", model)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'set'} has findings that the model does not know: ")
    assert all(words in message for words in says), message
    assert not any(words in message for words in never), message
