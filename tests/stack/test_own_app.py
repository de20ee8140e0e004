"""docs/your-app.md on a copy: another name, a small app instead of the game; all that operates it works."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from testing.shell import run
from testing.stack import DEVELOPMENT, PROJECT, SLOT, Stack

pytestmark = [pytest.mark.long, pytest.mark.last]

NAME = f"ownapp{SLOT}"
COMMITTER = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
DELETED = ("app/flags", "app/templates/flags", "app/static/app.js", "app/static/vendor", "tests/app", "tests/browser")
CHANGED = {
    "app/config/settings.py": ('"flags"', '"notes"'),
    "app/config/urls.py": (r"flags\.urls", "notes.urls"),
    "docker-compose.yml": (" && python manage.py load_countries", ""),
    "scripts/lib/ops/commands/queries.py": (r"(?s)NAMES = \{.*?\n\}", "NAMES: dict[str, tuple[str, str]] = {}"),
}
WRITTEN = {
    "app/notes/__init__.py": "",
    "app/notes/migrations/__init__.py": "",
    "app/notes/models.py": "from django.db import models\nclass Note(models.Model):\n    text = models.TextField()\n",
    "app/notes/urls.py": """from django.http import HttpResponse
from django.urls import path
from notes.models import Note
urlpatterns = [path("", lambda request: HttpResponse(f"{Note.objects.count()} notes"), name="home")]
""",
    "app/templates/base.html": "<!doctype html><title>Notes</title>{% block content %}{% endblock %}",
}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Run]:
    """Runs a command in the copy, on a stack of its own."""
    run("git", "checkout-index", "--all", f"--prefix={tmp_path}/copy/")
    folder = tmp_path / "copy"
    stack = Stack(f"{PROJECT}-stack-own", DEVELOPMENT, port=21080, WEB_CONCURRENCY="1")

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**stack.environment, **COMMITTER}
        return subprocess.run(words, cwd=folder, env=environment, text=True, capture_output=True, check=False)

    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "first")):
        assert command("git", *words).returncode == 0
    assert command("./scripts/rename-project", NAME).returncode == 0
    for path in [folder / name for name in DELETED] + list((folder / "pg/queries").glob("app_*.sql")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, (old, new) in CHANGED.items():
        text = (folder / name).read_text()
        assert re.search(old, text), name
        (folder / name).write_text(re.sub(old, new, text))
    urls = folder / "app/config/urls.py"
    urls.write_text("".join(line for line in urls.read_text().splitlines(True) if "game" not in line))
    for name, text in WRITTEN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    stack.remove()
    try:
        yield command
    finally:
        stack.remove()
        names = run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", f"{NAME}/*").stdout.split()
        run("docker", "rmi", *names, check=False)


def test_a_small_app_instead_of_the_game(own: Run) -> None:
    checklist = (sys.executable, "-m", "checklist", "--target", f"docker://{PROJECT}-stack-own")
    for words in (
        ("./scripts/up",),
        ("./scripts/ops", "migrations", "make", "notes"),
        ("./scripts/ops", "migrations", "apply"),
        ("./scripts/ops", "doctor"),
        ("env", "PYTHONPATH=scripts/lib:tests", f"PATH={os.environ['PATH']}", *checklist),
        ("./scripts/ops", "dump", "full"),
        ("./scripts/ops", "restore", "dump", "latest", "--yes"),
    ):
        done = own(*words)
        assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    port = Stack(PROJECT, DEVELOPMENT, port=21080).variables["PROXY_HTTP_PORT"]
    assert httpx.get(f"http://localhost:{port}/", trust_env=False).text == "0 notes"
