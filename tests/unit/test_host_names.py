"""ALLOWED_HOSTS → a host name to send in a request."""

import pytest

import host_names


@pytest.mark.parametrize(
    ("allowed", "name"),
    [
        ("play.example.org", "play.example.org"),
        ("play.example.org,localhost", "play.example.org"),
        ("*", "localhost"),
        ("*, play.example.org", "play.example.org"),
        (".example.org", "example.org"),
        ("", "localhost"),
        (" , [::1]", "[::1]"),
    ],
)
def test_the_first_name_that_is_answered(allowed: str, name: str) -> None:
    assert host_names.first(allowed) == name
