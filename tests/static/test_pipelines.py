"""The pipelines for GitHub and GitLab run every layer once. Their schemas: .pre-commit-config.yaml."""

import re

import pytest
import yaml

from testing.runner import LAYERS
from testing.shell import ROOT

GITHUB = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
JOBS = {
    "github": GITHUB["jobs"]["layers"]["strategy"]["matrix"]["layers"],
    "gitlab": GITLAB["layers"]["parallel"]["matrix"][0]["LAYERS"],
}


@pytest.mark.parametrize("jobs", JOBS.values(), ids=JOBS)
def test_each_layer_is_in_one_job(jobs: list[str]) -> None:
    assert sorted(" ".join(jobs).split()) == sorted(layer.name for layer in LAYERS)


@pytest.mark.parametrize("jobs", JOBS.values(), ids=JOBS)
def test_layers_that_share_a_stack_are_in_one_job(jobs: list[str]) -> None:
    shared = {layer.name for layer in LAYERS if layer.group == "shared"}
    assert [job for job in jobs if shared & set(job.split())] == [job for job in jobs if shared <= set(job.split())]


def test_every_image_is_cached() -> None:
    build = next(step for step in GITHUB["jobs"]["layers"]["steps"] if step.get("uses", "").startswith("docker/bake"))
    targets = set(build["with"]["targets"].split(","))
    images = re.findall(r"image: flaglearning/(\w+):", (ROOT / "docker-compose.yml").read_text())
    assert targets == {*images, "app-tests"}
    assert {(target, way) for target in targets for way in ("from", "to")} == set(
        re.findall(r"^([\w-]+)\.cache-(from|to)=type=gha,scope=\1\b", build["with"]["set"], re.MULTILINE)
    )
