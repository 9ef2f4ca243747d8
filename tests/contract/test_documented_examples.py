"""The how-to and reference pages do what they show: commands are typed and programs run, on images that are drawn."""

import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from carina.cli import main
from make import make_grey, write_csv, write_image

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder with the repository's results, in which the pages' commands are typed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(ROOT / "results")
    return tmp_path


def run_programs(page: str) -> None:
    """Run the Python programs of a page in one session, as a reader does who copies one after the other."""
    session: dict[str, object] = {}
    for program in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), flags=re.S):
        exec(program, session)  # noqa: S102  # the page's own


def type_command(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr("sys.argv", shlex.split(typed))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None), typed


def test_a_report_is_read_as_the_page_says(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its figures take seconds to draw; tests/unit/reports/html/test_report_files.py writes them.
    monkeypatch.setattr("carina.reports.drawing.png.to_png", lambda *_: b"")
    run_programs("how-to/read-a-report.md")
    (shown,) = re.findall(r"```text\n(.*?)```", (DOCS / "how-to" / "read-a-report.md").read_text("utf-8"), flags=re.S)
    said = capsys.readouterr().out
    assert said.startswith(shown)
    assert "Sensitivity" in said


def test_many_files_are_judged_as_the_page_says(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    type_command(monkeypatch, "carina data phantom --out films --count 3 --size 96")
    page = (DOCS / "how-to" / "batch.md").read_text("utf-8")
    (command,) = re.findall(r"^\$ (carina predict .+)$", page, flags=re.M)
    type_command(monkeypatch, command)
    # Typed again, it has nothing to do.
    before = (here / "results.csv").read_bytes()
    type_command(monkeypatch, command)
    assert (here / "results.csv").read_bytes() == before
    assert "manifest.csv" in (here / "left.csv").read_text("utf-8")
    run_programs("how-to/batch.md")
    assert len(pl.read_parquet(here / "results.parquet")) == 6


def test_the_page_of_python_runs(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_command(monkeypatch, "carina data phantom --out films --count 3 --size 96")
    (here / "films" / "Normal" / "images" / "Normal-1.png").rename(here / "radiograph.png")
    capsys.readouterr()
    run_programs("reference/python.md")
    assert "there is no such file" in capsys.readouterr().out


def commands_of(page: str, beginning: str) -> list[str]:
    return re.findall(rf"^\$ ({re.escape(beginning)}.*)$", (DOCS / page).read_text("utf-8"), flags=re.M)


def test_folders_with_names_that_tell_are_flagged_as_the_page_says(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(24):
        write_image(here / "films" / ("Healthy", "TB")[number % 2] / f"{number}.png", make_grey(number, (96, 96)))
    command = "carina data import films --out datasets/tb"
    type_command(monkeypatch, command)
    said = capsys.readouterr().err
    page = (DOCS / "explanation" / "findings.md").read_text("utf-8")
    for line in page.split(f"$ {command}\n")[1].split("```")[0].splitlines():
        assert line in said


def test_the_commands_for_nih_work_as_typed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ("No Finding", "Pneumonia", "Effusion", "Effusion|Mass", "No Finding", "Pneumonia")
    names = [f"{number:08d}_000.png" for number in range(48)]
    for number, name in enumerate(names):
        write_image(here / "nih" / "images_001" / "images" / name, make_grey(number, (96, 96)))
    (here / "nih" / "train_val_list.txt").write_text("\n".join(names[:36]))
    (here / "nih" / "test_list.txt").write_text("\n".join(names[36:]))
    header = ["Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position"]
    rows = [[name, labels[number % 6], number, "058Y", "M", "PA"] for number, name in enumerate(names)]
    write_csv(here / "nih" / "Data_Entry_2017.csv", header, rows)
    commands = commands_of("how-to/labels.md", "carina data import nih ")
    assert len(commands) == 3
    for command in commands:
        type_command(monkeypatch, command)
    imported = pl.read_parquet(here / "datasets" / "nih-published" / "manifest.parquet")
    assert set(imported["finding"]) == {"Normal", "Pneumonia", "Effusion"}
