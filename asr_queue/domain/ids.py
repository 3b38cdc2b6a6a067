"""Ids: each that the system gives out is a random UUID in lower case; dropped files' follow from their keys.

Whatever else a client sends as one can name nothing. It is not looked up: a table refuses some such texts, of more than
2,048 bytes for one, and that is no fault of ours to answer for.
"""

import re
from typing import Final

ID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
"""Regular expression of an id."""
_ID: Final = re.compile(ID)


def is_id(text: str) -> bool:
    """Whether a text could be an id of ours."""
    return _ID.fullmatch(text) is not None
