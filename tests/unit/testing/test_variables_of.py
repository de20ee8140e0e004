"""Which variables a compose file uses, and what each is when a machine sets none of them."""

from pathlib import Path

import pytest

from testing.stack import variables_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port: ${PORT:-5432}", {"PORT": "5432"}),
        ("image: ${IMAGE}", {"IMAGE": ""}),
        ("name: ${NAME:-${PROJECT:-one}}", {"NAME": "one", "PROJECT": "one"}),
        ("# ${COMMENTED:-out}", {}),
    ],
)
def test_a_default_is_what_a_machine_without_the_variable_gets(
    tmp_path: Path, text: str, expected: dict[str, str]
) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(text + "\n")
    assert variables_of(str(file)) == expected
