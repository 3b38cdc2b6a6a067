"""Text of somebody else's on a terminal: names and ids are data, and an escape sequence in one must do nothing."""


def printable(text: str) -> str:
    """Return a text of one line, with a mark in the place of each character that is none to be seen."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
