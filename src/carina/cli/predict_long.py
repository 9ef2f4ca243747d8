"""The long form of ``carina predict``: all that is known of an image, as soon as it is judged."""

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.text import Text

from carina.cli.predict_words import STYLES, figure, print_wrapped, printable
from carina.decisions.policy import Policy
from carina.inference.prediction import AnyPrediction, FailedPrediction
from carina.inference.prediction_list import said_of, summary
from carina.inference.results import path_in_words


class LongForm:
    """For each image its priority and path, and below it its full reason, all its figures and its reservations."""

    def __init__(self, policy: Policy) -> None:
        self._findings = policy.findings
        self._console = Console(highlight=False, markup=False, emoji=False)

    def add(self, prediction: AnyPrediction, picture: Path | None) -> None:
        """Print an image."""
        said, below = said_of(prediction), self._below(prediction)
        line = Text(f"{said}  {printable(path_in_words(prediction.path))}")
        line.stylize(STYLES.get(said, "bold"), 0, len(said))
        self._console.print(line, soft_wrap=True)
        if picture is not None:
            below.append(f"Picture: {printable(path_in_words(picture))}")
        for words in below:
            print_wrapped(self._console, f"  {words}", indent=2)

    def end(self, counts: Counter[str]) -> None:
        """Print how many there were."""
        if counts.total() > 1:
            self._console.print()
            print_wrapped(self._console, summary(counts), indent=0)

    def _below(self, prediction: AnyPrediction) -> list[str]:
        if isinstance(prediction, FailedPrediction):
            return [f"{prediction.error.code}: {prediction.error}"]
        triage = prediction.triage
        below = [f"{triage.code}: {triage.reason}"]
        if (shares := prediction.probabilities) is not None:
            figures = (f"{finding} {figure(shares[finding])}" for finding in self._findings)
            below.append(f"Probabilities: {', '.join(figures)}")
        return [*below, *(f"Reservation: {doubt}" for doubt in prediction.reservations)]
