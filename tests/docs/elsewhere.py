"""What the pages have typed that cannot run here: each with its reason, and what is looked at in its place."""

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from tests.docs.pages import ROOT
from tests.docs.session import Session
from tests.sam import template


def _is_shell(text: str) -> None:
    checked = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def _nothing_more(text: str, session: Session) -> None:
    pass


def _makes(text: str, session: Session) -> None:
    """The Makefile has the targets, and what they need."""
    ran = session.shell(re.sub(r"\bmake\b", "make --dry-run", text))
    assert ran.worked, ran.seen


def _dockerfile_takes_it(text: str, session: Session) -> None:
    """The file is there, and has every argument that it is given."""
    (file,) = re.findall(r"-f (\S+)", text)
    known = set(re.findall(r"^ARG (\w+)", (ROOT / file).read_text(), re.MULTILINE))
    assert set(re.findall(r"--build-arg (\w+)=", text)) <= known


def _parameters_are_there(text: str, session: Session) -> None:
    (overrides,) = re.findall(r"--parameter-overrides (.+)", text)
    assert set(re.findall(r"(\w+)=", overrides)) <= set(template()["Parameters"])


def _options_are_known(text: str, session: Session) -> None:
    command = re.sub(r" --.*", "", text)
    helped = session.shell(f"{command} --help")
    assert helped.worked, helped.seen
    assert all(option in helped.output for option in re.findall(r"--[\w-]+", text))


def _compose_file_is_there(text: str, session: Session) -> None:
    (file,) = re.findall(r"-f (\S+)", text)
    assert yaml.safe_load((ROOT / file).read_text())["services"]


def _extra_is_there(text: str, session: Session) -> None:
    """The program is there, and so is the extra of the packages that it would lock."""
    program, extra = re.findall(r"(infra/\S+\.py) (\S+)", text)[0]
    assert (ROOT / program).exists()
    assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def _worker_in_its_place(text: str, session: Session) -> None:
    """The template has the parameters; a worker on this machine serves the stack, as a task would."""
    _parameters_are_there(text, session)
    if "HAS_WORKER" not in session.exported():
        stacks = session.shell("aws cloudformation describe-stacks --stack-name asr-queue")
        assert stacks.worked, stacks.seen
        outputs = json.loads(stacks.output)["Stacks"][0]["Outputs"]
        exports = [f"export {_setting(one['OutputKey'])}={shlex.quote(one['OutputValue'])}" for one in outputs]
        session.leave_running("\n".join([*exports, "exec python -m gpu_worker"]), "")
        session.shell("export HAS_WORKER=1")


def _setting(output: str) -> str:
    """Return the setting that an output is for: `TranscribeQueueUrl` is ASR_QUEUE_TRANSCRIBE_QUEUE_URL."""
    words = re.findall(r"[A-Z][a-z]+|[A-Z]+", output.removesuffix("Name"))
    return "_".join(["ASR", "QUEUE", *words]).upper()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A command or a whole block that is not run."""

    pattern: str
    """All of it, as a regular expression."""
    reason: str
    instead: Callable[[str, Session], None]

    def is_it(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text, re.DOTALL) is not None

    def look(self, text: str, session: Session) -> None:
        """Look at it in another way."""
        _is_shell(text)
        self.instead(text, session)


TABLE = (
    Elsewhere(r"make (test|check|docs-test)\b.*", "it is what runs this", _makes),
    Elsewhere(r"make bench-gpu\b.*", "needs a GPU, and half an hour", _makes),
    Elsewhere(r"docker build .*", "needs a container engine", _dockerfile_takes_it),
    Elsewhere(r"aws ecr get-login-password \| docker login .*", "needs a container engine", _nothing_more),
    Elsewhere(r"docker compose .*", "needs a container engine, and LocalStack's account", _compose_file_is_there),
    Elsewhere(r"sam deploy --parameter-overrides WorkerImageTag=.*", "needs ECS and GPUs", _worker_in_its_place),
    Elsewhere(r"sam delete .*", "looks for what it uploaded at amazonaws.com", _options_are_known),
    Elsewhere(r"sam build && sam deploy --resolve-s3 .*", "needs LocalStack", _parameters_are_there),
    Elsewhere(r".*infra/lock\.py qwen3.*", "needs an index with PyTorch for CUDA, and minutes", _extra_is_there),
)
