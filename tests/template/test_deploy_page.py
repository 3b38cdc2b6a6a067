"""The page about deploying names every parameter, as the template describes it."""

import re

from tests.sam import ROOT, template

PARAMETERS = template()["Parameters"]
PAGE = (ROOT / "docs" / "deploy.md").read_text()
ROWS = {
    name: (default, meaning) for name, default, meaning in re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", PAGE, re.M)
}


def test_every_parameter_is_on_the_page_with_its_default_and_meaning() -> None:
    described = {
        name: (f"`{one['Default']}`" if one["Default"] != "" else "none", one["Description"].strip())
        for name, one in PARAMETERS.items()
    }
    assert described == ROWS


def test_every_parameter_has_a_default_so_that_a_plain_deploy_works() -> None:
    assert all("Default" in one for one in PARAMETERS.values())


def test_outputs_that_the_page_names_exist() -> None:
    assert {"WorkerRepositoryUri", "AlarmTopicArn", "ApiUrl", "BucketName", "TableName"} <= set(template()["Outputs"])
