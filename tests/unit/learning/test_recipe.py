"""Recipes are typed, complete, and refused where they are unknown."""

from pathlib import Path

import pytest

from carina.errors import ConfigurationError
from carina.learning.recipe import OperatingPointSettings, load_recipe, recipe_as_toml, shipped_recipes

MINIMAL = 'name = "mine"\nmethod = "cached-embeddings"\n'


def test_every_shipped_recipe_loads_under_its_own_name() -> None:
    assert {"baseline", "head", "demo"} <= set(shipped_recipes())
    for name in shipped_recipes():
        assert load_recipe(name).name == name


def test_the_baseline_is_the_published_one() -> None:
    recipe = load_recipe("baseline")
    assert (recipe.method, recipe.split, recipe.stopping_split) == ("end-to-end", "train-validation", "validation")
    assert (recipe.preprocessing.size, recipe.preprocessing.pixel_range) == (224, "zero-one")
    assert (recipe.backbone.weights, recipe.backbone.taps, recipe.backbone.trainable) == (
        "imagenet",
        ("out_relu",),
        False,
    )
    assert recipe.head.dropout == 0.2
    augmentation = recipe.augmentation
    assert (augmentation.rotation_turns, augmentation.shift, augmentation.zoom) == (0.05, 0.05, 0.10)
    training = recipe.training
    assert (training.epochs, training.batch_size, training.learning_rate, training.patience) == (6, 32, 1e-3, 2)
    assert (training.class_weights, training.cost_matrix, training.seed) == ("none", None, 1234)


def test_a_resolved_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    for name in shipped_recipes():
        path = tmp_path / "resolved.toml"
        path.write_text(recipe_as_toml(load_recipe(name)), encoding="utf-8")
        assert load_recipe(str(path)) == load_recipe(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "colour = 1\n", r"colour: Extra inputs are not permitted. Received: 1"),
        (MINIMAL + "[training]\nlearning_rate = -1.0\n", r"training.learning_rate: .*greater than 0. Received: -1.0"),
        (MINIMAL + "[training]\nlearnig_rate = 0.1\n", r"training.learnig_rate: Extra inputs"),
        (MINIMAL + "[backbone]\ntrainable = true\n", r"as a whole: .*is for method = 'end-to-end'"),
        (
            'name = "mine"\nmethod = "end-to-end"\n[augmentation]\nviews = 2\n',
            r"augmentation.views is not for method = 'end-to-end'",
        ),
        ("name = ", r"is not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_the_setting(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        load_recipe(str(path))


def test_an_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"no recipe 'besaline'. Shipped: baseline, demo, finetune, head"):
        load_recipe("besaline")


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        (("COVID-19", "Normal", "Viral Pneumonia"), "COVID-19"),
        (("Normal", "Tuberculosis"), "Tuberculosis"),
        (("Lung Opacity", "Normal"), "Lung Opacity"),
    ],
)
def test_the_operating_point_falls_on_the_finding_that_matters(findings: tuple[str, ...], expected: str) -> None:
    assert OperatingPointSettings().rule_for(findings).finding == expected


def test_an_operating_point_on_a_finding_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"operating_point.finding is 'TB'; the data set has: Normal, Other"):
        OperatingPointSettings(finding="TB").rule_for(("Normal", "Other"))


def test_normal_is_nothing_to_flag() -> None:
    with pytest.raises(ConfigurationError, match=r"finding is Normal; name the finding that is to be flagged"):
        OperatingPointSettings(finding="Normal").rule_for(("COVID-19", "Normal"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigurationError, match=r"is not valid TOML"):
        load_recipe(str(tmp_path / "model.keras"))
