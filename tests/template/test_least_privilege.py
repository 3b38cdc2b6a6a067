"""Who may do what: the whole of it as a table, which the templates have to say in other words.

A right that is added to a template fails here until somebody has written it down.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sam import template

STACK = template()["Resources"]
WORKERS = template("infra/worker.yaml")["Resources"]
ROWS = {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem"}
LANES = (
    *("TranscribeQueue", "TranscribeHighQueue", "TranscribeLowQueue"),
    *("VoiceCloneQueue", "VoiceCloneHighQueue", "VoiceCloneLowQueue"),
)
LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
TAKE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
ALL_ROWS = {*ROWS, "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:PutItem"}

Rights = dict[str, set[str]]
TABLE: dict[str, Rights] = {
    "ApiRole": {
        "Table": ALL_ROWS,
        "Table/index/listing": {"dynamodb:Query"},
        "Bucket": {"s3:ListBucket"},
        "Bucket/uploads/*": {
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject",
            "s3:ListMultipartUploadParts",
            "s3:AbortMultipartUpload",
        },
        "Bucket/drop/*": {"s3:GetObject", "s3:DeleteObject"},
        "Bucket/voices/*": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
        "Bucket/results/*": {"s3:GetObject", "s3:DeleteObject"},
        "Bucket/results/*/order.json": {"s3:PutObject"},
        "Bucket/results/*/downloads/*": {"s3:PutObject", "s3:AbortMultipartUpload"},
        **{lane: {"sqs:SendMessage", "sqs:GetQueueAttributes"} for lane in LANES},
        "NotifyQueue": {"sqs:SendMessage"},
        "ApiLogs": LOG,
    },
    "SweepRole": {
        "Table": {*ROWS, "dynamodb:DeleteItem", "dynamodb:PutItem"},
        "Table/index/due": {*ROWS, "dynamodb:DeleteItem", "dynamodb:PutItem"},
        "Bucket": {"s3:ListBucket"},
        "Bucket/uploads/*": {"s3:DeleteObject", "s3:AbortMultipartUpload"},
        "Bucket/drop/*": {"s3:DeleteObject"},
        "Bucket/voices/*": {"s3:DeleteObject"},
        "Bucket/results/*": {"s3:DeleteObject"},
        **{lane: {"sqs:SendMessage", "sqs:GetQueueAttributes"} for lane in LANES},
        "NotifyQueue": {"sqs:SendMessage"},
        "SweepLogs": LOG,
    },
    "DeadLetterRole": {
        "Table": {*ROWS, "dynamodb:PutItem"},
        "DeadLetterQueue": TAKE,
        "NotifyQueue": {"sqs:SendMessage"},
        "DeadLetterLogs": LOG,
    },
    "NotifyRole": {
        "Table": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
        "NotifyQueue": {*TAKE, "sqs:SendMessage"},
        "event bus EventBusName": {"events:PutEvents"},
        "NotifyLogs": LOG,
    },
    "S3SubmitRole": {
        "Table": ALL_ROWS,
        "Table/index/listing": ALL_ROWS,
        "Bucket": {"s3:ListBucket"},
        "Bucket/drop/*": {"s3:GetObject"},
        "Bucket/drop/*.error.json": {"s3:PutObject", "s3:DeleteObject"},
        "Bucket/drop/*.receipt.json": {"s3:PutObject", "s3:DeleteObject"},
        "Bucket/uploads/*": {"s3:GetObject", "s3:ListMultipartUploadParts"},
        **{lane: {"sqs:SendMessage"} for lane in LANES},
        "EventQueue": TAKE,
        "S3SubmitLogs": LOG,
    },
    "TaskRole": {
        "Table": {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query"},
        "Bucket": {"s3:ListBucket"},
        "Bucket/uploads/*": {"s3:GetObject"},
        "Bucket/drop/*": {"s3:GetObject"},
        "Bucket/voices/*": {"s3:GetObject"},
        "Bucket/results/*": {"s3:PutObject", "s3:DeleteObject"},
        **{
            lane: {"sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"}
            for lane in ("Queue", "HighQueue", "LowQueue", "VoiceQueue", "HighVoiceQueue", "LowVoiceQueue")
        },
        "NotifyQueue": {"sqs:SendMessage"},
        "tasks of Cluster": {"ecs:GetTaskProtection", "ecs:UpdateTaskProtection"},
    },
    "ExecutionRole": {
        "*": {"ecr:GetAuthorizationToken"},
        "Repository": {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
        "Logs": LOG,
    },
    "InstanceRole": {
        "*": {"ecs:DiscoverPollEndpoint"},
        "Cluster": {
            "ecs:RegisterContainerInstance",
            "ecs:DeregisterContainerInstance",
            "ecs:SubmitAttachmentStateChanges",
            "ecs:SubmitContainerStateChange",
            "ecs:SubmitTaskStateChange",
        },
        "container instances of Cluster": {
            "ecs:Poll",
            "ecs:StartTelemetrySession",
            "ecs:UpdateContainerInstancesState",
        },
    },
}
NAMELESS = {"ecr:GetAuthorizationToken", "ecs:DiscoverPollEndpoint"}
"""Actions that work on no resource (Service Authorization Reference), so that theirs is `*`."""
_FORMS = (
    (r"^\$\{(\w+?)(?:\.Arn|Arn)\}(/.*)?$", r"\1\2"),
    (r"^arn:.*:event-bus/\$\{(\w+)\}$", r"event bus \1"),
    (r"^arn:.*:task/\$\{(\w+)\}/\*$", r"tasks of \1"),
    (r"^arn:.*:container-instance/\$\{(\w+)\}/\*$", r"container instances of \1"),
)


def roles(resources: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in resources.items():
        if resource["Type"] == "AWS::IAM::Role":
            yield name, resource["Properties"]


ROLES = dict([*roles(STACK), *roles(WORKERS)])


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def name_of(resource: Any) -> str:
    """A resource in the table's words."""
    if resource == "*":
        return "*"
    if "Fn::GetAtt" in resource:
        got, attribute = resource["Fn::GetAtt"]
        assert attribute == "Arn"
        return str(got)
    if "Ref" in resource:
        return str(resource["Ref"]).removesuffix("Arn")
    for form, words in _FORMS:
        if re.match(form, resource["Fn::Sub"]):
            return re.sub(form, words, resource["Fn::Sub"])
    raise AssertionError(f"a form that this test does not know: {resource}")


def rights(role: str) -> Rights:
    """What a role may do, by resource."""
    found: Rights = {}
    for policy in ROLES[role]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            assert set(statement) <= {"Sid", "Effect", "Action", "Resource"}, "what else would narrow or widen it"
            for resource in listed(statement["Resource"]):
                found.setdefault(name_of(resource), set()).update(listed(statement["Action"]))
    return found


def test_every_role_is_in_the_table() -> None:
    assert set(ROLES) == set(TABLE)


@pytest.mark.parametrize("role", TABLE)
def test_a_role_may_do_what_its_table_says_and_nothing_else(role: str) -> None:
    assert rights(role) == TABLE[role]


@pytest.mark.parametrize("role", TABLE)
def test_no_action_is_wild_and_no_resource_where_one_can_be_named(role: str) -> None:
    for resource, actions in rights(role).items():
        assert not any("*" in action for action in actions)
        assert resource != "*" or actions <= NAMELESS
        assert not resource.startswith("Bucket/*"), "a prefix at least"


@pytest.mark.parametrize("role", TABLE)
def test_no_role_has_rights_that_are_written_elsewhere(role: str) -> None:
    assert "ManagedPolicyArns" not in ROLES[role]


def test_every_function_has_a_role_of_its_own() -> None:
    functions = [resource["Properties"] for resource in STACK.values() if resource["Type"].endswith("less::Function")]
    given = [function["Role"]["Fn::GetAtt"][0] for function in functions]
    assert len(set(given)) == len(given)
    assert all("Policies" not in function for function in functions)


@pytest.mark.parametrize(
    ("role", "action", "resource"),
    [
        ("ApiRole", "sqs:ReceiveMessage", "TranscribeQueue"),
        ("ApiRole", "sqs:DeleteMessage", "TranscribeQueue"),
        ("ApiRole", "sqs:ReceiveMessage", "VoiceCloneQueue"),
        ("ApiRole", "s3:PutObject", "Bucket/results/*"),
        ("ApiRole", "s3:PutObject", "Bucket/drop/*"),
        ("SweepRole", "s3:GetObject", "Bucket/uploads/*"),
        ("SweepRole", "s3:PutObject", "Bucket/results/*"),
        ("SweepRole", "sqs:ReceiveMessage", "TranscribeQueue"),
        ("DeadLetterRole", "sqs:ReceiveMessage", "TranscribeQueue"),
        ("DeadLetterRole", "s3:GetObject", "Bucket/uploads/*"),
        ("S3SubmitRole", "s3:GetObject", "Bucket/results/*"),
        ("NotifyRole", "dynamodb:Query", "Table"),
        ("NotifyRole", "s3:GetObject", "Bucket/results/*"),
        ("NotifyRole", "sqs:SendMessage", "TranscribeQueue"),
        ("S3SubmitRole", "sqs:ReceiveMessage", "TranscribeQueue"),
        ("TaskRole", "s3:GetObject", "Bucket/results/*"),
        ("TaskRole", "s3:PutObject", "Bucket/uploads/*"),
        ("TaskRole", "sqs:SendMessage", "Queue"),
        ("TaskRole", "dynamodb:DeleteItem", "Table"),
        ("TaskRole", "dynamodb:Scan", "Table"),
        ("TaskRole", "dynamodb:Query", "Table/index/due"),
        ("InstanceRole", "s3:GetObject", "Bucket/uploads/*"),
        ("ExecutionRole", "sqs:ReceiveMessage", "Queue"),
    ],
)
def test_a_role_cannot(role: str, action: str, resource: str) -> None:
    """What the table leaves out, for those who read it the other way round."""
    assert action not in rights(role).get(resource, set())


def test_nobody_reaches_the_bucket_without_tls() -> None:
    [statement] = STACK["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert [name_of(resource) for resource in statement["Resource"]] == ["Bucket", "Bucket/*"]
