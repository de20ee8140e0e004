"""The API's documentation as a page made on the server, from the OpenAPI document: no script, no style of its own.

django-ninja's own pages need inline scripts, which the CSP blocks.
"""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from core.api import api

Json = dict[str, Any]


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Every operation and schema."""
    return render(request, "api_docs.html", content())


@cache
def content() -> Json:
    """What the page shows; the document does not change while the process runs."""
    document: Json = api.get_openapi_schema()
    operations = [
        {"method": method.upper(), "path": path, **operation(found)}
        for path, methods in document["paths"].items()
        for method, found in methods.items()
    ]
    schemas = [
        {"name": name, "description": found.get("description", ""), "fields": fields(found)}
        for name, found in sorted(document["components"]["schemas"].items())
    ]
    return {"info": document["info"], "operations": operations, "schemas": schemas}


def operation(found: Json) -> Json:
    """Summary, parameters, body and responses of an operation."""
    return {
        "id": found["operationId"],
        "summary": found.get("summary", ""),
        "description": found.get("description", ""),
        "logged_in": bool(found.get("security")),
        "parameters": [
            {
                "name": one["name"],
                "where": one["in"],
                "required": one.get("required", False),
                "type": type_of(one["schema"]),
            }
            for one in found.get("parameters", ())
        ],
        "body": type_in(found.get("requestBody", {})),
        "responses": [(status, type_in(one), one.get("description", "")) for status, one in found["responses"].items()],
    }


def fields(schema: Json) -> list[Json]:
    """The properties of a schema; its values when it is an enumeration."""
    required = schema.get("required", ())
    return [
        {"name": name, "type": type_of(one), "required": name in required, "description": one.get("description", "")}
        for name, one in schema.get("properties", {}).items()
    ]


def type_in(body: Json) -> str:
    """The type of a request's or response's JSON; "" without a body."""
    return next((type_of(one.get("schema", {})) for one in body.get("content", {}).values()), "")


def type_of(schema: Json) -> str:
    """A schema's type in words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if options := schema.get("anyOf") or schema.get("allOf"):
        return " or ".join(type_of(option) for option in options)
    if values := schema.get("enum"):
        return " | ".join(map(str, values))
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    return " ".join(filter(None, (schema.get("type", "any"), f"({schema['format']})" if "format" in schema else "")))
