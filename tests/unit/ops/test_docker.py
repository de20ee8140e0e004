"""docker command lines."""

from ops import docker


def test_a_command_in_a_running_container() -> None:
    assert docker.exec_in("postgres", "psql", "-l", environment={"PGAPPNAME": "ops"}) == [
        "docker", "compose", "exec", "--no-TTY", "--env", "PGAPPNAME=ops", "postgres", "psql", "-l",
    ]  # fmt: skip


def test_a_one_shot() -> None:
    assert docker.run_in("ops", "/tls/ca.crt", entrypoint="cat", tty=True) == [
        "docker", "compose", "run", "--rm", "--no-deps", "--entrypoint", "cat", "ops", "/tls/ca.crt",
    ]  # fmt: skip


def test_a_container_whose_log_is_read_after_its_end() -> None:
    argv = docker.run_in("sandbox", "sandbox", name="x-sandbox", options=["--detach"], remove=False)
    assert argv == [
        "docker", "compose", "run", "--no-deps", "--no-TTY", "--detach", "--name", "x-sandbox", "sandbox", "sandbox",
    ]  # fmt: skip


def test_parameters_are_one_json_object() -> None:
    assert docker.verb("psql", {"role": "ops", "arguments": ["-c", 'x"']}) == [
        "psql", '{"arguments": ["-c", "x\\""], "role": "ops"}',
    ]  # fmt: skip
    assert docker.verb("diagnose", {}) == ["diagnose"]
