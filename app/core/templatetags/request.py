"""The id of the request, for error pages: they are rendered without a request."""

from django import template

from core.logs import request_id as current

register = template.Library()


@register.simple_tag
def request_id() -> str:
    """Return the id that nginx's and the application's log lines of this request have."""
    return current.get()
