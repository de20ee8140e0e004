"""What every part of the API shares: the error's schema, and how an operation documents its errors."""

from typing import Annotated

from ninja import Schema
from pydantic import Field

# What a bigint column can hold as an id; a larger number is refused here instead of failing in the database.
DatabaseId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class ErrorDetail(Schema):
    """What went wrong."""

    code: Annotated[str, Field(description="For programs: stays the same.", examples=["already_answered"])]
    message: Annotated[str, Field(description="For people: may be reworded.")]
    request_id: Annotated[str, Field(description="Finds the request in the logs; also in the X-Request-ID header.")]


class Error(Schema):
    """The body of every answer from 400 up."""

    error: ErrorDetail


def errors(*statuses: int) -> dict[frozenset[int], type[Error]]:
    """The part of an operation's `response` that documents its errors; a crash and a lost database are everybody's."""
    return {frozenset({*statuses, 500, 503}): Error}
