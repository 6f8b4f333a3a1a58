"""The files of an artifact: sealed when it is committed, compared with its head when it is checked."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from kit.errors import KitError
from kit.reading.jsonfiles import MAX_BYTES, parse_json
from kit.reading.textfiles import decode
from kit.store.job import HEAD, MARK, Artifact, Job, readable_json
from kit.store.opening import Folder
from kit.store.walking import Found, sha256_of, walk

GC = "`kit store gc` removes it"


def parse(data: bytes, where: str) -> Any:
    """Return the value of a JSON file of the store.

    Raises:
        KitError: it is no JSON, or nested too deep, or holds what no number is.
    """
    return parse_json(decode(data, where), where)


def reason(error: Exception) -> str:
    """Return what a failed reading says, without the path of a file that the message names anyhow."""
    if isinstance(error, OSError):
        return str(error.strerror)
    cause = error.__cause__
    return f"{type(cause).__name__}: {cause}" if isinstance(cause, ValueError) else str(error)


def file_faults(artifact: Artifact, folder: Folder, *, hashes: bool) -> Iterator[str]:
    """Yield each file of an artifact that is missing, added, changed or of another kind, by name.

    Of one whose files were given back, each that is still there.
    """
    if artifact.released:
        yield from (f"{one.name}: still there, and its files were given back; {GC}" for one in leftovers(folder))
        return
    present, unexpected = {}, {}
    for one in walk(folder):
        if one.fault:
            unexpected[one.name] = one.fault
        elif not one.is_folder and one.name != HEAD:
            present[one.name] = one.size_bytes
    for name in sorted(present.keys() | artifact.files.keys() | unexpected.keys()):
        if name in unexpected:
            yield f"{name}: {unexpected[name]}"
        elif name not in present:
            yield f"{name}: missing"
        elif name not in artifact.files:
            yield f"{name}: not in the head"
        else:
            yield from _content_fault(artifact, folder, name, present[name], hashes=hashes)


def leftovers(folder: Folder) -> Iterator[Found]:
    """Yield what still lies in the folder of an artifact whose files were given back: a process was killed at it."""
    yield from (one for one in walk(folder) if one.name not in (HEAD, MARK))


def _content_fault(artifact: Artifact, folder: Folder, name: str, size_bytes: int, *, hashes: bool) -> Iterator[str]:
    """Yield the faults in the bytes of a file that is there and should be."""
    *above, base = name.split("/")
    wanted = artifact.files[name]
    try:
        with ExitStack() as stack:
            for part in above:
                folder = stack.enter_context(folder.folder(part))
            descriptor = folder.open(base)
        if size_bytes != wanted["size_bytes"]:
            os.close(descriptor)
            yield f"{name}: changed (sha256 differs from the head's)"  # as the sizes do
        elif not hashes:
            os.close(descriptor)
        elif sha256_of(descriptor) != wanted["sha256"]:
            yield f"{name}: changed (sha256 differs from the head's)"
    except KitError as error:
        yield f"{name}: {error}"
    except OSError as error:
        yield f"{name}: can't be read: {error.strerror}"


def seal(job: Job, folder: Folder) -> dict[str, dict[str, Any]]:
    """Hash a job's files, and open them to every user's eyes; name -> what a head says of each.

    Raises:
        KitError: there is something else than plain files and folders.
        OSError: a file can't be read, or the disk is full.
    """
    files = {}
    for one in walk(folder):
        if one.fault:
            raise KitError(f"{job.id}: {_refusal(one.base, one.fault)}")
        if one.name in (HEAD, MARK):
            owner = "the head's" if one.name == HEAD else "the store's own"
            raise KitError(f"{job.id}: the name {one.name} is {owner}; give the file another name")
        if one.is_folder:
            with one.folder.folder(one.base) as inner:
                os.fchmod(inner.descriptor, 0o755)
            continue
        descriptor = one.folder.open(one.base, alone=True)
        try:
            os.fchmod(descriptor, 0o644)  # whatever the umask: a container's user reads it too
            os.fsync(descriptor)
            size = os.fstat(descriptor).st_size
        except BaseException:
            os.close(descriptor)
            raise
        files[one.name] = {"sha256": sha256_of(descriptor), "size_bytes": size}
    return dict(sorted(files.items()))


def _refusal(base: str, fault: str) -> str:
    """Explain why something can't be stored in an artifact."""
    if fault.startswith("a link"):
        return f"{base} is a link; an artifact holds plain files"
    if fault.endswith("an artifact holds plain files"):
        return f"{base} is no plain file; an artifact holds nothing else"
    return f"{base}: {fault}"


def head_bytes(artifact: Artifact) -> bytes:
    """Return the head as it is written, which can be read again.

    Raises:
        KitError: the facts hold NaN, or are nested too deep, or are larger than any head.
    """
    try:
        data = readable_json(artifact.to_json())
    except UnicodeEncodeError:  # a name of a file; its caller says so
        raise
    except (ValueError, TypeError) as error:
        raise KitError(f"{artifact.job.id}: its facts are no JSON: {error}") from error
    if len(data) > MAX_BYTES:
        raise KitError(f"{artifact.job.id}: its facts take {len(data):,} bytes; a head holds {MAX_BYTES:,} at most")
    return data
