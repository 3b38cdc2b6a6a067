"""Every alarm has its page, and every page its alarm."""

import re

from tests.sam import ROOT, template

PAGE = (ROOT / "docs" / "operations.md").read_text()
OBSERVABILITY = template("infra/observability.yaml")["Resources"]
ALARMS = {name: one["Properties"] for name, one in OBSERVABILITY.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
SECTIONS = dict(re.findall(r"^### (.+)\n\n`(\w+)`", PAGE, re.MULTILINE))


def anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def test_every_alarm_has_a_section_and_every_section_an_alarm() -> None:
    assert set(SECTIONS.values()) == set(ALARMS)
    assert len(SECTIONS) == len(re.findall(r"^### ", PAGE, re.MULTILINE))


def test_an_alarm_tells_where_its_section_is() -> None:
    for heading, alarm in SECTIONS.items():
        assert ALARMS[alarm]["AlarmDescription"].endswith(f"docs/operations.md#{anchor(heading)}")


def test_every_alarm_reaches_somebody() -> None:
    assert all(alarm["AlarmActions"] == [{"Ref": "Topic"}] for alarm in ALARMS.values())


def test_links_within_the_page_lead_somewhere() -> None:
    anchors = {anchor(heading) for heading in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= anchors


def test_events_that_the_page_tells_to_look_for_are_logged() -> None:
    sources = "".join(path.read_text() for room in ("gpu_worker", "handlers") for path in (ROOT / room).rglob("*.py"))
    events = {"item_given_up", "poison_message", "engine_bug", "prepare_bug", "pass_time_limit", "micro_batch_done"}
    events |= {"heartbeat_failed", "task_protection_failed", "sweep_failed", "item_published"}
    for event in events:
        assert f"`{event}`" in PAGE or f'"{event}"' in PAGE
        assert f'"{event}"' in sources
