"""The second AWS: an emulator that shares nothing with the embedded one."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from samtranslator.yaml_helper import yaml_parse

from asr_queue.local import embedded, environment
from asr_queue.local.deploy import template_path
from asr_queue.local.processes import Child, Lifeline, Program

ROOT = Path(__file__).parents[2]


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Run it until the block ends, with its log in a folder; yield what boto3 and `ResourceSettings` need."""
    with Lifeline() as lifeline, embedded.listener(0) as listening:
        url = embedded.url_of(listening)
        variables = environment.for_clients(url)
        program = Program(
            name="moto",
            module="tests.contract.moto_server",
            arguments=(str(listening.fileno()),),
            environment={**environment.plain(), **variables, "PYTHONPATH": str(ROOT)},
            fds=(listening.fileno(),),
        )
        server = Child(program, lifeline=lifeline, logs=folder)
        try:
            with urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=60) as answer:
                assert answer.status == 200
            yield variables
        finally:
            server.sweep_up()


@contextmanager
def a_table(dynamodb: Any) -> Iterator[str]:
    """Make the template's table under another name, for the block: a transaction copies every row that there is."""
    properties = yaml_parse(template_path().read_text())["Resources"]["Table"]["Properties"]
    wanted = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    name = f"contract-{uuid4()}"
    dynamodb.create_table(TableName=name, **{key: properties[key] for key in wanted})
    yield name
    dynamodb.delete_table(TableName=name)
