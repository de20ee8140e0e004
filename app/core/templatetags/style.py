"""The site's style sheet in the page: a browser shows the page without waiting for a second request."""

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.simple_tag
def style() -> SafeString:
    """Return the element; in development a link, so that a change of the file is seen."""
    if settings.INLINE_STYLE:
        return format_html("<style>{}</style>", mark_safe(settings.INLINE_STYLE))  # noqa: S308 - our own file
    return format_html('<link rel="stylesheet" href="{}">', static("site.css"))
