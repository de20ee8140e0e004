"""/api/docs: every operation of the OpenAPI document, on a page that obeys the CSP."""

import re
from typing import Any

import pytest
from django.test import Client

from core.api_docs import type_of

pytestmark = pytest.mark.django_db


def test_every_operation_and_schema_is_on_the_page(client: Client) -> None:
    document = client.get("/api/openapi.json").json()
    page = client.get("/api/docs").text
    names = [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
    assert len(names) >= 8
    assert [name for name in [*names, *document["components"]["schemas"]] if f">{name}<" not in page] == []
    assert "/api/openapi.json" in page


def test_it_needs_nothing_that_the_csp_blocks(client: Client) -> None:
    response = client.get("/api/docs")
    assert "script-src 'self'" in response["Content-Security-Policy"]
    assert re.findall(r"<style\s|<script(?![^>]* src=)|\sstyle=|\son\w+=|(?:src|href)=\"https?:", response.text) == []


def test_it_can_only_be_read(client: Client) -> None:
    assert client.post("/api/docs").status_code == 405


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#/components/schemas/Error"}, "Error"),
        ({"type": "array", "items": {"type": "string"}}, "list of string"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"type": "string", "format": "date"}, "string (date)"),
        ({"type": "string", "enum": ["daily", "practice"]}, "daily | practice"),
        ({}, "any"),
    ],
)
def test_a_type_in_words(schema: dict[str, Any], words: str) -> None:
    assert type_of(schema) == words
