"""What both halves and the client agree on."""

__version__ = "0.1.0"
"""Written here, because the functions' artefact holds the package without its metadata."""
