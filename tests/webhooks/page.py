"""The lines that docs/webhooks.md gives to receivers, as they stand there."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


def _published() -> Callable[[str, Mapping[str, str], bytes], bool]:
    [code] = re.findall(r"^```python\n(.*?def is_genuine.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    function: Callable[[str, Mapping[str, str], bytes], bool] = names["is_genuine"]
    return function


is_genuine = _published()
