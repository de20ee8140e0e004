"""Units of one machine report their failure: Prometheus lists them (alert UnitFailed), and while it does not answer,
the machine tells the receivers of alerts itself. On Ansible's hosts the role `monitoring` installs the same files."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from ops import containers

FOLDER = Path(__file__).parents[1] / "failure_units"
PROGRAM = Path(__file__).parents[2] / "unit_failures.py"
INSTALLED = Path("/usr/local/lib/flaglearning/unit_failures.py")
SETTINGS = Path("/etc/flaglearning/unit_failures.json")
DROP_IN = "flaglearning-failure.conf"
# Where Ansible has installed it, for every service of the host.
OF_ANSIBLE = Path("/etc/systemd/system/service.d") / DROP_IN
PREFIX = "flaglearning-"
TIMER = "flaglearning-units.timer"
REPORT = "flaglearning-failure@.service"


def wanted() -> bool:
    """Whether this machine has receivers of alerts, and reports nothing yet."""
    return "alertmanager" in containers.config()["services"] and not OF_ANSIBLE.exists()


def files(units: Path, config: dict[str, Any]) -> dict[Path, str]:
    """File → text, of everything but the link that exempts the report itself. `units`: systemd's folder; `config`: what
    `docker compose config` says."""
    names = (REPORT, "flaglearning-units.service", TIMER)
    return {
        INSTALLED: PROGRAM.read_text(encoding="utf-8"),
        SETTINGS: json.dumps(settings(config, reports()), indent=1) + "\n",
        **{units / name: (FOLDER / name).read_text(encoding="utf-8") for name in names},
        # A drop-in of every unit whose name begins so (systemd.unit(5)).
        units / f"{PREFIX}.service.d" / DROP_IN: (FOLDER / "on-failure.conf").read_text(encoding="utf-8"),
    }


def settings(config: dict[str, Any], metrics: str) -> dict[str, Any]:
    """Of unit_failures.py, by what the stack's Alertmanager is given. A pure function, except for the host's name."""
    services, secrets = config["services"], config["secrets"]
    mail = {name: str(value) for name, value in services["alertmanager"]["environment"].items()}
    port = services["prometheus"]["ports"][0]["published"]
    return {
        "host": socket.gethostname(),
        "only": PREFIX,
        "metrics": metrics,
        "ready": [f"http://127.0.0.1:{port}/-/ready"],
        "email_to": mail["ALERT_EMAIL_TO"],
        "email_from": mail["EMAIL_FROM"],
        "email_host": mail["EMAIL_HOST"],
        "email_port": int(mail["EMAIL_PORT"]),
        "email_user": mail["EMAIL_HOST_USER"],
        "email_password_file": secrets["alert_email_password"]["file"],
        "webhook_url_file": secrets["alert_webhook_url"]["file"],
    }


def reports() -> str:
    """The folder of REPORTS_DIR, whose metrics Prometheus reads; a volume's on this machine."""
    mounts = containers.config()["services"]["ops"]["volumes"]
    mount = next(one for one in mounts if one["target"] == "/reports")
    if mount["type"] != "volume":
        return str(mount["source"])
    name = containers.config()["volumes"][mount["source"]]["name"]
    return containers.run(["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", name]).strip()


def install(units: Path) -> list[str]:
    """Write what differs, as root; the files that changed."""
    changed = []
    for file, text in files(units, containers.config()).items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            file.chmod(0o755 if file == INSTALLED else 0o644)
            changed.append(str(file))
    # A link of the same name to /dev/null hides the drop-in: a report that fails does not report itself.
    exempt = units / f"{REPORT}.d" / DROP_IN
    if not exempt.is_symlink():
        exempt.parent.mkdir(exist_ok=True)
        exempt.symlink_to("/dev/null")
        changed.append(str(exempt))
    return changed
