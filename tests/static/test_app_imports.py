"""The packages of app/ import in one direction: config → flags → users → core."""

import ast

import pytest

from testing.shell import ROOT

MAY_IMPORT = {
    "core": {"core"},
    "users": {"core", "users"},
    "flags": {"core", "users", "flags"},
    "config": {"core", "users", "flags", "config"},
}


def imported(source: str) -> set[str]:
    """Top-level names of the modules that a file imports, wherever in the file."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import: write the package's name"
            names.append(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_imports_are_found_at_any_depth() -> None:
    assert imported("import a.b\ndef f():\n    from c.d import e\n") == {"a", "c"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    files = sorted((ROOT / "app" / package).rglob("*.py"))
    assert files
    wrong = {
        str(file.relative_to(ROOT)): bad
        for file in files
        if (bad := imported(file.read_text()) & (MAY_IMPORT.keys() - MAY_IMPORT[package]))
    }
    assert wrong == {}


def test_users_reads_no_table_of_flags() -> None:
    files = [file for file in (ROOT / "app/users").rglob("*") if file.suffix in (".py", ".sql")]
    assert [str(file.relative_to(ROOT)) for file in files if "flags_" in file.read_text()] == []
