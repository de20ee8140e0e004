"""A table by the name that a person types."""

import pytest

import relations
from relations import Relation
from user_errors import Status, UserError

COUNTRY = Relation("1", "public", "flags_country", "table", "public.flags_country")
ODD = Relation("2", "public", "it's", "table", 'public."it\'s"')
OTHER = Relation("3", "audit", "flags_country", "table", "audit.flags_country")
CAPITAL = Relation("4", "public", "Users", "table", 'public."Users"')
ALL = [OTHER, COUNTRY, ODD, CAPITAL]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("flags_country", COUNTRY), ("public.flags_country", COUNTRY), ("FLAGS_COUNTRY", COUNTRY),
        ('"flags_country"', COUNTRY), ('"public"."flags_country"', COUNTRY), ("audit.flags_country", OTHER),
        ("it's", ODD), ('"it\'s"', ODD), ("public.\"it's\"", ODD), ("Users", CAPITAL), ("users", None),
        ("flags_countr", None), ("", None), ("1", None), ("flags_country; DROP", None), ("%s", None), ("🏁", None),
    ],
)  # fmt: skip
def test_names_of_a_table(name: str, found: Relation | None) -> None:
    assert relations.match(name, ALL) == found


def test_an_unknown_name_suggests_the_nearest() -> None:
    error = relations.not_found("table", "flags_countri", ["flags_country", "users_user"], "./scripts/ops tables")
    assert str(error) == (
        "ERROR: there is no table 'flags_countri'\nHINT:  did you mean flags_country? ./scripts/ops tables"
    )
    assert error.status == Status.NOT_FOUND


def test_a_name_without_a_near_one_names_the_listing() -> None:
    assert relations.not_found("table", "x" * 5000, ["flags_country"], "./scripts/ops tables").hint == (
        "./scripts/ops tables"
    )


def test_a_statement_gets_the_quoted_name() -> None:
    assert ODD.sql == '"public"."it\'s"'
    assert relations.identifier("public", 'Odd "name"; DROP') == '"public"."Odd ""name""; DROP"'


def test_a_relation_of_another_kind_is_not_found() -> None:
    rows = [{**COUNTRY._asdict(), "oid": 1}, {**OTHER._asdict(), "oid": 3, "kind": "index"}]
    assert relations.find("flags_country", rows, relations.TABLES, "table", "") == COUNTRY
    with pytest.raises(UserError):
        relations.find("audit.flags_country", rows, relations.TABLES, "table", "")
