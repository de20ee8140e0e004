"""A shell whose settings mean another deployment than the one that runs."""

from ops.containers import other_deployment


def test_the_same_deployment_is_no_problem() -> None:
    assert other_deployment(["A=b=c", "DEPLOYMENT=production"], "production", "game") is None
    assert other_deployment(["A=b"], "development", "game") is None


def test_production_is_not_replaced_and_no_hint_does_it() -> None:
    problem = other_deployment(["DEPLOYMENT=production"], "development", "game")
    assert problem
    assert "containers of this project are production's" in problem.what
    assert "down" not in problem.hint
    assert ".env" in problem.hint


def test_development_is_ended_first() -> None:
    problem = other_deployment(["DEPLOYMENT=development"], "production", "game")
    assert problem
    assert problem.hint.endswith("docker compose -p game --profile '*' down")
