"""Players of the lab's stack: what they ask, what they were told, and what the database has of it."""

import ssl

import httpx

from lab.hosts import Lab
from support.load import COUNT_ANSWERS, Load, Player, make_players
from testing.shell import eventually

HERE = ("env", "--chdir=/opt/flaglearning", "docker", "compose")
RATE = 20  # requests a second: hosts and clients share the processors, and other layers run beside this one


class Players:
    """Forty accounts, made by a host's app; they know the inventory's own CA."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.ca = str(lab.inventory / "pki/ca.crt")
        app = "app1" if "app1" in lab.running() else "db1"
        self.accounts: list[Player] = make_players(
            lambda *words: lab.exec(app, *HERE, "exec", "-T", "app", "python", "manage.py", *words)
        )

    def load(self, host: str = "db1") -> Load:
        """RATE requests a second to a host, while it is entered."""
        [load] = self.loads(host)
        return load

    def loads(self, *hosts: str, rate: float = RATE) -> list[Load]:
        """The same, or another `rate`, divided among hosts, as are the accounts: each may answer once a second."""
        for player in self.accounts:
            player.answers, player.busy = 0, False
        shares = [self.accounts[n :: len(hosts)] for n in range(len(hosts))]
        return [
            Load(f"https://{self.lab.address(host)}", self.ca, share, rate / len(hosts))
            for host, share in zip(hosts, shares, strict=True)
        ]

    def answer(self) -> None:
        """Play until the database has some answers."""
        with self.load() as load:
            eventually(lambda: load.answers > 0, within=30)
        assert load.failures == []

    def answers(self) -> int:
        """How many the database has."""
        psql = ("psql", "-X", "-A", "-t", "-h", "/run/postgresql", "-U", "postgres", "-d", "flaglearning_prod")
        return int(self.lab.exec("db1", *HERE, "exec", "-T", "postgres", *psql, "-c", COUNT_ANSWERS))

    def ask(self, host: str, path: str = "/readyz") -> int:
        """The HTTP status; 0 without an answer."""
        tls = ssl.create_default_context(cafile=self.ca)
        try:
            return httpx.get(f"https://{self.lab.address(host)}{path}", verify=tls, trust_env=False).status_code
        except httpx.HTTPError:
            return 0
