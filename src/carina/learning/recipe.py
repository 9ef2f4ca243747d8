"""Recipes: everything that training needs to know, typed, in a TOML file, refused where it is unknown."""

import tomllib
from collections.abc import Sequence
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from carina.decisions.operating_point import OperatingPointRule, Rule, ThresholdRule
from carina.decisions.policy import PolicySettings
from carina.errors import ConfigurationError
from carina.findings import NORMAL, canonical_finding, flag_candidates
from carina.radiographs.preprocess import Preprocessing


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BackboneSettings(_Settings):
    """The MobileNetV2 that turns a tensor into an embedding.

    Attributes
    ----------
    weights
        ``imagenet`` (Keras downloads and caches those of 224 pixels, which serve all sizes), ``carina`` (those of the
        released bundle; no network needed), ``none`` (random), or a path to an ``.h5`` file of Keras'.
    taps
        Layers whose feature maps are averaged over the image and joined to the embedding.
    alpha
        Width multiplier. ImageNet weights exist for 0.35, 0.5, 0.75, 1.0, 1.3 and 1.4.
    trainable
        Whether training changes the backbone.
    batch_norm_momentum
        How slowly the moving averages of batch norm change, if the backbone is trained. Keras' own 0.999 lags thousands
        of steps behind.
    """

    weights: str = "imagenet"
    taps: tuple[str, ...] = Field(default=("out_relu",), min_length=1)
    alpha: float = Field(default=1.0, gt=0, le=1.4)
    trainable: bool = False
    batch_norm_momentum: float = Field(default=0.999, gt=0, lt=1)


class HeadSettings(_Settings):
    """The linear layer from embedding to logits.

    Attributes
    ----------
    dropout
        Share of the embedding that is set to zero in training.
    l2
        Weight decay: this times the sum of squared weights is added to the loss.
    """

    dropout: float = Field(default=0.2, ge=0, lt=1)
    l2: float = Field(default=0.0, ge=0)


class AugmentationSettings(_Settings):
    """How training images are varied; never mirrored, since the heart has a side.

    Attributes
    ----------
    rotation_turns
        Largest rotation either way, in full turns (0.05 is 18°).
    shift
        Largest shift either way and direction, as a share of the image's side.
    zoom
        Largest change of scale either way, as a share.
    gamma
        Largest logarithm of the exponent that grey values in [0, 1] are raised to.
    aspect
        Largest logarithm of the factor by which width grows and height shrinks.
    contrast
        Largest relative change of the contrast.
    brightness
        Largest number that is added to grey values in [0, 1].
    blur
        The share of images that is made unsharp: shrunk and enlarged again.
    smallest
        How far such images are shrunk at most, as a share of their side.
    noise
        Largest standard deviation of the noise added to grey values in [0, 1].
    crop_margin
        Largest change of each of the crop's four margins, as a share of its side.
    outside_erased
        The share of images in which all but the lungs, more or less widened, becomes one grey. With lung crop only.
    amplitudes_mixed
        The share of images whose Fourier amplitudes are mixed with those of another image of the batch. Fine-tuning
        only.
    views
        Augmented views of each training image beside the image itself. Cached embeddings only.

    Rotation, shift and zoom are all that ``method = "end-to-end"`` has, since the published baseline has no more.
    """

    rotation_turns: float = Field(default=0.0, ge=0, le=0.25)
    shift: float = Field(default=0.0, ge=0, le=0.5)
    zoom: float = Field(default=0.0, ge=0, le=0.5)
    gamma: float = Field(default=0.0, ge=0, le=1)
    aspect: float = Field(default=0.0, ge=0, le=0.5)
    contrast: float = Field(default=0.0, ge=0, le=0.9)
    brightness: float = Field(default=0.0, ge=0, le=0.5)
    blur: float = Field(default=0.0, ge=0, le=1)
    smallest: float = Field(default=0.35, gt=0.1, lt=1)
    noise: float = Field(default=0.0, ge=0, le=0.5)
    crop_margin: float = Field(default=0.0, ge=0, le=0.3)
    outside_erased: float = Field(default=0.0, ge=0, le=1)
    amplitudes_mixed: float = Field(default=0.0, ge=0, le=1)
    views: int = Field(default=0, ge=0, le=32)


class TrainingSettings(_Settings):
    """How the loss is made small, and when to stop.

    Attributes
    ----------
    epochs
        At most so many passes over the training split.
    batch_size
        Images in one step of the optimiser (Adam).
    learning_rate
        Step size of the optimiser.
    patience
        Stop after so many epochs without a smaller loss on the stopping split; the best epoch is kept.
    class_weights
        ``balanced`` weighs each finding by the inverse of its frequency.
    cost_matrix
        ``cost_matrix[true finding][called finding]``: what a mistake costs. Times `cost_weight`, the expected cost
        is added to the loss. Findings and pairs that are not named cost nothing.
    cost_weight
        How much the expected cost counts beside the cross-entropy.
    seed
        Seed of the random numbers for weights, order, dropout and augmentation.
    """

    epochs: int = Field(default=6, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    patience: int = Field(default=2, ge=1)
    class_weights: Literal["none", "balanced"] = "none"
    cost_matrix: dict[str, dict[str, float]] | None = None
    cost_weight: float = Field(default=1.0, gt=0)
    seed: int = Field(default=1234, ge=0)


class StageSettings(_Settings):
    """One stage of fine-tuning.

    Attributes
    ----------
    train_from
        The first layer that learns, which begins a block of MobileNetV2: ``block_13_expand``, ``block_6_expand`` ...
    epochs
        Number of epochs.
    learning_rate
        Largest step size of the optimiser (AdamW): it rises over the first twentieth of the stage and falls along a
        cosine to a fiftieth.
    """

    train_from: str = Field(pattern=r"^block_\d+_expand$")
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)


class LastLayerSettings(_Settings):
    """How the last layer is fitted again after fine-tuning, so that small sources count as much as large ones.

    Attributes
    ----------
    balance
        How evenly findings count: in proportion to the number of their images to the power of this. 1 counts images
        alike, 0 findings.
    source_balance
        The same for the sources of a finding: at 0 each counts alike.
    ridge
        How strongly the weights are drawn towards those that fine-tuning left: in units of one image's log-likelihood.
    """

    balance: float = Field(default=0.5, ge=0, le=1)
    source_balance: float = Field(default=0.0, ge=0, le=1)
    ridge: float = Field(default=3000.0, gt=0)


class FineTuningSettings(_Settings):
    """How deeper layers are trained, from the solution of the head.

    Attributes
    ----------
    stages
        One after the other, each from what the last one left.
    epoch_images
        How many images an epoch draws.
    batch_size
        Images in one step of the optimiser (AdamW).
    weight_decay
        Weight decay of the optimiser.
    label_smoothing
        The share of each label that is spread over all findings.
    balance
        How evenly findings, and sources within a finding, are drawn: in proportion to the number of their images to
        the power of this. 1 draws images evenly, 0 findings and sources.
    unpaired
        How much the question "normal or abnormal?" counts for abnormal images of a source that has no normal images,
        0 to 1. Below 1 the look of such a source teaches less that an image is abnormal. Which finding it is counts in
        full. At 1 the loss is plain cross-entropy. Below 1 there can be no label smoothing and no cost matrix, which do
        not know of sources.
    averaging
        Share that an exponential average of all weights keeps at each step. The average is what is judged and kept.
    keep
        ``last`` keeps the last epoch of each stage, so that nothing is chosen on the stopping split; ``best`` the one
        with the smallest loss there.
    last_layer
        How the last layer is fitted again at the end. By default it stays as the last stage left it.
    """

    stages: tuple[StageSettings, ...] = Field(min_length=1)
    epoch_images: int = Field(default=9600, ge=1)
    batch_size: int = Field(default=32, ge=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    balance: float = Field(default=0.5, ge=0, le=1)
    unpaired: float = Field(default=1.0, ge=0, le=1)
    averaging: float = Field(default=0.99, ge=0, lt=1)
    keep: Literal["last", "best"] = "last"
    last_layer: LastLayerSettings | None = None


class OperatingPointSettings(ThresholdRule):
    """How the threshold of the finding that is fast-tracked is chosen, on the split that training stops on.

    The other attributes are those of `carina.decisions.operating_point.ThresholdRule`. Without any the specificity is
    at least 0.98.

    Attributes
    ----------
    finding
        The finding to flag. By default what the data set was imported to flag.
    """

    finding: str | None = None
    rule: Rule = "specificity-at-least"

    @model_validator(mode="before")
    @classmethod
    def _with_default_target(cls, given: dict[str, object]) -> dict[str, object]:
        return given if "rule" in given or "target" in given else {**given, "target": 0.98}

    def rule_for(self, findings: Sequence[str]) -> OperatingPointRule:
        """Return the rule for a data set with these findings.

        Raises
        ------
        ConfigurationError
            If the finding named is not among them, or none is named and several could be flagged.
        """
        candidates = flag_candidates(findings)
        if self.finding is None and len(candidates) != 1:
            msg = f"operating_point.finding is not named, and {', '.join(findings)} leave a choice. Name it."
            raise ConfigurationError(msg)
        finding = canonical_finding(self.finding or candidates[0])
        if finding not in findings:
            msg = f"operating_point.finding is {finding!r}; the data set has: {', '.join(findings)}."
            raise ConfigurationError(msg)
        if finding == NORMAL:
            msg = "operating_point.finding is Normal; name the finding that is to be flagged."
            raise ConfigurationError(msg)
        return OperatingPointRule(finding=finding, **self.model_dump(exclude={"finding"}))


class GateSettings(_Settings):
    """How the gate is learned, which says of an image whether it may be judged at all.

    Attributes
    ----------
    radiographs
        Training radiographs used at most, evenly from findings and sources.
    varied
        Harmlessly varied copies of each.
    oddities
        Kinds of oddity that each is shown with, chosen for it.
    drawn
        Drawn images of other things for each radiograph.
    acceptance
        The share of radiographs that is to be let through; the line is drawn on the stopping split.
    seed
        Seed of the random numbers for choices and variations.
    """

    radiographs: int = Field(default=1500, ge=10)
    varied: int = Field(default=2, ge=0)
    oddities: int = Field(default=3, ge=1)
    drawn: float = Field(default=0.5, ge=0)
    acceptance: float = Field(default=0.995, gt=0, le=1)
    seed: int = 1234


class Recipe(_Settings):
    """Everything that training needs to know beside the data.

    Attributes
    ----------
    name
        What the recipe is called in tables.
    method
        ``end-to-end`` runs every image through the network in every epoch; ``cached-embeddings`` runs it through the
        frozen backbone once and trains the head on what came out; ``fine-tune`` does the same and then trains deeper
        layers in stages (`fine_tuning`), while the layers below run in the engine.
    split
        ``train-validation`` is the published baseline's 80 / 20 %, which stops on the images that it reports on;
        ``train-calibration-test`` is 70 / 10 / 20 % and stops on calibration.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    method: Literal["end-to-end", "cached-embeddings", "fine-tune"]
    split: Literal["train-validation", "train-calibration-test"] = "train-calibration-test"
    preprocessing: Preprocessing = Preprocessing()
    backbone: BackboneSettings = BackboneSettings()
    head: HeadSettings = HeadSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    training: TrainingSettings = TrainingSettings()
    fine_tuning: FineTuningSettings | None = None
    operating_point: OperatingPointSettings = OperatingPointSettings()
    decisions: PolicySettings = PolicySettings()
    gate: GateSettings | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.method != "end-to-end" and self.backbone.trainable:
            msg = "backbone.trainable is for method = 'end-to-end'; method = 'fine-tune' has its stages"
            raise ValueError(msg)
        basic = {"rotation_turns", "shift", "zoom"}
        none = AugmentationSettings().model_dump(exclude=basic)
        named = [name for name, value in self.augmentation.model_dump(exclude=basic).items() if value != none[name]]
        if self.method == "end-to-end" and named:
            msg = f"augmentation.{named[0]} is not for method = 'end-to-end', which has {', '.join(sorted(basic))}"
            raise ValueError(msg)
        if (self.method == "fine-tune") != (self.fine_tuning is not None):
            msg = "method = 'fine-tune' needs the table fine_tuning, and no other method has it"
            raise ValueError(msg)
        tuning = self.fine_tuning
        if tuning is not None and tuning.unpaired < 1 and (tuning.label_smoothing or self.training.cost_matrix):
            msg = "fine_tuning.unpaired below 1 goes without label_smoothing and without training.cost_matrix"
            raise ValueError(msg)
        return self

    @property
    def needs_segmenter(self) -> bool:
        """Return whether lungs are looked for: for the network, which is shown them alone, or for the gate."""
        return self.preprocessing.crop == "lungs" or self.gate is not None

    @property
    def stopping_split(self) -> Literal["validation", "calibration"]:
        """Return the split whose loss ends the training and on which the operating point is chosen."""
        return "validation" if self.split == "train-validation" else "calibration"


def shipped_recipes() -> tuple[str, ...]:
    """Return the names of the recipes that come with Carina."""
    folder = resources.files("carina") / "recipes"
    return tuple(sorted(path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml")))


def load_recipe(name: str | PathLike[str]) -> Recipe:
    """Return a shipped recipe by name, or one in a TOML file by path.

    Parameters
    ----------
    name
        ``head``, ``finetune``, ``baseline`` or ``demo``, or a TOML file.

    Raises
    ------
    ConfigurationError
        If there is no such recipe, or it holds an unknown or impossible setting; the message names the setting.
    """
    name = str(name)
    if name in shipped_recipes():
        text = (resources.files("carina") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8", errors="replace")
    else:
        msg = f"There is no recipe {name!r}. Shipped: {', '.join(shipped_recipes())}; or name a TOML file."
        raise ConfigurationError(msg)
    try:
        return Recipe.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        msg = f"Recipe {name} is not valid TOML: {error}."
        raise ConfigurationError(msg) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "as a whole"
        msg = f"Recipe {name}, {where}: {first['msg']}. Received: {first['input']!r}."
        raise ConfigurationError(msg) from None


def recipe_as_toml(recipe: Recipe) -> str:
    """Return the recipe with every default written out, as TOML that `load_recipe` reads."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))
