"""Names of dumps and of new databases that are refused."""

from pathlib import Path

import pytest

from pgclient import dump_external, dump_restore, dump_store
from user_errors import Status, UserError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """DUMPS_DIR, beside a folder that no name may lead to."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps/.partial-x").mkdir()
    for module in (dump_store, dump_external):
        monkeypatch.setattr(module, "FOLDER", tmp_path / "dumps")
    return tmp_path / "dumps"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["", "no-such", "../etc", "/etc", ".partial-x", ".", "a;b", 'Odd "name"', "国"])
def test_no_such_dump(name: str) -> None:
    for find in (dump_store.find, dump_external.external_path):
        with pytest.raises(UserError) as refused:
            find(name)
        assert refused.value.status == Status.NOT_FOUND


def test_a_file_that_is_there_is_external(folder: Path) -> None:
    (folder / "blog.sql").touch()
    assert dump_external.external_path("blog.sql") == folder / "blog.sql"
    with pytest.raises(UserError, match="not a dump of this program"):
        dump_store.find("blog.sql")


@pytest.mark.parametrize(
    "name",
    [
        "postgres",
        "flaglearning_",
        "flaglearning_A",
        "flaglearning_x;",
        'flaglearning_"',
        "flaglearning_国",
        "flaglearning_x\n",
        "flaglearning-x",
        f"flaglearning_{26 * 'x'}",
    ],
)
def test_names_that_no_new_database_gets(name: str) -> None:
    assert not dump_restore.NEW_NAME.fullmatch(name)


def test_a_name_for_a_new_database() -> None:
    assert dump_restore.NEW_NAME.fullmatch("flaglearning_copy")
