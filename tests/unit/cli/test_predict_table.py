"""The table of ``carina predict`` on a terminal, and what it does in a file."""

import io
import os
import re
import tracemalloc
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from rich.cells import cell_len

from carina.bundles.run_folder import open_run
from carina.cli.predict_table import PredictTable, cut_in_the_middle
from carina.cli.predict_words import STYLES
from carina.decisions.policy import Policy
from carina.decisions.triage import PRIORITIES, choose_triage
from carina.errors import InputError
from carina.inference.prediction import FailedPrediction, Prediction
from carina.inference.prediction_list import ROW_ORDER, said_of, summary
from unit.inference.small_model import FINDINGS, write_small_run

CHILD = "The patient is a child: outside the intended use, which is adults."
NO_VIEW = "The header does not name the view."
NO_LUNGS = "no two lungs were found in it"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return open_run(write_small_run(tmp_path_factory.mktemp("policy") / "run")).policy


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return stdout, a terminal with colours."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def judged(
    policy: Policy, path: str, *shares: float, reservations: tuple[str, ...] = (), reasons: tuple[str, ...] = ()
) -> Prediction:
    of_finding = dict(zip(FINDINGS, shares, strict=True))
    triage = choose_triage(of_finding, policy, refused=", and ".join(reasons) or None)
    return Prediction(Path(path), "", of_finding, triage, reasons, 1.0, None, reservations)


def failed(path: str, code: str = "not-found", message: str = "there is no such file.") -> FailedPrediction:
    return FailedPrediction(Path(path), InputError(message, code))  # type: ignore[arg-type]


def show(
    terminal: Terminal,
    policy: Policy,
    *predictions: Prediction | FailedPrediction,
    prevalence: float | None = None,
) -> None:
    with redirect_stdout(terminal):
        table, counts = PredictTable(policy, prevalence), Counter[str]()
        for prediction in predictions:
            counts[said_of(prediction)] += 1
            table.add(prediction, None)
        table.end(counts)


def several(policy: Policy) -> list[Prediction | FailedPrediction]:
    return [
        judged(policy, "films/normal.png", 0.2, 0.6, 0.2, reservations=(NO_VIEW,)),
        failed("films/gone.png"),
        judged(policy, "films/viral.png", 0.0001, 0.1, 0.8999, reservations=(CHILD, NO_VIEW)),
        judged(policy, "films/hand.png", 0.9, 0.05, 0.05, reasons=(NO_LUNGS,)),
        judged(policy, "films/covid.png", 0.99999, 0.000005, 0.000005),
    ]


def plain(terminal: Terminal) -> list[str]:
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()]


def test_rows_are_sorted_by_priority_on_a_terminal(
    policy: Policy, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    show(terminal, policy, *several(policy))
    lines = plain(terminal)
    assert lines[0].split() == ["priority", "COVID", "Normal", "Viral", "reason", "notes", "image"]
    rows = [line.split() for line in lines[1 : lines.index("")]]
    places = [ROW_ORDER.index(row[0]) for row in rows]
    assert places == sorted(places)
    # Equal priorities keep the order of the input.
    assert [row[-1] for row in rows if row[0] == "expedite"] == ["films/viral.png", "films/covid.png"]
    by_name = {row[-1]: row for row in rows}
    assert by_name["films/viral.png"][1:-1] == ["<0.001", "0.100", "0.900", "other-finding", "1,2"]
    assert by_name["films/covid.png"][1] == ">0.999"
    assert by_name["films/hand.png"][1:-1] == ["–", "–", "–", "refused", "3"]
    assert by_name["films/gone.png"][:-1] == ["failed", "–", "–", "–", "not-found", "4"]
    assert lines[lines.index("Notes") + 1 :][:4] == [
        f"  1  {NO_VIEW} (2 images)",
        f"  2  {CHILD} (1 image)",
        f"  3  Not judged: {NO_LUNGS}. (1 image)",
        "  4  not-found: there is no such file. (1 image)",
    ]
    # Every code that occurred is explained once, and no other.
    legend = [line.split()[0] for line in lines if re.match(r"  [a-z]+-[a-z-]+ |  refused ", line)]
    assert sorted(legend) == sorted(
        {row[-3] if row[-2].replace(",", "").isdigit() else row[-2] for row in rows} - {"not-found"}
    )
    assert lines[-1].endswith("Refused (not-assessable): 1. Failed: 1.")


def test_elsewhere_rows_come_at_once_in_the_order_of_the_input(
    policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    table, predictions = PredictTable(policy, None), several(policy)
    for number, prediction in enumerate(predictions):
        table.add(prediction, None)
        printed = capsys.readouterr().out.splitlines()
        assert len(printed) == 1 + (number == 0)
        assert printed[-1].endswith(str(prediction.path))
    table.end(Counter(map(said_of, predictions)))
    below = capsys.readouterr().out
    assert "\x1b" not in below
    # A line stays a line, however long it is.
    assert max(map(len, below.splitlines())) > 120


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_rows_fit_the_terminal_and_end_with_their_file(
    policy: Policy, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    folder = "/data/radiology/archive of 2026/a department with a long name"
    names = [
        "01.png",
        "a very long name of an image that nobody typed 02.png",
        "肺炎肺炎肺炎肺炎肺炎肺炎肺炎肺炎肺炎03.png",
    ]
    show(terminal, policy, *(judged(policy, f"{folder}/{name}", 0.0, 1.0, 0.0) for name in names))
    lines = plain(terminal)
    rows = lines[next(n for n, line in enumerate(lines) if line.startswith("priority")) + 1 : lines.index("")]
    assert len(rows) == 3
    for row, number in zip(rows, ("01.png", "02.png", "03.png"), strict=True):
        assert cell_len(row) <= max(width, 71)
        assert row.endswith(number)
    # Either each row has the folder, or it is said once above.
    assert (lines[0] == f"Images in {folder}/") != rows[0].endswith(f"{folder}/01.png")


def test_a_colour_is_never_alone_and_can_be_turned_off(
    policy: Policy, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(terminal, policy, *several(policy))
    assert re.search(r"\x1b\[1;[\d;]+mexpedite\x1b\[0m", terminal.getvalue())
    coloured = plain(terminal)
    terminal.truncate(0)
    terminal.seek(0)
    monkeypatch.setenv("NO_COLOR", "1")
    show(terminal, policy, *several(policy))
    assert not re.search(r"\x1b\[[0-9;]*(3[0-9]|4[0-9]|38|48)[0-9;]*m", terminal.getvalue())
    assert plain(terminal) == coloured
    # No priority is green, which would say that nothing is there.
    assert not any("green" in style for style in STYLES.values())
    assert set(STYLES) >= set(PRIORITIES) - {"routine"}


def test_thresholds_and_promises_are_those_of_the_prevalence(
    policy: Policy, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    images = [judged(policy, "a.png", 0.99999, 0.000005, 0.000005), judged(policy, "b.png", 0.3, 0.4, 0.3)]
    show(terminal, policy, *images)
    assumed = "\n".join(plain(terminal))
    assert f"the threshold {policy.operating_point.threshold:.3f}" in assumed
    assert "95% confidence at a prevalence of COVID-19 of" in assumed
    assert "as in the calibration data." in assumed
    show(terminal, policy, *images, prevalence=0.02)
    assert "95% confidence at the stated prevalence of COVID-19, 2%." in "\n".join(plain(terminal))


def test_messages_of_one_code_are_counted_and_not_all_shown(policy: Policy, terminal: Terminal) -> None:
    show(terminal, policy, *(failed(f"{n}.png", "truncated", f"byte {n} is missing.") for n in range(10)))
    notes = [line for line in plain(terminal) if "truncated: " in line]
    assert len(notes) == 4
    assert notes[0].strip() == "1  truncated: byte 0 is missing. (1 image)"
    assert notes[3].strip() == "4  truncated: other messages; --json shows each. (7 images)"


def test_memory_of_many_rows_is_small(policy: Policy, terminal: Terminal) -> None:
    """A row is kept as what its line needs: 100,000 images take some 30 MB."""
    rows = 2000
    with redirect_stdout(terminal):
        table = PredictTable(policy, None)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(rows):
            share = number / rows
            table.add(
                judged(policy, f"/data/films/{number:08}.png", share, 1 - share, 0.0, reservations=(CHILD, NO_VIEW)),
                None,
            )
        each = (tracemalloc.get_traced_memory()[0] - before) / rows
    finally:
        tracemalloc.stop()
    assert each < 400
    assert terminal.getvalue() == ""


def test_long_tables_say_where_the_urgent_rows_are(
    policy: Policy, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "30")
    for rows, said in ((20, False), (40, True)):
        terminal.truncate(0)
        show(terminal, policy, *(failed(f"{n}.png") for n in range(rows)))
        assert ("above this screen" in terminal.getvalue()) == said


def test_counts_are_summed_up_in_the_order_of_reading() -> None:
    counts = Counter({"routine": 1200, "fast-track": 1, "secondary-review": 3, "not-assessable": 2, "failed": 5})
    assert summary(counts) == (
        "Judged: 1,204 images (1 fast-track, 3 secondary-review, 1,200 routine). "
        "Refused (not-assessable): 2. Failed: 5."
    )
    assert summary(Counter({"expedite": 1})).startswith("Judged: 1 image (1 expedite).")
    assert summary(Counter({"failed": 1})) == "Judged: 0 images. Refused (not-assessable): 0. Failed: 1."


@pytest.mark.parametrize("width", [8, 9, 20])
def test_the_middle_is_cut_and_both_ends_stay(width: int) -> None:
    for text in ("a" * 8, "films/one folder/another/0001.png", f"films{os.sep}肺肺肺肺肺肺肺肺肺肺肺{os.sep}1.png"):
        cut = cut_in_the_middle(text, width)
        assert cell_len(cut) == min(width, cell_len(text))
        assert (cut == text) == (cell_len(text) <= width)
        assert cut[0] == text[0]
        assert cut[-4:] == text[-4:]
