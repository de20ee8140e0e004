"""What a check is written with: `check`, `deviates`, `not_proven`, `does_not_apply` and the `evidence` fixture."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, TypeVar

T = TypeVar("T", bound=Callable[..., object])

# The reference's own checklist, word for word, by the prefix of the ids of its checks.
ITEMS = {
    "PASS": "Strong password (32+ characters, random)",
    "TLS": "SSL/TLS required for connections",
    "PRIV": "NO CREATEDB privilege",
    "BACK": "Automated backups configured",
    "POOL": "Connection pooling (pgBouncer)",
    "NET": "Firewall rules",
    "MON": "Monitoring (pg_stat_statements)",
    # not the reference's: of a cluster of database servers
    "HA": "High availability",
}


@dataclass(frozen=True)
class Check:
    """A check's stable id, its one-line claim, and the next command when it doesn't hold."""

    id: str
    claim: str
    remedy: str

    @property
    def item(self) -> str:
        """The prefix of the checklist item that this check belongs to."""
        return self.id.partition("-")[0]


def check(id: str, *, claim: str, remedy: str) -> Callable[[T], T]:
    """Make a test function a check: `@check("TLS-03", claim="…", remedy="…")`."""
    described = Check(id, claim, remedy)
    if described.item not in ITEMS:
        raise ValueError(f"the id {id} belongs to no item: it starts with one of {', '.join(ITEMS)}")

    def decorate(function: T) -> T:
        function.check = described  # type: ignore[attr-defined]
        return function

    return decorate


class Deviation(Exception):
    """Development relaxes this on purpose."""


class NotProven(Exception):
    """This deployment lacks what would prove the claim."""


class DoesNotApply(Exception):
    """The claim is about something that is no part of this target."""


def deviates(reason: str) -> NoReturn:
    """End the check: development relaxes this on purpose, and why. In production it counts as a failure."""
    raise Deviation(reason)


def not_proven(missing: str) -> NoReturn:
    """End the check: the claim can't be proven here; name what is missing. In production it counts as a failure."""
    raise NotProven(missing)


def does_not_apply(reason: str) -> NoReturn:
    """End the check: it is about something that is no part of this target, and why. It counts neither way."""
    raise DoesNotApply(reason)


class Seen(NamedTuple):
    """A line of evidence, and the host that it is about; on a machine that runs everything: ''."""

    line: str
    host: str = ""

    def __str__(self) -> str:
        return f"{self.host}: {self.line}" if self.host else self.line


@dataclass
class Evidence:
    """What a check observed: `evidence("sslmode=disable answered: FATAL: SSL required")`.

    A line is about the machines that ran a command since the line before, unless the check names another.
    """

    asked: set[str] = field(default_factory=set)
    lines: list[Seen] = field(default_factory=list)

    def __call__(self, line: str, host: object = "") -> None:
        before = self.lines[-1].host if self.lines else ""
        about = str(host) or ", ".join(sorted(self.asked)) or before
        self.asked.clear()
        self.lines.append(Seen(" ".join(line.split()), about))
