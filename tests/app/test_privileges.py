"""What `migrate` grants to flaglearning_readonly (pg/sql/readonly-grants.sql)."""

import pytest
from django.core.management import call_command
from django.db import connection

pytestmark = pytest.mark.django_db

# Sessions, keys of second factors, the admin's log, and what only the admin uses. A new table belongs here or into
# readonly-grants.sql.
UNREADABLE = {
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_admin_log",
    "django_content_type",
    "django_session",
    "otp_totp_totpdevice",
    "users_user_groups",
    "users_user_user_permissions",
}
READABLE = "SELECT has_any_column_privilege('flaglearning_readonly', %s, 'SELECT')"
COLUMN = "SELECT has_column_privilege('flaglearning_readonly', 'users_user', %s, 'SELECT')"


def answer(sql: str, value: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql, [value])
        (found,) = cursor.fetchone()
    return bool(found)


def test_every_table_is_readable_or_named_here() -> None:
    tables = connection.introspection.table_names()
    assert {table for table in tables if not answer(READABLE, table)} == UNREADABLE


def test_no_password_hash_is_readable() -> None:
    assert (answer(COLUMN, "email"), answer(COLUMN, "password")) == (True, False)


def test_a_new_column_of_users_is_not_readable() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE users_user ADD COLUMN token text")
    call_command("migrate", verbosity=0)
    assert not answer(COLUMN, "token")


def test_a_new_table_is_not_readable_and_one_of_the_list_is_again() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE flags_token (token text)")
        cursor.execute("REVOKE SELECT ON flags_country FROM flaglearning_readonly")
    assert not answer(READABLE, "flags_country")
    call_command("migrate", verbosity=0)
    assert (answer(READABLE, "flags_country"), answer(READABLE, "flags_token")) == (True, False)
