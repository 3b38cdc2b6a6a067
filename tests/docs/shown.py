"""What a page shows, held against what there is."""

import json
import re
from typing import Any

from tests.docs.session import Ran


def check_shown(line: str, ran: Ran, place: str) -> None:
    """Check that a line which a page shows has appeared, or, of JSON, that what appeared has its shape."""
    shown = document(line)
    if shown is None:
        assert looks_like(line).search(ran.seen), f"{place} shows {line!r}, and there is\n{ran.seen}"
    else:
        has_the_shape_of(last_document(ran.output), shown, place)


def document(text: str) -> Any:
    """Return what a text is in JSON, or None where it is no whole object."""
    try:
        return json.loads(text) if text.lstrip().startswith("{") else None
    except ValueError:
        return None


def looks_like(line: str) -> re.Pattern[str]:
    """Any number for a number, and anything for what is left out, with the beginning of the word that ends so."""
    parts = re.split(r"\S*?(?:…|\.\.\.)", line.strip())
    parts = [re.sub(r"\d+", r"\\d+", re.sub(r"(\\ |\s)+", r"\\s+", re.escape(part))) for part in parts]
    return re.compile(".*".join(parts))


def last_document(output: str) -> Any:
    """Return the last of the JSON documents in an output, with or without line breaks between them."""
    found, place, decoder = None, 0, json.JSONDecoder()
    while (place := output.find("{", place)) >= 0:
        found, place = decoder.raw_decode(output, place)
    return found


def has_the_shape_of(real: Any, shown: Any, place: str) -> None:
    assert type(real) is type(shown) or None in (real, shown), f"{place}: {shown!r} is {real!r}"
    if isinstance(shown, dict):
        assert set(shown) <= set(real), f"{place}: {set(shown) - set(real)} is not in {real}"
        for key, value in shown.items():
            has_the_shape_of(real[key], value, f"{place}: {key}")
    elif isinstance(shown, list):
        for one, other in zip(real, shown, strict=False):
            has_the_shape_of(one, other, place)
