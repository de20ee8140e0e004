"""Schemas that the whole API shares: the error, and how an operation documents its errors."""

from typing import Annotated

from ninja import Schema
from pydantic import Field

# The range of a bigint id: a larger number is rejected here instead of failing in the database.
DatabaseId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class ErrorDetail(Schema):
    code: Annotated[str, Field(description="For programs: stable.", examples=["already_answered"])]
    message: Annotated[str, Field(description="For people: may be reworded.")]
    request_id: Annotated[str, Field(description="Finds the request in the logs; also in the X-Request-ID header.")]


class Error(Schema):
    """The body of every response with a status of 400 or above."""

    error: ErrorDetail


def errors(*statuses: int) -> dict[frozenset[int], type[Error]]:
    """Return the part of an operation's `response` that documents its errors; each may return 500 and 503."""
    return {frozenset({*statuses, 500, 503}): Error}
