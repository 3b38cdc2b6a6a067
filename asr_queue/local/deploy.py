"""Fill the embedded AWS from `template.yaml`, by CloudFormation, as AWS is filled.

A process of its own, `python -m asr_queue.local.deploy`, whose environment leads boto3 to the emulator
(`environment.for_clients`): what it imports is large and needed once. It reads a JSON object with `parameters` and
`api_key` from standard input, and writes the stack's outputs as another to standard output.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from asr_queue.adapters.aws import connect
from asr_queue.adapters.system_clock import SystemClock
from asr_queue.domain.keys import hash_key
from asr_queue.local import package
from asr_queue.settings import ResourceSettings
from asr_queue.usecases.manage_keys import create_key

STACK = "asr-queue"
TENANT = "local"
_ARTEFACTS = "asr-queue-artefacts"
_NO_UPDATES = "No updates are to be performed."
_LEFT_OUT = {"Monitoring": "DISABLED"}
"""The emulator makes no metrics that an alarm could watch; workers are left out by the template's own default."""
_WAIT = {"Delay": 0.1, "MaxAttempts": 300}
"""Seconds between looks at a stack being made, where botocore would wait 30, and how many."""


class _NoManagedPolicies:
    """The template names no managed policy by its short name, so there is nothing to look up."""

    def load(self) -> dict[str, str]:
        return {}


def template_path() -> Path:
    """Return where `template.yaml` is: in the package too, by a link, so that an installed one has it."""
    return Path(__file__).with_name("template.yaml")


def expanded(template: dict[str, Any], *, code_uri: str) -> dict[str, Any]:
    """Return a template as plain CloudFormation, its functions' code at `code_uri` (`s3://bucket/key`)."""
    template["Globals"]["Function"]["CodeUri"] = code_uri
    return dict(transform(template, {}, _NoManagedPolicies()))


def deploy(parameters: Mapping[str, str]) -> dict[str, str]:
    """Create the stack, or bring it up to date; data stays.

    Args:
        parameters: values for the template's parameters, for those that are not to have their defaults.

    Returns:
        The stack's outputs.

    Raises:
        RuntimeError: the emulator refused the stack; the message has its reason.
    """
    code = package.pack()
    key = f"{package.digest(code)}.zip"
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
    s3.create_bucket(Bucket=_ARTEFACTS)
    s3.put_object(Bucket=_ARTEFACTS, Key=key, Body=code)
    template = expanded(yaml_parse(template_path().read_text()), code_uri=f"s3://{_ARTEFACTS}/{key}")
    defaults = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()}
    outputs = _apply(boto3.client("cloudformation"), json.dumps(template), defaults | _LEFT_OUT | dict(parameters))
    _set_time_to_live(outputs["TableName"], template["Resources"]["Table"]["Properties"]["TimeToLiveSpecification"])
    return outputs


def _set_time_to_live(table: str, specification: Mapping[str, Any]) -> None:
    """Do by hand what the emulator's CloudFormation leaves out; without it no row would ever go away."""
    dynamodb = boto3.client("dynamodb")
    now = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    if now["TimeToLiveStatus"] == "DISABLED":
        dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=specification)


def _apply(cloudformation: Any, body: str, parameters: Mapping[str, str]) -> dict[str, str]:
    request = {
        "StackName": STACK,
        "TemplateBody": body,
        "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    try:
        status = _status(cloudformation)
        if status == "ROLLBACK_COMPLETE":  # its first deployment failed: it holds nothing, and takes no update
            cloudformation.delete_stack(StackName=STACK)
            cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig=_WAIT)
            status = None
        if status is None:
            cloudformation.create_stack(**request)
            cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig=_WAIT)
        elif _update(cloudformation, request):
            cloudformation.get_waiter("stack_update_complete").wait(StackName=STACK, WaiterConfig=_WAIT)
    except (ClientError, WaiterError) as error:
        raise RuntimeError(f"the embedded AWS refused template.yaml: {_reason(cloudformation) or error}") from error
    [stack] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _status(cloudformation: Any) -> str | None:
    try:
        [stack] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    except ClientError:  # there is none
        return None
    return str(stack["StackStatus"])


def _update(cloudformation: Any, request: Mapping[str, Any]) -> bool:
    """Ask for an update; return whether there is anything to do."""
    try:
        cloudformation.update_stack(**request)
    except ClientError as error:
        if error.response["Error"]["Message"] == _NO_UPDATES:  # it has no code of its own, on AWS neither
            return False
        raise
    return True


def _reason(cloudformation: Any) -> str:
    try:
        events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    except ClientError:
        return ""
    return "; ".join(
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for event in events
        if event["ResourceStatus"].endswith("FAILED")
    )


def know_key(key: str, outputs: Mapping[str, str]) -> None:
    """Have the table know a key; one that it knows already, revoked or not, stays as it is."""
    settings = ResourceSettings(
        bucket=outputs["BucketName"], table=outputs["TableName"], transcribe_queue_url=outputs["TranscribeQueueUrl"]
    )
    table = connect(settings).table
    if table.get_key(hash_key(key)) is None:
        create_key(tenant=TENANT, name="asr-queue up", table=table, clock=SystemClock(), key=key)


def sweep_now(function: str) -> None:
    """Start the sweep without waiting for it: the schedule's first minute is yet to pass."""
    boto3.client("lambda").invoke(FunctionName=function, InvocationType="Event")


def main() -> None:
    """Serve one request."""
    request = json.load(sys.stdin)
    outputs = deploy(request["parameters"])
    if request["api_key"]:
        know_key(request["api_key"], outputs)
        sweep_now(outputs["SweepFunctionName"])
    json.dump(outputs, sys.stdout)


if __name__ == "__main__":
    main()
