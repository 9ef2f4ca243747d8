"""Which finding a training flags: what the recipe says, else what its data sets were imported to flag."""

from collections.abc import Callable

from carina.errors import ConfigurationError
from carina.findings import NORMAL, flag_candidates
from carina.learning.data.training_data import TrainingData
from carina.learning.recipe import Recipe


def settle_flag(recipe: Recipe, data: TrainingData, tell: Callable[[str], None]) -> Recipe:
    """Return the recipe with the finding that is flagged written into it.

    Parameters
    ----------
    recipe
        Its ``operating_point.finding`` counts before what the data sets say.
    data
        What is learned from.
    tell
        Is told, in sentences, what is flagged and why.

    Raises
    ------
    ConfigurationError
        If the recipe names a finding that is not there, the data sets contradict each other, or nothing says which
        finding is normal or flagged.
    """
    asked = {
        dataset.folder.name: dataset.description.flag_finding
        for dataset in data.datasets
        if dataset.description.flag_finding is not None
    }
    named = recipe.operating_point.finding
    if named is not None:
        flag, why = recipe.operating_point.rule_for(data.findings).finding, "the recipe says so"
    else:
        flag, why = _flag_of_data(data, {name: flag for name, flag in asked.items() if flag in data.findings})
    others = [finding for finding in data.findings if finding not in (NORMAL, flag)]
    normal = "" if NORMAL in data.findings else " No finding is normal."
    also = f" Also not normal, and not flagged: {', '.join(others)}." if others else ""
    tell(f"Flagged finding: {flag} ({why}).{normal}{also}")
    for name, other in asked.items():
        if other not in data.findings:
            tell(f"{name} was imported to flag {other}, but no image of it is left to train on.")
        elif other != flag:
            tell(f"{name} was imported to flag {other}; this model flags {flag}, since {why}.")
    point = recipe.operating_point.model_copy(update={"finding": flag})
    return recipe.model_copy(update={"operating_point": point})


def _flag_of_data(data: TrainingData, asked: dict[str, str]) -> tuple[str, str]:
    """Return the flagged finding and why it is that, where the recipe names none."""
    way_out = 'Name it in a recipe of your own, under [operating_point]: finding = "NAME".'
    flags = set(asked.values())
    if len(flags) == 1:
        return flags.pop(), "as its data set was imported"
    if flags:
        contradiction = ", ".join(f"{name} flags {flag}" for name, flag in asked.items())
        msg = f"The data sets flag different findings: {contradiction}. {way_out}"
        raise ConfigurationError(msg)
    # Single findings joined, or data sets of a version that did not write down what is flagged.
    have = f"{data.name} has the findings {', '.join(data.findings)}, and nothing says which of them is"
    if NORMAL not in data.findings:
        msg = (
            f"{have} normal or flagged. Import again with --normal NAME (or --normal none, if no image is normal) and "
            "--flag NAME."
        )
        raise ConfigurationError(msg)
    candidates = flag_candidates(data.findings)
    if len(candidates) > 1:
        msg = (
            f"{have} flagged, which means read first: {' or '.join(candidates)}. Import again with --flag NAME. "
            f"{way_out}"
        )
        raise ConfigurationError(msg)
    (flag,) = candidates
    return flag, "nothing else was said"
