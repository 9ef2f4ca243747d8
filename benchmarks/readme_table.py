"""Write the tables of results in README.md and docs/ from the folders under results/: no figure is typed by hand.

python benchmarks/readme_table.py            rewrites them
python benchmarks/readme_table.py --check    exit code 1 if a page is not what would be written
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
RELEASED = "carina-mobilenetv2"
BEFORE = "carina-mobilenetv2-0.3.0"
BEGIN, END = "<!-- results: written by benchmarks/readme_table.py -->", "<!-- end of results -->"
PUBLISHED = {
    "accuracy": "0.8978",
    "macro_auroc": "0.9765",
    "sensitivity": "0.674",
    "specificity": "0.991",
    "normal": "0.988 / 0.717",
    "viral": "0.818 / 0.997",
}


def estimate(figure: dict[str, Any]) -> str:
    """Return a value with its interval as text."""
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def pair(finding: dict[str, Any]) -> str:
    """Return sensitivity and specificity, each with its interval."""
    return f"{estimate(finding['sensitivity'])} / {estimate(finding['specificity'])}"


def ece(metrics: dict[str, Any]) -> str:
    """Return the calibration error as text, where the evaluation measured it."""
    return estimate(metrics["calibration"]["ece"]) if metrics.get("calibration") else "–"


def column(content: dict[str, Any]) -> dict[str, str]:
    """Return the figures of one evaluation as text, by the name of their row."""
    metrics, model = content["metrics"], content["model"]
    covid, reached = metrics["per_finding"]["COVID-19"], content["operating_point"]["reached"]
    at = content["sensitivity_at_specificity"]
    # The baseline has no calibration split: its threshold was chosen on the very images that it is judged on.
    chosen_here = ", chosen here" if content["leak_check"]["stopped_on"] else ""
    return {
        "accuracy": estimate(metrics["accuracy"]),
        "macro AUROC, one against the rest": estimate(metrics["macro_auroc"]),
        "COVID-19 sensitivity": estimate(covid["sensitivity"]),
        "COVID-19 specificity": estimate(covid["specificity"]),
        "Normal sensitivity / specificity": pair(metrics["per_finding"]["Normal"]),
        "Viral Pneumonia sensitivity / specificity": pair(metrics["per_finding"]["Viral Pneumonia"]),
        "COVID-19 at the operating point: sensitivity": estimate(reached["sensitivity"]) + chosen_here,
        "COVID-19 at the operating point: specificity": estimate(reached["specificity"]) + chosen_here,
        "COVID-19 sensitivity at specificity 0.97, read off the curve": estimate(at["0.97"]),
        "COVID-19 sensitivity at specificity 0.99, read off the curve": estimate(at["0.99"]),
        "expected calibration error (ECE)": ece(metrics),
        "images trained on / judged": f"{model['images']['train']:,} / {metrics['n']:,}",
    }


def read(*place: str) -> dict[str, Any]:
    """Return a JSON file below results/."""
    content: dict[str, Any] = json.loads(RESULTS.joinpath(*place).read_text("utf-8"))
    return content


def main_table() -> list[str]:
    """Return the published figures, the baseline's, the head's and the released model's side by side."""
    columns = {
        "`baseline` here": column(read("baseline", "metrics.json")),
        "`head`": column(read("head", "metrics.json")),
        f"`{RELEASED}`": column(read(RELEASED, "test", "metrics.json")),
    }
    published = [*PUBLISHED.values(), "–", "–", "–", "–", "–", "12,123 / 3,030"]
    lines = [f"| | published baseline | {' | '.join(columns)} |", "|---|---|---|---|---|"]
    for row, stated in zip(columns["`head`"], published, strict=True):
        lines.append(f"| {row} | {stated} | {' | '.join(figures[row] for figures in columns.values())} |")
    return lines


def external_table() -> list[str]:
    """Return what both reach on images of another collection, without those that they were trained on."""
    columns, sizes = {}, {}
    places = {"`baseline` here": ("external-kaggle317", "baseline"), "`head`": ("external-kaggle317", "head")}
    places[f"`{RELEASED}`"] = (RELEASED, "external-kaggle317")
    for name, place in places.items():
        content = read(*place, "metrics.json")
        rows = column(content)
        wanted = [row for row in rows if row.startswith(("accuracy", "macro")) or "sensitivity / " in row]
        wanted += ["COVID-19 sensitivity", "COVID-19 specificity"]
        columns[name] = {row: rows[row] for row in wanted}
        leaks = content["leak_check"]
        chosen = f"{leaks['stopped_on']} like images that training or thresholds were chosen by, kept"
        seen = f"{leaks['dropped']} trained on, left out; {chosen}"
        sizes[name] = f"{content['metrics']['n']} ({seen})"
    lines = [f"| another collection (Kaggle, 317 images) | {' | '.join(columns)} |", "|---|---|---|---|"]
    lines += [f"| {row} | {' | '.join(figures[row] for figures in columns.values())} |" for row in columns["`head`"]]
    lines.append(f"| images judged | {' | '.join(sizes.values())} |")
    return lines


def one_source_table() -> list[str]:
    """Return what models reach where both sides of the question come from one source."""
    answers = read(RELEASED, "disease_or_scanner.json")
    questions = {
        "nih": "`nih`, No Finding against Pneumonia, by 1 − P(Normal)",
        "cohen": "`external-cohen`, COVID-19 against other pneumonia, by P(COVID-19)",
    }
    runs = list(answers["nih"]["auroc"])
    names = [f"`{RELEASED}` 0.3.0" if run.startswith("release") else f"`{run.removeprefix('run-')}`" for run in runs]
    lines = [f"| AUROC where the source cannot help | images | {' | '.join(names)} |", "|---|---|" + "---|" * len(runs)]
    for key, question in questions.items():
        answer = answers[key]
        counts = " + ".join(str(count) for count in answer["images"].values())
        figures = " | ".join(estimate(answer["auroc"][run]) for run in runs)
        lines.append(f"| {question} | {counts} | {figures} |")
    return lines


def places_table() -> list[str]:
    """Return what the released model and the one before it do at places, one row per question."""
    models = read("unseen_places.json")["models"]
    old, new = models[BEFORE], models[RELEASED]
    nih, cohen, tuberculosis = "nih-final", "cohen-final", "tb-pakistan-final"
    questions: tuple[tuple[str, str, str, str | None], ...] = (
        ("`nih`: No Finding against Pneumonia, AUROC of 1 − P(Normal)", nih, "auroc_abnormal", None),
        ("`nih`: No Finding that is flagged", nih, "flagged", "Normal"),
        ("`nih`: No Finding that is `routine`", nih, "routine", "Normal"),
        ("`nih`: Pneumonia that is `routine`", nih, "routine", "Other opacity"),
        (
            "`external-cohen`: COVID-19 against others, AUROC of P(COVID-19)",
            cohen,
            "auroc_flagged_among_abnormal",
            None,
        ),
        ("`external-cohen`: COVID-19 that is flagged", cohen, "flagged", "COVID-19"),
        ("`external-cohen`: other opacities that are flagged", cohen, "flagged", "Other opacity"),
        ("`tb-pakistan`: tuberculosis that is flagged", tuberculosis, "flagged", "Other opacity"),
        ("`tb-pakistan`: tuberculosis that is `fast-track`", tuberculosis, "fast_track", "Other opacity"),
        ("`tb-pakistan`: normals that are flagged", tuberculosis, "flagged", "Normal"),
        ("`tb-pakistan`: normals that are `routine`", tuberculosis, "routine", "Normal"),
        ("`tb-pakistan`: tuberculosis that is `routine`", tuberculosis, "routine", "Other opacity"),
    )
    lines = [f"| | 0.3.0 | {version()} |", "|---|---|---|"]
    for question, place, kind, finding in questions:
        figures = (model[place][kind] if finding is None else model[place][kind][finding] for model in (old, new))
        lines.append(f"| {question} | {' | '.join(map(estimate, figures))} |")
    return lines


def generations_table() -> list[str]:
    """Return the trials of the second generation, one row per model."""
    content = read("unseen_places.json")
    asked = (
        ("nih-final", "auroc_abnormal", None),
        ("nih-final", "flagged", "Normal"),
        ("cohen-final", "auroc_flagged_among_abnormal", None),
        ("cohen-final", "flagged", "COVID-19"),
        ("tb-pakistan-final", "flagged", "Other opacity"),
        ("tb-pakistan-final", "flagged", "Normal"),
    )
    lines = [
        "| | `nih` AUROC | its normals | `external-cohen` AUROC | its COVID-19 | tuberculosis | its normals |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, places in content["models"].items():
        found = [places[place][kind] for place, kind, _ in asked]
        figures = (of if finding is None else of[finding] for of, (_, _, finding) in zip(found, asked, strict=True))
        said = f"`{RELEASED}` {version()}" if name == RELEASED else f"`{name}`"
        lines.append(f"| {said} | {' | '.join(map(estimate, figures))} |")
    return [*lines, "", f"`{content['command']}` on {content['machine']}."]


def version() -> str:
    """Return the version of the released model."""
    return str(json.loads((ROOT / "models" / RELEASED / "bundle.json").read_text("utf-8"))["version"])


def timing_table() -> list[str]:
    """Return wall time and memory of the three trainings."""
    timing = read("timing.json")
    lines = [
        f"Training, each in a process of its own on {timing['machine']} (`{timing['command']}`):",
        "",
        "| | wall time | the baseline takes | peak memory |",
        "|---|---|---|---|",
    ]
    for name, measured in timing["trainings"].items():
        times = measured["baseline_takes_times_as_long"]
        lines.append(
            f"| `{name}` | {measured['seconds']:.0f} s | {times:g} × as long | {measured['peak_memory_mb']:.0f} MB |"
        )
    return lines


def ablation_table() -> list[str]:
    """Return the rows from the baseline to the released model, one change each."""
    content = read("ablation.json")
    lines = [
        "| | accuracy | macro AUROC | COVID-19 sensitivity at specificity 0.99 | `nih` | `external-cohen` |",
        "|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        kinds = ("accuracy", "macro_auroc", "sensitivity_at_0.99", "nih", "cohen")
        name = row["row"].replace("(released)", "(model 0.3.0)")
        lines.append(f"| {name} | {' | '.join(estimate(row[kind]) for kind in kinds)} |")
    return [*lines, "", f"`{content['command']}` on {content['machine']}."]


def left_out_table() -> list[str]:
    """Return what is reached on a source of the flagged finding that was left out of everything."""
    content = read("leave_one_source_out.json")
    lines = [
        "| left out | images | sensitivity at its threshold | specificity on the test split | AUROC against normals |",
        "|---|---|---|---|---|",
    ]
    for row in content["sources"]:
        figures = (row["sensitivity"], row["specificity_on_test"], row["auroc_against_test_normals"])
        lines.append(f"| {row['left_out']} | {row['images']:,} | {' | '.join(map(estimate, figures))} |")
    return [*lines, "", f"`{content['command']}` on {content['machine']}."]


def spread_of(figure: dict[str, float], unit: str) -> str:
    """Return a figure of several rounds as text."""
    value, low, high = (
        f"{figure[end]:.3g}" if figure[end] < 1000 else f"{figure[end]:,.0f}" for end in ("value", "low", "high")
    )
    return f"{value} {unit}" + ("" if low == high else f" ({low}–{high})")


def times(figure: dict[str, float], other: dict[str, float], row: dict[str, Any]) -> float:
    """Return how many times as good a figure of a row is as another one."""
    ratio = figure["value"] / other["value"]
    return ratio if row["unit"] == "images/s" else 1 / ratio


def instruction_sets(speed: dict[str, Any]) -> list[str]:
    """Return how fast small files are judged in bulk with each instruction set, one row per set."""
    older = speed["fewer_instructions"]
    lines = [
        "",
        "From file to decision, 224² JPEG, in bulk. The parts are reading, lungs and network, each measured alone:",
        "",
        "| newest instructions | f32 | of the parts | int8 | of the parts | times f32 | times Keras |",
        "|---|---|---|---|---|---|---|",
    ]
    for bench in (speed, *(older if isinstance(older, list) else ())):
        row = next(row for row in bench["rows"] if row["measured"] == "file to decision" and row["statistic"] == "bulk")
        int8, keras = row["rivals"]["Carina int8"], row["rivals"]["Keras"]
        cells = [bench["instructions"], spread_of(row["figure"], row["unit"]), f"{100 * row['share_of_parts']:.0f} %"]
        cells += [spread_of(int8, row["unit"]), f"{100 * row['rivals_share_of_parts']['Carina int8']:.0f} %"]
        cells += [f"{times(int8, row['figure'], row):.2f}", f"{times(int8, keras, row):.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def speed_table() -> list[str]:
    """Return how fast the released model predicts, beside a Keras pipeline that does the same."""
    speed, memory = read("speed.json"), read("memory_of_many.json")
    few, many = memory["measured"]
    where = f"{speed['threads']} threads of a shared {speed['machine']}"
    twin = any("Carina int8" in row["rivals"] for row in speed["rows"])
    heads = ["", "Carina", "times as good as Keras"]
    heads += ["Carina in int8", "times as good as Keras"] if twin else []
    lines = [
        f"Predicting, on {where} (`{speed['command']}`; medians of {speed['rounds']} rounds, range in brackets):",
        "",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
    ]
    for row in speed["rows"]:
        keras = row["rivals"].get("Keras")
        if keras is None or row["given"].startswith("3000") or row["statistic"] in ("p95", "p99"):
            continue
        cells = [", ".join((row["measured"], row["given"], row["statistic"]))]
        for figure in (row["figure"], row["rivals"].get("Carina int8"))[: 1 + twin]:
            cells += (
                ["", ""] if figure is None else [spread_of(figure, row["unit"]), f"{times(figure, keras, row):.1f}"]
            )
        lines.append(f"| {' | '.join(cells)} |")
    lines += instruction_sets(speed) if twin else []
    more = many["peak_memory_mb"] - few["peak_memory_mb"]
    lines += ["", f"{many['predictions']:,} predictions take {more:.1f} MB more memory than {few['predictions']:,}."]
    return lines


def short_table() -> list[str]:
    """Return the few figures that the README has: where models were trained, elsewhere, and within one source."""
    earlier = read(RELEASED, "disease_or_scanner.json")["nih"]["auroc"]
    released = read("unseen_places.json")["models"][RELEASED]["nih-final"]
    columns = {
        "`baseline` here": (("baseline",), ("external-kaggle317", "baseline"), earlier["run-baseline"]),
        "`head`": (("head",), ("external-kaggle317", "head"), earlier["run-head"]),
        f"`{RELEASED}`": ((RELEASED, "test"), (RELEASED, "external-kaggle317"), released["auroc_abnormal"]),
    }
    rows: dict[str, list[str]] = {}
    for here, elsewhere, within in columns.values():
        tested, outside = column(read(*here, "metrics.json")), column(read(*elsewhere, "metrics.json"))
        for row, figure in {
            "accuracy": tested["accuracy"],
            "COVID-19 sensitivity": tested["COVID-19 sensitivity"],
            "COVID-19 specificity": tested["COVID-19 specificity"],
            "**another collection**: accuracy": outside["accuracy"],
            "another collection: COVID-19 sensitivity": outside["COVID-19 sensitivity"],
            "**one source** (`nih`): AUROC, normal or pneumonia": estimate(within),
        }.items():
            rows.setdefault(row, []).append(figure)
    stated = [PUBLISHED[key] for key in ("accuracy", "sensitivity", "specificity")]
    lines = [f"| | published baseline | {' | '.join(columns)} |", "|---|---|---|---|---|"]
    for (row, figures), published in zip(rows.items(), [*stated, "–", "–", "–"], strict=True):
        lines.append(f"| {row} | {published} | {' | '.join(figures)} |")
    return lines


# The tables of each page, each with its heading, if it has one.
PAGES: dict[str, tuple[tuple[str, Callable[[], list[str]]], ...]] = {
    "README.md": (("", short_table),),
    "docs/reference/results.md": (
        ("## Images from the same sources as in training", main_table),
        ("## Images from another collection", external_table),
        ("## At other places", places_table),
        ("## Questions within one source, by earlier models", one_source_table),
        ("## Time and memory of a training", timing_table),
        ("## Speed of prediction", speed_table),
    ),
    "docs/explanation/what-the-network-is-shown.md": (
        ("", ablation_table),
        ("", left_out_table),
        ("", generations_table),
    ),
}


def main() -> None:
    """Rewrite the pages, or check them."""
    for name, tables in PAGES.items():
        path = ROOT / name
        text = path.read_text("utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        parts = [part for heading, table in tables for part in (heading, "\n".join(table())) if part]
        block = "".join(f"\n{part}\n" for part in parts) + "\n"
        written = before + BEGIN + "\n" + block + END + after
        if "--check" not in sys.argv:
            path.write_text(written, "utf-8")
        elif written != text:
            sys.exit(f"{name} is not what benchmarks/readme_table.py writes: run it.")


if __name__ == "__main__":
    main()
