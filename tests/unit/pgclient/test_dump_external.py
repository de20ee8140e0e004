"""External dumps: names, and files outside of the folder."""

import pytest

from pgclient import dump_external

HEADER = b"PGDMP\x01\x10\x00\x04\x08\x03"


def string(text: bytes) -> bytes:
    """As pg_dump writes one: a sign, the length, the bytes."""
    return b"\x00" + len(text).to_bytes(4, "little") + text


@pytest.mark.parametrize("name", ["blog.sql", "Blog-2026.dump", "a", "7.sql.gz", "a+b"])
def test_a_name_for_a_dump(name: str) -> None:
    assert dump_external.NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "..", "a b", "国", "a\n", 122 * "x"])
def test_names_that_no_dump_gets(name: str) -> None:
    assert not dump_external.NAME.fullmatch(name)


@pytest.mark.parametrize("name", [b"3301.dat", b"author", b"public", b"a..b", b"COMMENT ON TABLE a IS '../x';"])
def test_a_table_of_contents(name: bytes) -> None:
    assert dump_external.all_inside(HEADER + string(b"x") + string(name))


OUTSIDE = [
    b"../secrets", b"../../run/secrets/a", b"./../x", b".//..//x", b"/../x", b"../a b+c", b"./" * 200 + b"../../x",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_table_of_contents_that_leads_outside(name: bytes) -> None:
    assert not dump_external.all_inside(HEADER + string(b"x") + string(name))


def test_a_table_of_contents_with_other_integers_is_refused() -> None:
    """Its strings could not be recognised."""
    assert not dump_external.all_inside(b"PGDMP\x01\x10\x00\x01\x08\x03" + b"\x00\x09../secret")
    assert not dump_external.all_inside(b"other")


def test_the_list_of_large_objects() -> None:
    assert dump_external.large_objects_inside(b"16400 blob_16400.dat\n16401 blob_16401.dat\n")
    assert not dump_external.large_objects_inside(b"16400 ../../run/secrets/ops_password\n")


@pytest.mark.parametrize(
    "name",
    [
        "toc.dat",
        "3301.dat",
        "3301.dat.gz",
        "3301.dat.zst",
        "3301.dat.lz4",
        "blobs.toc",
        "blobs_3.toc",
        "blob_16400.dat",
    ],
)
def test_files_of_the_directory_format(name: str) -> None:
    assert dump_external.ARCHIVE_FILE.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["../toc.dat", "a/3301.dat", "toc.dat.gz", "blobs.toc.gz", "3301.txt", "manifest.json"]
)
def test_other_files(name: str) -> None:
    assert not dump_external.ARCHIVE_FILE.fullmatch(name)
