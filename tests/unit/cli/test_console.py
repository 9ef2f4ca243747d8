"""Where results, progress and notes go: to a terminal, into a file, or both into one."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from carina.cli import console, log_progress
from carina.cli.console import print_table, progress_bars, running_count, typed_command
from carina.cli.log_progress import LogProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def _on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stderr be taken for a terminal, as it is where a person types; rich asks when its console is made."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(console, "_errors", Console(stderr=True, highlight=False, markup=False, force_interactive=True))


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a line be due whenever a count is told, without another thread."""
    monkeypatch.setattr(log_progress, "FIRST_LINE_S", 0.0)
    monkeypatch.setattr(log_progress, "NEXT_LINE_S", 0.0)
    monkeypatch.setattr(log_progress, "_BEAT_S", 3600.0)
    count = LogProgress.count

    def counted(log: LogProgress, done: int, what: str) -> None:
        count(log, done, what)
        log.beat()

    monkeypatch.setattr(LogProgress, "count", counted)


def test_a_row_of_a_table_stays_a_line_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    words = "a very long description of something " * 20
    print_table(pl.DataFrame({"what": [words, None], "images": [3, 1200]}))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].endswith(f"{words}       3")
    assert lines[2].startswith("–")


def test_stages_leave_one_line_each_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as bar:
        for name in ("Reading images", "Judging images"):
            tell = bar(name)
            for done in range(1, 4):
                tell(done, 3)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["Reading images: 3 of 3 in 0 s.", "Judging images: 3 of 3 in 0 s."]
    assert captured.out == ""


@pytest.mark.usefixtures("_on_terminal")
def test_bars_on_a_terminal_are_gone_in_the_end() -> None:
    with redirect_stderr(Terminal()) as shown, progress_bars() as bar:
        tell = bar("Reading images")
        tell(1, 1200)
        tell(1200, 1200)
    assert "Reading images" in shown.getvalue()
    assert "1200/1200" in shown.getvalue()
    # The last thing written clears the lines of the bars.
    assert shown.getvalue().endswith("\x1b[2K")


@pytest.mark.usefixtures("_at_once")
def test_counts_go_to_the_log_unless_the_results_show_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "out").open("w") as out, (tmp_path / "log").open("w") as log:
        for streamed, stderr in ((False, out), (True, log), (True, out)):
            with redirect_stdout(out), redirect_stderr(stderr), running_count("judged", streamed=streamed) as tell:
                tell(3)
    assert (tmp_path / "out").read_text().startswith("3 judged, ")
    assert len((tmp_path / "out").read_text().splitlines()) == 1
    assert len((tmp_path / "log").read_text().splitlines()) == 1


@pytest.mark.usefixtures("_on_terminal")
def test_on_a_terminal_a_table_that_comes_last_has_its_count_meanwhile() -> None:
    for streamed in (False, True):
        with (
            redirect_stdout(Terminal()),
            redirect_stderr(Terminal()) as shown,
            running_count("judged", streamed=streamed) as tell,
        ):
            tell(1234)
        assert ("1,234 judged" in shown.getvalue()) != streamed


def test_a_forced_colour_makes_no_terminal_of_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bars() as bar:
        bar("Reading images")(3, 3)
    assert "Reading images: 3 of 3" in capsys.readouterr().err


def test_the_record_of_a_command_names_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["carina", "evaluate", "--out=/home/jane/x", "/home/jane/ds", "--seed=1", "runs/a"])
    assert typed_command() == "carina evaluate --out=x ds --seed=1 runs/a"
