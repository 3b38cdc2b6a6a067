"""`asr-queue keys` against the table of a running stack."""

import socket
from pathlib import Path

from tests.cli.conftest import Run
from tests.conftest import EmbeddedAws


def stack_folder(aws: EmbeddedAws, tmp_path: Path) -> Path:
    lines = [f"{name}={value}" for name, value in aws.environment.items()]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "stack.env").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def test_a_key_is_made_listed_and_revoked(run: Run, embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    data = stack_folder(embedded_aws, tmp_path)
    made = run("keys", "create", "--name", "laptop of Kim", "--tenant", "cli-test", "--data", data)
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert key.startswith("asrq_")
    prefix = made.stderr.split()[-1]

    listed = run("keys", "list", "--data", data).stdout
    assert key not in listed
    [line] = [line for line in listed.splitlines() if line.startswith(prefix)]
    assert "cli-test  laptop of Kim" in line
    assert line.endswith("active")

    revoked = run("keys", "revoke", prefix, "--data", data)
    assert revoked.returncode == 0
    assert "revoked" in revoked.stdout
    [line] = [line for line in run("keys", "list", "--data", data).stdout.splitlines() if line.startswith(prefix)]
    assert "revoked" in line


def test_a_keys_limits_are_kept_and_listed(run: Run, embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    data = stack_folder(embedded_aws, tmp_path)
    limits = ("--max-items-waiting", "1000", "--max-bytes-stored", "5000000", "--max-requests-per-s", "20")
    made = run("keys", "create", "--name", "limited", *limits, "--data", data)
    assert made.returncode == 0, made.stderr
    prefix = made.stderr.split()[-1]
    [line] = [line for line in run("keys", "list", "--data", data).stdout.splitlines() if line.startswith(prefix)]
    assert line.endswith("active  items_waiting=1000  bytes_stored=5000000  requests_per_s=20")
    assert run("keys", "create", "--name", "x", "--max-requests-per-s", "0", "--data", data).returncode == 2


def test_a_prefix_that_fits_no_key_or_several_says_so(run: Run, embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    data = stack_folder(embedded_aws, tmp_path)
    ran = run("keys", "revoke", "nothing", "--data", data)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "No key's hash begins with 'nothing'" in ran.stderr
    for name in ("one", "two"):
        run("keys", "create", "--name", name, "--data", data)
    ran = run("keys", "revoke", "", "--data", data)
    assert ran.returncode == 2
    assert "give more of it" in ran.stderr


def test_settings_of_aws_serve_where_no_folder_is_named(run: Run, embedded_aws: EmbeddedAws) -> None:
    ran = run("keys", "create", "--name", "deployed", **embedded_aws.environment)
    assert ran.returncode == 0, ran.stderr
    assert "deployed" in run("keys", "list", **embedded_aws.environment).stdout


def test_a_table_that_is_not_named_or_not_there_ends_with_2(run: Run, tmp_path: Path) -> None:
    ran = run("keys", "list")
    assert ran.returncode == 2
    assert "ASR_QUEUE_TABLE" in ran.stderr
    ran = run("keys", "list", "--data", tmp_path)
    assert ran.returncode == 2
    assert "asr-queue up" in ran.stderr


def test_a_stack_that_has_ended_says_so(run: Run, embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    data = stack_folder(embedded_aws, tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with (data / "stack.env").open("a") as variables:
            variables.write(f"AWS_ENDPOINT_URL=http://127.0.0.1:{taken.getsockname()[1]}\n")
        ran = run("keys", "list", "--data", data)
    assert ran.returncode == 2
    assert f"is asr-queue up --data {data} running?" in ran.stderr
    assert "Traceback" not in ran.stderr
