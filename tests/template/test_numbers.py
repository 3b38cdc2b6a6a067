"""Numbers that the templates and the code both know are the same number."""

import json
import re
import tomllib
from typing import Any

import pytest

from asr_queue.adapters.dynamodb.rows import SQS_RETENTION_S
from asr_queue.adapters.webhooks import TIMEOUT_S
from asr_queue.domain.items import Operation
from asr_queue.domain.notices import BACKOFF_S, CLAIM_S
from asr_queue.settings import LeaseSettings, ResourceSettings
from gpu_worker.engines.catalog import SPEECH_ENGINES
from gpu_worker.health import STALE_S
from gpu_worker.pipeline.flow import _LAST_RECEIVE_S
from gpu_worker.settings import WorkerSettings
from handlers import sweep
from handlers.observability import NAMESPACE
from handlers.settings import ApiSettings
from tests.sam import ROOT, template

STACK = template()
PARAMETERS = STACK["Parameters"]
WORKERS = template("infra/worker.yaml")["Resources"]
OBSERVABILITY = template("infra/observability.yaml")["Resources"]
[CONTAINER] = WORKERS["Task"]["Properties"]["ContainerDefinitions"]
DOCKERFILE = (ROOT / "infra" / "Dockerfile").read_text()


def properties(name: str) -> dict[str, Any]:
    return dict(STACK["Resources"][name]["Properties"])


def function_names() -> list[str]:
    return [name for name, one in STACK["Resources"].items() if one["Type"] == "AWS::Serverless::Function"]


def default(settings: type, name: str) -> Any:
    return settings.model_fields[name].default


def test_parameters_have_the_defaults_of_the_settings_that_they_set() -> None:
    assert PARAMETERS["FileTtlS"]["Default"] == default(ResourceSettings, "file_ttl_s")
    assert PARAMETERS["VisibilityTimeoutS"]["Default"] == default(LeaseSettings, "visibility_timeout_s")
    assert PARAMETERS["KeyScope"]["Default"] == default(ApiSettings, "key_scope")
    for parameter, setting in {
        "MaxItemsWaiting": "max_items_waiting",
        "MaxBytesStored": "max_bytes_stored",
        "MaxRequestsPerS": "max_requests_per_s",
        "CallbackBackoffS": "callback_backoff_s",
        "EventBusName": "event_bus",
    }.items():
        assert PARAMETERS[parameter]["Default"] == default(ApiSettings, setting)
    assert PARAMETERS["AssumedItemS"]["Default"] == default(ApiSettings, "assumed_item_s")
    assert PARAMETERS["WorkerUsdPerHour"]["Default"] == default(ApiSettings, "worker_usd_per_hour")
    assert PARAMETERS["WorkerEngine"]["Default"] == default(WorkerSettings, "engine")
    assert PARAMETERS["WorkerEngine"]["Default"] in SPEECH_ENGINES
    assert PARAMETERS["VoiceEngine"]["Default"] == default(ResourceSettings, "voice_engine")


def test_the_queue_keeps_a_message_as_long_as_the_rows_assume() -> None:
    assert properties("TranscribeQueue")["MessageRetentionPeriod"] == SQS_RETENTION_S


@pytest.mark.parametrize(
    "queue",
    ["TranscribeHighQueue", "TranscribeLowQueue", "VoiceCloneQueue", "VoiceCloneHighQueue", "VoiceCloneLowQueue"],
)
def test_a_queue_of_items_differs_from_the_others_in_nothing_but_what_is_in_it(queue: str) -> None:
    assert properties(queue) == properties("TranscribeQueue")


def test_a_queue_that_starts_a_function_hides_a_message_for_six_of_its_time_limits() -> None:
    queues = {
        "DeadLetterFunction": "DeadLetterQueue",
        "S3SubmitFunction": "EventQueue",
        "NotifyFunction": "NotifyQueue",
    }
    for function, queue in queues.items():
        assert properties(queue)["VisibilityTimeout"] >= 6 * properties(function)["Timeout"]


def test_a_notice_is_left_alone_for_as_long_as_the_function_may_have_it() -> None:
    timeout_s = properties("NotifyFunction")["Timeout"]
    assert timeout_s < CLAIM_S
    assert timeout_s > 2 * TIMEOUT_S, "a receiver, and the DNS before it"


def test_a_delivery_is_given_up_before_the_row_of_its_batch_may_go() -> None:
    assert sum(BACKOFF_S) * 1.2 < default(ResourceSettings, "row_retention_s")


def test_the_sweep_has_time_for_both_its_runs_and_no_more_than_its_minute() -> None:
    waits_s = (sweep._RUNS - 1) * sweep._SECONDS_BETWEEN
    assert waits_s < properties("SweepFunction")["Timeout"] <= 60


def test_the_api_answers_before_api_gateway_gives_up() -> None:
    assert properties("ApiFunction")["Timeout"] < 30
    assert default(ApiSettings, "sync_wait_s") + 3 < properties("ApiFunction")["Timeout"]


def test_a_worker_ends_within_the_stop_timeout() -> None:
    environment = {entry["Name"]: entry["Value"] for entry in CONTAINER["Environment"]}
    pass_s = float(environment["ASR_QUEUE_PASS_TIMEOUT_S"])
    assert pass_s + _LAST_RECEIVE_S < CONTAINER["StopTimeout"] <= 120
    agent = WORKERS["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"]
    assert f"ECS_CONTAINER_STOP_TIMEOUT={CONTAINER['StopTimeout']}s" in agent
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in agent


def test_every_variable_of_the_task_is_one_that_the_worker_reads() -> None:
    own = {entry["Name"] for entry in CONTAINER["Environment"]} - {"AWS_REGION"}
    assert own <= {f"ASR_QUEUE_{name.upper()}" for name in WorkerSettings.model_fields}


def test_every_variable_of_the_functions_is_one_that_they_read() -> None:
    known = {f"ASR_QUEUE_{name.upper()}" for name in ApiSettings.model_fields} | {"POWERTOOLS_SERVICE_NAME"}
    shared = set(STACK["Globals"]["Function"]["Environment"]["Variables"])
    own = {name for one in function_names() for name in properties(one).get("Environment", {}).get("Variables", {})}
    assert shared | own <= known


def test_image_and_task_are_watched_alike() -> None:
    check = CONTAINER["HealthCheck"]
    found = re.search(
        r"HEALTHCHECK --interval=(\d+)s --timeout=(\d+)s --retries=(\d+) --start-period=(\d+)s CMD (\[.*\])", DOCKERFILE
    )
    assert found is not None
    assert [int(number) for number in found.groups()[:4]] == [
        check["Interval"],
        check["Timeout"],
        check["Retries"],
        check["StartPeriod"],
    ]
    assert check["Command"] == ["CMD", *json.loads(found[5])]
    assert check["Interval"] < STALE_S


def test_the_image_runs_the_worker_itself_and_not_as_root() -> None:
    assert DOCKERFILE.rstrip().endswith('CMD ["python", "-m", "gpu_worker"]')
    [user] = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0
    variables = re.findall(r"(ASR_QUEUE_[A-Z_]+)=", DOCKERFILE)
    assert {name.removeprefix("ASR_QUEUE_").lower() for name in variables} <= set(WorkerSettings.model_fields)


def test_the_image_holds_what_its_build_needs() -> None:
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
    [extra] = re.findall(r"^ARG EXTRAS=(\w+)$", DOCKERFILE, re.MULTILINE)
    assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_alarms_and_scaling_look_at_the_metric_that_the_sweep_emits() -> None:
    looked_at = [
        statistic["Metric"]
        for resource in (*WORKERS.values(), *OBSERVABILITY.values())
        for statistic in statistics_of(resource.get("Properties", {}))
        if statistic["Metric"]["MetricName"] == "BacklogAudioSeconds"
    ]
    assert len(looked_at) >= 4
    for metric in looked_at:
        assert metric["Namespace"] == NAMESPACE
        names = [dimension["Name"] for dimension in metric["Dimensions"]]
        values = [dimension["Value"] for dimension in metric["Dimensions"]]
        assert names == ["service", "operation"]
        assert values in ([{"Ref": "System"}, operation] for operation in Operation)
    assert 'seconds("BacklogAudioSeconds"' in (ROOT / "handlers" / "sweep.py").read_text()


def statistics_of(value: Any) -> list[dict[str, Any]]:
    """Every `MetricStat` in a template, and every alarm's own metric, in that shape."""
    if isinstance(value, list):
        return [found for one in value for found in statistics_of(one)]
    if not isinstance(value, dict):
        return []
    own = [value["MetricStat"]] if "MetricStat" in value else []
    if "MetricName" in value and "Threshold" in value:
        own.append({"Metric": value})
    return own + [found for one in value.values() for found in statistics_of(one)]


def test_metric_filters_look_for_events_that_the_worker_logs() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "gpu_worker").rglob("*.py"))
    filters = [one["Properties"] for one in OBSERVABILITY.values() if one["Type"] == "AWS::Logs::MetricFilter"]
    assert filters
    for one in filters:
        for event in re.findall(r'\$\.event = "(\w+)"', one["FilterPattern"]):
            assert f'"{event}"' in sources
        for name in re.findall(r"\$\.(\w+)", one["FilterPattern"]):
            assert name == "event" or f'"{name}":' in sources
