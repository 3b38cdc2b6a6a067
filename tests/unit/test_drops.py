"""What keys of dropped objects mean."""

import pytest

from asr_queue.domain.drops import Drop, DropKind, dropped_file_id


@pytest.mark.parametrize(
    ("key", "language", "timestamps", "name"),
    [
        ("drop/acme/audio/auto/talk.wav", "auto", False, "talk.wav"),
        ("drop/acme/audio/German+timestamps/2026/a b+c.flac", "German", True, "2026/a b+c.flac"),
        ("drop/acme/audio/Haitian Creole/x", "Haitian Creole", False, "x"),
    ],
)
def test_a_recording_carries_its_options_in_its_key(key: str, language: str, timestamps: bool, name: str) -> None:
    drop = Drop.of(key)
    assert drop == Drop(
        key=key,
        tenant="acme",
        kind=DropKind.RECORDING,
        name=name,
        language=language,
        return_timestamps=timestamps,
    )


@pytest.mark.parametrize("name", ["m.manifest.json", "deep/er/m.manifest.jsonl", "audio/en/m.manifest.json"])
def test_a_manifest_is_known_by_its_suffix_wherever_it_is(name: str) -> None:
    drop = Drop.of(f"drop/acme/{name}")
    assert drop is not None
    assert drop.kind is DropKind.MANIFEST


@pytest.mark.parametrize("name", ["talk.wav", "audio/talk.wav", "audio//talk.wav", "m.manifest.json.bak", "notes.json"])
def test_anything_else_waits_for_a_manifest(name: str) -> None:
    drop = Drop.of(f"drop/acme/{name}")
    assert drop is not None
    assert drop.kind is DropKind.MATERIAL


@pytest.mark.parametrize(
    "key",
    [
        "uploads/acme/x",
        "drop/",
        "drop/acme",
        "drop/acme/",
        "drop//talk.wav",
        "drop/acme/folder/",
        "drop/acme/m.manifest.json.receipt.json",
        "drop/acme/m.manifest.json.error.json",
        "drop/acme/audio/en/talk.wav.receipt.json",
    ],
)
def test_with_notes_folders_and_what_is_nobodys_nothing_is_to_be_done(key: str) -> None:
    assert Drop.of(key) is None


def test_a_manifest_names_objects_of_its_folder_and_below_and_no_others() -> None:
    drop = Drop.of("drop/acme/monday/m.manifest.json")
    assert drop is not None
    assert drop.beside("talk.wav") == "drop/acme/monday/talk.wav"
    assert drop.beside("deep/a b.wav") == "drop/acme/monday/deep/a b.wav"
    for outside in ("../x", "a/../../x", "/x", "", ".", "a//b", "a/"):
        assert drop.beside(outside) is None


def test_the_id_of_a_dropped_file_is_that_of_its_key() -> None:
    assert dropped_file_id("drop/acme/a.wav") == dropped_file_id("drop/acme/a.wav")
    assert dropped_file_id("drop/acme/a.wav") != dropped_file_id("drop/acme/b.wav")


@pytest.mark.parametrize("name", ["x" * 1024, "a\0b.wav", "ключ" * 200])
def test_a_manifest_names_nothing_that_no_bucket_could_hold(name: str) -> None:
    drop = Drop.of("drop/acme/m.manifest.json")
    assert drop is not None
    assert drop.beside(name) is None
    assert drop.beside("x" * (1024 - len("drop/acme/"))) is not None
