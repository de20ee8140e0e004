"""The packages of app/ import in one direction: config → flags → users → core; ./scripts/ops imports no package."""

import ast
import sys

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


def test_ops_needs_the_standard_library_alone() -> None:
    """It runs where there is no virtual environment."""
    lib = ROOT / "scripts/lib"
    ours = {path.stem for path in lib.iterdir()}
    seen, unseen = set[str](), {"ops"}
    while unseen:
        seen |= unseen
        files = [
            file for name in unseen for file in (lib / f"{name}.py", *(lib / name).rglob("*.py")) if file.is_file()
        ]
        names = set.union(*(imported(file.read_text()) for file in files))
        assert names <= sys.stdlib_module_names | ours
        unseen = names & ours - seen
    assert "user_errors" in seen
