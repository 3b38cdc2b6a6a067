"""What is deployed: locked by hashes, and in a container that may do nothing but its work."""

import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra import lock
from tests.sam import ROOT, template

LOCKS = sorted((ROOT / "infra" / "locks").glob("*.txt"))
PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)( \\\n    --hash=sha256:[0-9a-f]{64})+\n")


def pins(text: str) -> dict[str, str]:
    return {canonicalize_name(found[1]): found[2] for found in PIN.finditer(text)}


def needs(names: set[str]) -> set[str]:
    """Return distributions and all that they need here, as they are installed."""
    found: set[str] = set()
    while names - found:
        for name in names - found:
            found.add(name)
            for text in distribution(name).requires or []:
                wanted = Requirement(text)
                if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                    names = names | {canonicalize_name(wanted.name)}
    return found


class TestLocks:
    def test_there_is_one_for_all_that_is_deployed(self) -> None:
        assert {path.stem for path in LOCKS} == set(lock.LOCKED)

    @pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
    def test_every_line_is_a_version_with_hashes_and_none_names_a_place(self, path: Path) -> None:
        text = path.read_text()
        assert PIN.sub("", text) == ""
        assert "/" not in text

    @pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
    def test_the_versions_are_those_that_the_tests_ran_with(self, path: Path) -> None:
        tested = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
        tested = {canonicalize_name(name): version for name, version in tested.items()}
        assert {name: tested.get(name) for name in pins(path.read_text())} == pins(path.read_text())

    @pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
    def test_nothing_that_is_needed_is_missing(self, path: Path) -> None:
        asked = {canonicalize_name(Requirement(text).name) for text in lock.requirements(path.stem)}
        assert needs(asked) <= set(pins(path.read_text()))

    def test_the_functions_and_the_image_are_built_from_them(self) -> None:
        assert "-r ../locks/api.txt" in (ROOT / "infra" / "function" / "requirements.txt").read_text()
        dockerfile = (ROOT / "infra" / "Dockerfile").read_text()
        assert 'pip install --no-cache-dir --require-hashes -r "infra/locks/${EXTRAS}.txt"' in dockerfile
        assert dockerfile.count("pip install") == 1


class TestContainer:
    @pytest.fixture
    def task(self) -> dict[str, Any]:
        properties = template("infra/worker.yaml")["Resources"]["Task"]["Properties"]
        assert isinstance(properties, dict)
        return properties

    @pytest.fixture
    def container(self, task: dict[str, Any]) -> dict[str, Any]:
        [container] = task["ContainerDefinitions"]
        return dict(container)

    def test_it_is_nobody_and_stays_nobody(self, container: dict[str, Any]) -> None:
        [user] = re.findall(r"^USER (\d+)$", (ROOT / "infra" / "Dockerfile").read_text(), re.MULTILINE)
        assert container["User"] == user != "0"
        assert container["Privileged"] is False
        assert container["DockerSecurityOptions"] == ["no-new-privileges"]
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}

    def test_it_writes_to_nothing_but_a_folder_that_goes_with_it(
        self, task: dict[str, Any], container: dict[str, Any]
    ) -> None:
        assert container["ReadonlyRootFilesystem"] is True
        assert task["Volumes"] == [{"Name": "scratch", "DockerVolumeConfiguration": {"Scope": "task"}}]
        assert container["MountPoints"] == [{"SourceVolume": "scratch", "ContainerPath": "/tmp"}]
        dockerfile = (ROOT / "infra" / "Dockerfile").read_text()
        assert re.findall(r"\b(?:HOME|ASR_QUEUE_READY_FILE)=(\S+)", dockerfile) == ["/tmp/asr-queue-ready", "/tmp"]

    def test_it_is_told_no_secret_and_reaches_no_credentials_but_its_own(self, container: dict[str, Any]) -> None:
        assert "Secrets" not in container
        names = {one["Name"] for one in container["Environment"]}
        assert not [name for name in names if re.search("SECRET|TOKEN|PASSWORD|ACCESS_KEY", name)]
        instances = template("infra/worker.yaml")["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
        assert instances["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
