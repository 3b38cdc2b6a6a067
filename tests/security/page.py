"""docs/attacks.md, written from the tables: `python -m tests.security.page > docs/attacks.md`."""

from tests.fuzz.hostile import HOSTILE
from tests.security.drop_attacks import DROP_ATTACKS
from tests.security.http_attacks import HTTP_ATTACKS

_HEAD = """# Attacks and bad inputs

Each of these runs with the tests: over HTTP as bytes on a socket (`tests/security/test_attacks.py`), as an object in
the bucket (`tests/security/test_drop_attacks.py`), as a file for the worker's decoder (`tests/fuzz/test_decoder.py`).
After each one the system serves on, and nothing of what was there before has changed. What each threat is and what
holds it is in [security.md](security.md). Written by `python -m tests.security.page`; a test holds it to the tables.
"""


def page() -> str:
    """Return the whole page."""
    lines = [_HEAD, f"## Over HTTP ({len(HTTP_ATTACKS)})", "", "| what | answer |", "|---|---|"]
    for attack in HTTP_ATTACKS:
        code = f" `{attack.code}`" if attack.code else ""
        lines.append(f"| {_shown(attack.what)} | {attack.status}{code} |")
    lines += ["", f"## By the bucket ({len(DROP_ATTACKS)})", "", "| what | note beside it |", "|---|---|"]
    lines += [f"| {_shown(attack.what)} | {attack.status} `{attack.code}` |" for attack in DROP_ATTACKS]
    lines += ["", f"## As a recording ({len(HOSTILE)})", "", "| what | item |", "|---|---|"]
    lines += [f"| {_shown(what)} | {_ending(code)} |" for what, (_, code) in HOSTILE.items()]
    return "\n".join(lines) + "\n"


def _shown(what: str) -> str:
    return what.replace("|", "\\|").replace("<", "&lt;")


def _ending(code: str | None) -> str:
    if code is None:
        return "decoded as far as it goes, or refused, within its bounds"
    return code if code == "decoded" else f"error, `{code}`"


if __name__ == "__main__":
    print(page(), end="")
