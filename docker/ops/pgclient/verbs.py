"""How a verb is declared. Its keyword parameters are the keys of the JSON object; what it returns is printed as JSON.

@verb("dump-list")
def dump_list(limit: int = 0) -> list[dict[str, Any]]:
    '''What it takes, returns and raises.'''
"""

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
VERBS: dict[str, Callable[..., Any]] = {}


def verb(name: str) -> Callable[[F], F]:
    """Decorator: declare a verb."""

    def declare(function: F) -> F:
        assert name not in VERBS, f"{name} is declared twice"
        VERBS[name] = function
        return function

    return declare
