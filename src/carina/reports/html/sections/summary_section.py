"""Section 1, one screen: what was tested, the headline figures, what the audit says of them, and what they are for."""

from __future__ import annotations

from carina.evaluation.intervals import Estimate
from carina.reports.evaluated import Evaluated
from carina.reports.html.markup import Html, element, join
from carina.reports.numbers import Kind, full_text, interval_text, percent_text, unbroken, value_text
from carina.reports.html.section import Section
from carina.reports.report_tables import Figure, Table

NO_AUDIT = (
    "No audit was attached, so nothing here says how much of these figures is lungs. Make one with carina audit, and "
    "name its folder: carina report DIR --audit AUDIT."
)
INTENDED_USE = (
    "For research, and for ordering a reading list under the eyes of a radiologist. It is no medical device and makes "
    "no diagnosis. A flag says what to read first; a radiograph without one is still to be read."
)
LIMITS = (
    "Figures hold for radiographs like those tested here: another hospital, device, age group or mix of findings moves "
    "them. Every disease that the model does not know is called one of its findings. Not for lateral views, computed "
    "tomography, photographs of films, or any body part but the chest."
)


def build_summary(evaluated: Evaluated) -> Section:
    """Return the first section."""
    section = Section("summary", "What was tested, and what came of it", "Summary")
    if evaluated.content["notice"]:
        section.add(element("p", str(evaluated.content["notice"]), class_="alarm", role="alert"))
    cards = [_card(*item) for item in _headline(evaluated)]
    section.add(element("div", *cards, class_="cards"))
    audit = unbroken(str(evaluated.audit["sentence"])) if evaluated.audit else NO_AUDIT
    word = "What the audit says" if evaluated.audit else "Not audited"
    section.add(element("aside", element("strong", f"{word}: "), audit, class_="audit-words"))
    section.add(
        element(
            "div",
            element("div", element("h3", "What was tested"), _tested(evaluated)),
            element(
                "div",
                element("h3", "What it is for"),
                element("p", INTENDED_USE),
                element("h3", "Where it ends"),
                element("p", LIMITS),
            ),
            class_="columns",
        )
    )
    section.tables.append(_headline_table(evaluated))
    return section


def _headline(evaluated: Evaluated) -> list[tuple[str, str, Estimate, Kind, bool]]:
    """Return name, what it says, number, kind, and whether a bar from 0 to 1 shows it."""
    flag, point = evaluated.flag, f"threshold {evaluated.threshold:.3f}"
    reached = ("operating_point", "reached")
    return [
        (f"Sensitivity, {flag}", f"at the shipped {point}", evaluated.estimate(*reached, "sensitivity"), "share", True),
        (f"Specificity, {flag}", f"at the shipped {point}", evaluated.estimate(*reached, "specificity"), "share", True),
        (
            "AUROC, mean",
            "of all findings; 0.5 is chance",
            evaluated.estimate("metrics", "macro_auroc"),
            "area",
            True,
        ),
        ("Accuracy", "the likeliest finding is the true one", evaluated.estimate("metrics", "accuracy"), "share", True),
        (
            "Calibration error (ECE)",
            "0 is best; by chance alone "
            + value_text(evaluated.estimate("metrics", "calibration", "ece_if_calibrated"), "area"),
            evaluated.estimate("metrics", "calibration", "ece"),
            "area",
            False,
        ),
    ]


def _card(name: str, says: str, estimate: Estimate, kind: Kind, bar: bool) -> Html:
    drawn = _bar(estimate) if bar and estimate.value is not None else None
    return element(
        "div",
        element("h3", name),
        element("p", element("span", value_text(estimate, kind), class_="big"), class_="big-line"),
        element("p", _interval_words(estimate, kind), class_="interval-line"),
        drawn,
        element("p", says, class_="note"),
        class_="card",
    )


def _interval_words(estimate: Estimate, kind: Kind) -> Html:
    if estimate.low is None:
        return join(interval_text(estimate, kind))
    return join("95\u00a0% interval ", element("span", interval_text(estimate, kind), class_="nowrap"))


def _bar(estimate: Estimate) -> Html:
    """Return a thin bar from 0 to 1 with the interval on it; the words beside it say the same."""
    value, low, high = estimate.value or 0.0, estimate.low, estimate.high
    parts = [
        element("rect", x=0, y=5, width=200, height=4, class_="f-grid"),
        element("rect", x=0, y=5, width=f"{200 * value:.2f}", height=4, class_="f-s1"),
    ]
    if low is not None and high is not None:
        at, wide = 200 * low, max(200 * (high - low), 2.0)
        parts.append(element("rect", x=f"{min(at, 198.0):.2f}", y=2, width=f"{wide:.2f}", height=10, class_="f-ink"))
    return element(
        "svg", *parts, viewBox="0 0 200 14", class_="thin-bar", aria_hidden="true", preserveAspectRatio="none"
    )


def _tested(evaluated: Evaluated) -> Html:
    data, leaks, model = evaluated.content["data"], evaluated.content["leak_check"], evaluated.model
    n, findings = data["images"], data["findings"]
    mix = "; ".join(
        f"{name} {count:,} ({percent_text(count / n)})"
        for name, count in sorted(findings.items(), key=lambda item: -item[1])
    )
    split = f"the {data['split']} split"
    return element(
        "dl",
        *_pair("Model", f"{model['name']} ({model['images'].get('train', 0):,} training images)"),
        *_pair("Data", join(element("b", data["name"]), f", {split}")),
        *_pair("Images", f"{n:,} of {data['patients_or_groups']:,} patients or sets of near-duplicates"),
        *_pair("Findings", mix),
        *_pair("Flagged finding", evaluated.flag),
        *_pair("Sources", _sources(evaluated)),
        *_pair("Leak check", _leak_words(evaluated)),
        *(
            _pair(
                "Not assessable",
                f"{data['not_assessable']} images that prediction refuses: judged here all the same",
            )
            if data.get("not_assessable")
            else ()
        ),
        *(
            ()
            if model.get("gate")
            else _pair("Gate", "none: nothing looked whether these are frontal chest radiographs")
        ),
        *_pair(
            "Left out",
            f"{leaks['dropped']:,} images that the model had learned from" if leaks["dropped"] else "nothing",
        ),
        class_="facts",
    )


def _pair(name: str, words: Html | str) -> tuple[Html, Html]:
    return element("dt", name), element("dd", words)


def _sources(evaluated: Evaluated) -> str:
    counts = evaluated.table["source"].drop_nulls().value_counts(sort=True)
    if counts.is_empty():
        return "the manifest names none"
    return ", ".join(f"{source} {count:,}" for source, count in counts.iter_rows())


def _leak_words(evaluated: Evaluated) -> Html:
    leaks = evaluated.content["leak_check"]
    found = leaks["same_pixels"] + leaks["near_duplicates"]
    sign = element("span", "passed" if not found else "leaks found", class_="good" if not found else "bad")
    words = (
        f": {leaks['images_checked']:,} images against {leaks['training_images']:,} training images: "
        f"{leaks['same_pixels']} the same to the pixel, {leaks['near_duplicates']} nearly."
    )
    if leaks["stopped_on"]:
        words += (
            f" {leaks['stopped_on']:,} of them decided when training stopped or where thresholds lie: figures are a "
            "little too good."
        )
    return join(sign, words)


def _headline_table(evaluated: Evaluated) -> Table:
    rows = tuple((name, Figure(estimate, kind)) for name, _, estimate, kind, _ in _headline(evaluated))
    return Table("headline", f"Headline figures: {evaluated.label}", ("Figure", "Value"), rows)


def summary_sentence(evaluated: Evaluated) -> str:
    """Return the headline in one sentence, for the page's description."""
    reached = [evaluated.estimate("operating_point", "reached", name) for name in ("sensitivity", "specificity")]
    return (
        f"{evaluated.label}: sensitivity {full_text(reached[0])} at specificity {full_text(reached[1])} for "
        f"{evaluated.flag}, mean AUROC {full_text(evaluated.estimate('metrics', 'macro_auroc'), 'area')}."
    )
