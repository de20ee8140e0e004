"""What a player does, for `manage.py try_requests` (core.visitor)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.urls import reverse

from core.visitor import Visitor

FORM = re.compile(r'<form[^>]* action="([^"]+)"(?:(?!</form>).)*? name="country" value="([A-Z]{2})"', re.DOTALL)
FLAG = re.compile(r'<img class="flag" src="([^"]+)"')


@contextmanager
def visit(visitor: Visitor) -> Iterator[None]:
    """Answer today's challenge and a practice question, on the pages; another practice question through the API."""
    for page in (reverse("home"), reverse("practice")):
        answer(visitor, page)
    asked = visitor.api("POST", reverse("api:practise")).json()
    chosen = asked["options"][0]["code"]
    visitor.api("POST", reverse("api:answer"), expected=201, question_id=asked["id"], country_code=chosen)
    yield


def answer(visitor: Visitor, page: str) -> None:
    """Choose the first country of the question that the page shows, and look at the result."""
    shown = visitor.get(page).content.decode()
    form, flag = FORM.search(shown), FLAG.search(shown)
    if not form or not flag:
        raise LookupError("the page shows no question")
    visitor.get(flag[1])
    visitor.post(form[1], country=form[2])
    visitor.get(form[1], expected=302 if page == reverse("home") else 200)
