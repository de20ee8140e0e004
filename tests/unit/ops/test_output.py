"""Tables that fit, sizes, durations, times."""

import unicodedata
from datetime import timedelta

import pytest

from ops import output

HOSTILE = ['Odd "name"; DROP TABLE flags_country; --', "Länder 国 🏁", "it's", "red\x1b[31m"]
ROWS = [
    {"name": name, "size_bytes": 8192 * 10**number, "for": "PT1H2M", "share_pct": 12.34, "definition": "btree (a) " * 9}
    for number, name in enumerate(HOSTILE)
]


def width(line: str) -> int:
    """In columns of a terminal: an emoji takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


@pytest.mark.parametrize("columns", [24, 40, 80, 120, 200])
def test_a_table_fits_the_terminal(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(ROWS, "title", columns)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > len(ROWS)
    assert [line for line in lines if width(line) > columns] == []


def test_in_a_pipe_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(ROWS)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(ROWS)


def test_a_name_cant_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(ROWS)
    printed = capsys.readouterr().out
    assert "\x1b[31m" not in printed
    assert "\\x1b[31m" in printed


def test_numbers_are_on_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table([{"calls": 5, "name": "x"}, {"calls": 12000, "name": "y"}])
    assert capsys.readouterr().out.splitlines() == [" calls  name", "     5  x", "12,000  y"]


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("size_bytes", 8192, "8.0 KB"), ("size_bytes", 0, "0 B"), ("total_bytes", 5 * 1024**4, "5.0 TB"),
        ("mean_ms", 12345.67, "12,345.7 ms"), ("hit_pct", 99.44, "99.4"), ("rows", 12000, "12,000"),
        ("pid", 12000, "12000"), ("valid", True, "yes"), ("valid", False, "no"), ("name", None, "-"),
        ("settings", ["a=1", "b=2"], "a=1, b=2"), ("settings", [], "-"), ("for", "PT4M5S", "4 min 5 s"),
        ("applied", "2026-11-23T14:05:30.5+00:00", "2026-11-23 14:05"), ("name", "P", "P"), ("name", "PT", "PT"),
        ("name", "a\nb", "a\\nb"),
    ],
)  # fmt: skip
def test_a_cell(column: str, value: object, shown: str) -> None:
    assert output.cell(column, value) == shown


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("PT0S", timedelta()), ("PT1.5S", timedelta(seconds=1.5)), ("P1DT2H3M4.5S", timedelta(1, 4.5, 0, 0, 3, 2)),
        ("PT-0.25S", timedelta(seconds=-0.25)), ("P1M", timedelta(30)), ("P1Y", timedelta(365.25)),
    ],
)  # fmt: skip
def test_an_interval_of_postgresql(text: str, span: timedelta) -> None:
    assert output.interval(text) == span


@pytest.mark.parametrize("text", ["", "P", "PT", "Paris", "P1", "1 day", None, 5])
def test_what_is_no_interval(text: object) -> None:
    assert output.interval(text) is None


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.25, "250 ms"), (12.34, "12.3 s"), (245, "4 min 5 s"), (12000, "3 h 20 min"), (1051200, "12 d 4 h"),
        (-3, "-3.0 s"),
    ],
)  # fmt: skip
def test_a_duration(seconds: float, shown: str) -> None:
    assert output.duration(timedelta(seconds=seconds)) == shown


def test_json_has_durations_in_seconds() -> None:
    assert output.plain([{"for": "PT1M", "size_bytes": 1, "names": ["x"]}]) == [
        {"for": 60.0, "size_bytes": 1, "names": ["x"]}
    ]


@pytest.mark.parametrize(
    ("statement", "line"),
    [("SELECT 1\n  FROM x", "SELECT 1 FROM x"), ("", None), (None, None), ("x" * 200, "x" * 159 + "…")],
)
def test_a_statement_on_one_line(statement: str | None, line: str | None) -> None:
    assert output.one_line(statement) == line
