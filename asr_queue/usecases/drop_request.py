"""The submit that a dropped object stands for."""

from collections.abc import Mapping
from typing import Final

from asr_queue.domain.drops import MANIFEST_LINES_SUFFIX, Drop, DropKind, dropped_file_id
from asr_queue.domain.files import File
from asr_queue.domain.ids import is_id
from asr_queue.domain.items import Operation
from asr_queue.errors import CallerError
from asr_queue.ports import Clock, ItemTable, ObjectStore
from asr_queue.usecases.register_drops import register_drops
from asr_queue.wire.api import MAX_CUSTOM_ID_CHARS, MAX_LABEL_CHARS, MAX_WORD_CHARS, SubmitItem, SubmitRequest
from asr_queue.wire.submits import MAX_BODY_BYTES, read_submit, read_submit_lines

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def drop_request(
    drop: Drop,
    size_bytes: int,
    *,
    store: ObjectStore,
    table: ItemTable,
    clock: Clock,
    file_ttl_s: int,
    max_upload_bytes: int,
) -> SubmitRequest:
    """Return the submit of a recording or a manifest, every `ref_audio` a file id; what it names is registered.

    Args:
        drop: a recording or a manifest.
        size_bytes: its size.

    Raises:
        CallerError: what is wrong with it; beside the codes of a submit `dropped_object_missing`, `empty_upload`
            and `payload_too_large`.
    """
    if drop.kind is DropKind.RECORDING:
        _check_size(size_bytes, max_upload_bytes, drop.key)
        return _of_recording(drop)
    request = _read_manifest(drop, size_bytes, store)
    keys = _named_keys(request, drop)
    files = register_drops(
        set(keys.values()), tenant=drop.tenant, store=store, table=table, clock=clock, life_s=file_ttl_s
    )
    for place, key in keys.items():
        _check_is_there(place, key, files)
        _check_size(files[key].size_bytes, max_upload_bytes, f"items[{place}].ref_audio: {key}")
    items = [
        item.model_copy(update={"ref_audio": files[keys[place]].file_id}) if place in keys else item
        for place, item in enumerate(request.items)
    ]
    return request.model_copy(update={"items": items})


def _of_recording(drop: Drop) -> SubmitRequest:
    item = SubmitItem(
        operation=Operation.TRANSCRIBE.value,
        ref_audio=dropped_file_id(drop.key),
        language=drop.language[:MAX_WORD_CHARS],  # a longer one is as unknown
        return_timestamps=drop.return_timestamps,
        custom_id=drop.name[-MAX_CUSTOM_ID_CHARS:],
    )
    return SubmitRequest(label=drop.name[-MAX_LABEL_CHARS:], items=[item])


def _read_manifest(drop: Drop, size_bytes: int, store: ObjectStore) -> SubmitRequest:
    if size_bytes > MAX_BODY_BYTES:
        raise CallerError(
            "payload_too_large",
            f"A manifest may have {MAX_BODY_BYTES} bytes at most, not {size_bytes}.",
            http_status=413,
        )
    body = (store.get(drop.key) or b"").removeprefix(_BYTE_ORDER_MARK)
    if drop.key.endswith(MANIFEST_LINES_SUFFIX):
        return read_submit_lines(body, label=drop.name.removesuffix(MANIFEST_LINES_SUFFIX))
    return read_submit(body)


def _named_keys(request: SubmitRequest, drop: Drop) -> dict[int, str]:
    """Return the keys of dropped objects that items name, by the place of the item."""
    keys = {}
    for place, item in enumerate(request.items):
        if is_id(item.ref_audio):
            continue
        key = drop.beside(item.ref_audio)
        if key is None:
            raise CallerError(
                "invalid_request",
                f"items[{place}].ref_audio: {item.ref_audio!r} is neither a file id nor the name of an object in the "
                f"manifest's folder or below it.",
            )
        keys[place] = key
    return keys


def _check_is_there(place: int, key: str, files: Mapping[str, File]) -> None:
    if key not in files:
        raise CallerError(
            "dropped_object_missing",
            f"items[{place}].ref_audio: there is no object {key}; put the recordings first, and their manifest last.",
            http_status=404,
        )


def _check_size(size_bytes: int, max_bytes: int, what: str) -> None:
    if size_bytes == 0:
        raise CallerError("empty_upload", f"{what} has 0 bytes; put one with audio in it.")
    if size_bytes > max_bytes:
        raise CallerError(
            "payload_too_large", f"{what} has {size_bytes} bytes; {max_bytes} are the most.", http_status=413
        )
