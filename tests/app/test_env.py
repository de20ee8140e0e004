"""Settings from the environment: what stops the start, and that the message says what to set."""

import traceback
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from core.env import Environment

STRONG = "kT7vQ2mX9bR4wZ8nL3cF6hJ1gD5sP0yAeUiOqWxEtVrBzNlMkHjG"
URL = "postgresql://app@db:6432/flags?sslmode=verify-full&sslrootcert=/tls/ca.crt"


def development(**variables: str) -> Environment:
    return Environment({"DEPLOYMENT": "development", **variables})


def production(**variables: str) -> Environment:
    return Environment({"DEPLOYMENT": "production", **variables})


def refusal(build: object) -> str:
    with pytest.raises(ImproperlyConfigured) as refused:
        build()  # type: ignore[operator]
    return str(refused.value)


def test_an_unset_deployment_is_production() -> None:
    assert Environment({}).production


def test_an_unknown_deployment_stops() -> None:
    assert "set DEPLOYMENT=development or" in refusal(lambda: Environment({"DEPLOYMENT": "staging"}))


def test_debug_is_off_by_default() -> None:
    assert development().debug() is False


def test_debug_is_refused_in_production() -> None:
    assert "unset DJANGO_DEBUG" in refusal(production(DJANGO_DEBUG="true").debug)


def test_debug_is_a_boolean() -> None:
    assert "set DJANGO_DEBUG=true or DJANGO_DEBUG=false" in refusal(development(DJANGO_DEBUG="maybe").debug)


@pytest.mark.parametrize("value", ["0", "65536", "https", "-1"])
def test_a_port_is_a_tcp_port(value: str) -> None:
    assert f"EMAIL_PORT is {value!r}" in refusal(lambda: production(EMAIL_PORT=value).port("EMAIL_PORT", 587))
    assert production(EMAIL_PORT="465").port("EMAIL_PORT", 587) == 465


def test_the_admin_is_for_no_network_in_production_and_for_this_machine_in_development() -> None:
    assert production().admin_networks() == []
    assert all(network.is_private for network in development().admin_networks())


def test_the_admins_networks_are_addresses_and_networks() -> None:
    networks = production(ADMIN_NETWORKS="192.0.2.10, 2001:db8:7::/48").admin_networks()
    assert [str(network) for network in networks] == ["192.0.2.10/32", "2001:db8:7::/48"]


@pytest.mark.parametrize("value", ["office", "192.0.2.1/24", "192.0.2.0/33", "::1::"])
def test_another_word_is_no_network(value: str) -> None:
    assert f"ADMIN_NETWORKS holds {value!r}" in refusal(production(ADMIN_NETWORKS=value).admin_networks)


def test_hsts_preload_needs_all_subdomains() -> None:
    assert "set HSTS_INCLUDE_SUBDOMAINS=true" in refusal(production(HSTS_PRELOAD="true").hsts_preload)
    assert production(HSTS_PRELOAD="true", HSTS_INCLUDE_SUBDOMAINS="true").hsts_preload()


# --- Secret files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_a_files_trailing_newline_is_not_part_of_the_secret(tmp_path: Path, ending: str) -> None:
    (file := tmp_path / "key").write_bytes(f" s3cret{ending}".encode())
    assert development(DJANGO_SECRET_KEY_FILE=str(file)).secret_key() == " s3cret"


@pytest.mark.parametrize("name", ["DJANGO_SECRET_KEY", "DATABASE_PASSWORD"])
def test_a_variable_and_its_file_together_stop(name: str) -> None:
    env = development(**{name: "a", f"{name}_FILE": "/b"})
    assert f"{name} and {name}_FILE are both set" in refusal(lambda: env.secret(name))


def test_a_missing_secret_file_stops(tmp_path: Path) -> None:
    env = development(DATABASE_PASSWORD_FILE=str(tmp_path / "none"), DATABASE_URL=URL)
    assert "can't be read (No such file or directory): set DATABASE_PASSWORD_FILE" in refusal(env.database)


def test_an_empty_secret_file_stops(tmp_path: Path) -> None:
    (file := tmp_path / "key").write_text("\n")
    assert "is empty: write the secret" in refusal(development(DJANGO_SECRET_KEY_FILE=str(file)).secret_key)


def test_a_binary_secret_file_stops(tmp_path: Path) -> None:
    (file := tmp_path / "key").write_bytes(b"\xff\xfe")
    assert "it is not UTF-8 text" in refusal(development(DJANGO_SECRET_KEY_FILE=str(file)).secret_key)


# --- Secret key -----------------------------------------------------------------------------------------------------


def test_no_secret_key_stops() -> None:
    assert "Set DJANGO_SECRET_KEY_FILE" in refusal(development().secret_key)


def test_development_takes_any_secret_key() -> None:
    assert development(DJANGO_SECRET_KEY="x").secret_key() == "x"


def test_production_takes_a_strong_secret_key() -> None:
    assert production(DJANGO_SECRET_KEY=STRONG).secret_key() == STRONG


def test_production_refuses_a_short_secret_key() -> None:
    assert "has 49 characters" in refusal(production(DJANGO_SECRET_KEY=STRONG[:49]).secret_key)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("development-only-secret-key-that-production-refuses-to-start-with", "public development password"),
        ("django-insecure-" + STRONG, "is a placeholder"),
        ("CHANGE-ME-" + STRONG, "is a placeholder"),
        ("ab" * 30, "is not random"),
    ],
)
def test_production_refuses_a_placeholder_as_secret_key(key: str, reason: str) -> None:
    said = refusal(production(DJANGO_SECRET_KEY=key).secret_key)
    assert reason in said
    assert "set DJANGO_SECRET_KEY_FILE" in said


# --- Hosts ----------------------------------------------------------------------------------------------------------


def test_production_needs_host_names() -> None:
    assert "set ALLOWED_HOSTS" in refusal(production().allowed_hosts)


def test_host_names_are_separated_by_commas() -> None:
    assert production(ALLOWED_HOSTS="a.example, b.example,").allowed_hosts() == ["a.example", "b.example"]


def test_development_serves_this_machine() -> None:
    assert development().allowed_hosts() == ["localhost", "127.0.0.1", "[::1]"]


# --- Database -------------------------------------------------------------------------------------------------------


def test_three_workers_by_default() -> None:
    assert (production().workers(), production(WEB_CONCURRENCY="8").workers()) == (3, 8)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "²"])
def test_invalid_numbers_of_workers_stop(value: str) -> None:
    assert "set WEB_CONCURRENCY to a whole number of 1 or more" in refusal(production(WEB_CONCURRENCY=value).workers)


def test_a_database_url_becomes_djangos_settings() -> None:
    assert production(DATABASE_URL=URL, DATABASE_PASSWORD=STRONG).database() == {
        "NAME": "flags",
        "USER": "app",
        "HOST": "db",
        "PORT": "6432",
        "PASSWORD": STRONG,
        "PASSWORD_FILE": "",  # read again at each connection
        "OPTIONS": {"sslmode": "verify-full", "sslrootcert": "/tls/ca.crt"},
    }


def test_development_takes_the_references_url() -> None:
    url = "postgresql://flaglearning_user:dev_password_2024@localhost:5432/flaglearning_dev"
    assert development(DATABASE_URL=url).database()["PASSWORD"] == "dev_password_2024"


@pytest.mark.parametrize("url", ["", "postgresql://db", "postgresql:///flags"])
def test_a_url_without_host_or_database_stops(url: str) -> None:
    assert "DATABASE_URL is missing, or has no host or no database" in refusal(development(DATABASE_URL=url).database)


def test_an_invalid_url_stops_without_being_quoted() -> None:
    env = development(DATABASE_URL="postgresql://app:hunter2@[db/flags")
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL is not a PostgreSQL URL") as refused:
        env.database()
    # The parser's message quotes the URL: it must not be in the traceback either.
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


def test_two_passwords_stop() -> None:
    env = development(DATABASE_URL="postgresql://a:b@c/d", DATABASE_PASSWORD="e")
    assert "remove one of the two" in refusal(env.database)


def test_production_refuses_a_password_in_the_url() -> None:
    env = production(DATABASE_URL=URL.replace("app@", f"app:{STRONG}@"))
    assert "set DATABASE_PASSWORD_FILE" in refusal(env.database)


def test_production_needs_a_database_password() -> None:
    assert "set DATABASE_PASSWORD_FILE" in refusal(production(DATABASE_URL=URL).database)


@pytest.mark.parametrize(
    ("password", "reason"),
    [("dev_password_2024", "public development password"), (STRONG[:31], "has 31 characters, fewer than 32")],
)
def test_production_refuses_a_weak_database_password(password: str, reason: str) -> None:
    assert reason in refusal(production(DATABASE_URL=URL, DATABASE_PASSWORD=password).database)


@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca"])
def test_production_verifies_the_database_server(mode: str) -> None:
    env = production(DATABASE_URL=URL.replace("verify-full", mode), DATABASE_PASSWORD=STRONG)
    assert f"sslmode={mode}" in refusal(env.database)
