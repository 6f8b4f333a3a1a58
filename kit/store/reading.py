"""Read a store; each damage is a sentence that names the file and the cure."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from kit.errors import KitError, RequestError
from kit.reading.jsonfiles import MAX_BYTES
from kit.store.contents import file_faults, parse, reason
from kit.store.job import HEAD, KEY, MARK, Artifact, Job, Released, check_lone_name, fitting
from kit.store.layout import key_in
from kit.store.opening import Folder, open_root
from kit.store.walking import sha256_of


class StoredFiles:
    """The files of a store, to look at."""

    any_owner = False
    """Whether files are taken whoever owns them."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        """Absolute: its folders go to workers that start elsewhere, and to containers."""

    @contextmanager
    def inside(self, *names: str) -> Iterator[Folder]:
        """Open the store's own folder, or one that is in it.

        Raises:
            KitError: one on the way is a link, no folder, or a stranger's.
            OSError: it is not there, or must not be read.
        """
        with ExitStack() as stack:
            folder = stack.enter_context(open_root(self.root, any_owner=self.any_owner))
            for name in names:
                folder = stack.enter_context(folder.folder(name))
            yield folder

    def has(self, key: str) -> bool:
        """Return whether the artifact is committed; what lies there in its stead counts, and :meth:`get` refuses it."""
        path = self.root / "artifacts" / check_lone_name(key)
        return os.path.lexists(path / HEAD) or (os.path.lexists(path) and (path.is_symlink() or not path.is_dir()))

    def is_released(self, key: str) -> bool:
        """Return whether an artifact is committed and has given its files back; its head is still there."""
        return self.has(key) and os.path.lexists(self.root / "artifacts" / key / MARK)

    def holds(self, key: str) -> bool:
        """Return whether the artifact is committed and its files are there, to be read by a job."""
        return self.has(key) and not self.is_released(key)

    def get(self, key: str) -> Artifact:
        """Return the head of a committed artifact.

        Raises:
            KitError: it is not there, its head can't be read, or its job is another's.
        """
        artifact = self._head(key)
        if (found := artifact.job.key) != key:
            raise self._unreadable(key, f"its job hashes to {found[:12]}")
        return artifact

    def _head(self, key: str) -> Artifact:
        """Return a head whose fields are as they should be, whatever its job hashes to."""
        folder = self.root / "artifacts" / check_lone_name(key)
        try:
            with self.inside("artifacts", key) as inside:
                value = parse(inside.read(HEAD, MAX_BYTES), HEAD)
                mark = parse(inside.read(MARK, MAX_BYTES), MARK) if inside.has(MARK) else None
            artifact = Artifact.from_json(value, folder)
            if mark is not None:
                artifact = replace(artifact, released=Released.from_json(mark))
            artifact.job.key  # noqa: B018  # of half a character there is no hash
        except FileNotFoundError as error:
            if os.path.lexists(folder):
                raise self._unreadable(key, f"no {HEAD} there") from error
            raise KitError(f"store {self.root}: no artifact {key[:12]}; run the job that makes it") from error
        except (OSError, KitError) as error:
            raise self._unreadable(key, reason(error)) from error
        return artifact

    def _unreadable(self, key: str, reason: object) -> KitError:
        folder = self.root / "artifacts" / key
        return KitError(
            f"store {self.root}: the head of {key[:12]} can't be read: {reason}; remove {folder} and run again"
        )

    def committed(self) -> list[str]:
        """Return every committed artifact's key, sorted; no head is read."""
        with self.inside("artifacts") as folder:
            return [name for name in folder.names() if KEY.fullmatch(name) and self.has(name)]

    def artifacts(self) -> Iterator[Artifact]:
        """Yield every committed artifact, by key; reads heads only.

        Raises:
            KitError: a head can't be read.
        """
        yield from map(self.get, self.committed())

    def unknown(self) -> list[str]:
        """Names in ``artifacts`` and ``tmp`` that the kit gives to nothing; they are neither read nor removed."""
        found = []
        for where in ("artifacts", "tmp"):
            with suppress(FileNotFoundError), self.inside(where) as folder:
                found += [f"{where}/{name}" for name in folder.names() if not key_in(where, name)]
        return found

    def headless(self) -> list[str]:
        """Keys whose folder in ``artifacts`` has no head, sorted: copied in part, or meddled with."""
        with self.inside("artifacts") as folder:
            return [name for name in folder.names() if KEY.fullmatch(name) and not self.has(name)]

    def find(self, prefix: str) -> str:
        """Return the one key that starts with ``prefix``, of the jobs and artifacts that are there.

        Raises:
            RequestError: none does, or more than one.
        """
        known: set[str] = set()
        for where, ending in (("jobs", ".json"), ("artifacts", "")):
            with suppress(FileNotFoundError), self.inside(where) as folder:
                known |= {name.removesuffix(ending) for name in folder.names() if name.endswith(ending)}
        keys = sorted(key for key in known if KEY.fullmatch(key) and key.startswith(prefix))
        if len(keys) == 1:
            return keys[0]
        if not keys:
            raise RequestError(
                f"store {self.root}: no job {prefix!r}; `kit store list` prints the keys of what is there, "
                "`kit plan TABLE --write` puts the jobs of a table there"
            )
        raise RequestError(f"store {self.root}: {prefix!r} is the start of {len(keys)} keys; give more of it")

    def check(self, key: str, *, hashes: bool = True) -> list[str]:
        """List the faults of an artifact: its head, or files missing, added or changed; empty if there are none.

        Args:
            key: of the artifact.
            hashes: whether the files' bytes are hashed, or their kinds, names and sizes are looked at alone.
        """
        try:
            artifact = self._head(key)
            with self.inside("artifacts", key) as folder:
                faults = list(file_faults(artifact, folder, hashes=hashes))
        except KitError as error:
            return [str(error)]
        except OSError as error:
            return [f"can't be read: {error.strerror}"]
        if artifact.job.key != key:
            faults.append(f"{HEAD}: its job hashes to {artifact.job.key[:12]}")
        return faults

    def input_folder(self, key: str) -> Path:
        """Return the folder of an artifact that a job reads, all in it plain files that its head lists.

        Raises:
            KitError: a file is missing, added, of another size, a link or a pipe; or the head can't be read; or the
                files were given back.
        """
        if self.is_released(key):
            raise KitError(self.released_text(key))
        if faults := self.check(key, hashes=False):
            folder = self.root / "artifacts" / key
            raise KitError(f"{folder}: {'; '.join(faults[:3])}; remove it and run again")
        return self.root / "artifacts" / key

    def released_text(self, key: str) -> str:
        """Return a sentence for a reader of an artifact whose files were given back."""
        folder = self.root / "artifacts" / key
        return f"{folder}: its files were given back to the disk; `kit job {key[:12]}` makes them again"

    def open_file(self, artifact: Artifact, name: str, *, checked: bool = False) -> int:
        """Return a descriptor of one of an artifact's files.

        Args:
            artifact: whose file it is.
            name: one of its ``files``.
            checked: whether its bytes must hash to what the head says.

        Raises:
            KitError: it is missing, no plain file, a stranger's, or was changed; or the files were given back.
        """
        if artifact.released:
            raise KitError(self.released_text(artifact.key))
        above = name.split("/")[:-1]
        where = f"{artifact.folder / name}"
        try:
            with self.inside("artifacts", artifact.key, *above) as folder:
                base = name.rpartition("/")[2]
                if checked and sha256_of(folder.open(base)) != artifact.files[name]["sha256"]:
                    fault = "changed (sha256 differs from the head's)"
                    raise KitError(f"{where}: {fault}; remove the folder and run again")
                return folder.open(base)
        except OSError as error:
            if self.is_released(artifact.key):  # since its head was read
                raise KitError(self.released_text(artifact.key)) from error
            raise KitError(f"{where}: {error.strerror}; remove the folder and run again") from error

    def job(self, key: str) -> Job:
        """Return the job that was planned under this key.

        Raises:
            RequestError: there is none.
            KitError: its file is damaged, or of another job.
        """
        path = self.root / "jobs" / f"{check_lone_name(key)}.json"
        try:
            with self.inside("jobs") as folder:
                job = Job.from_json(parse(folder.read(path.name, MAX_BYTES), "it"))
            if job.key != key:
                raise KitError(f"its job hashes to {job.key[:12]}")
        except FileNotFoundError as error:
            raise RequestError(f"store {self.root}: no job {key[:12]}; a run writes down the jobs it plans") from error
        except (OSError, KitError) as error:
            raise KitError(
                f"{path}: not a job ({reason(error)}); remove it and plan again: kit plan TABLE --write"
            ) from error
        return job

    def failure(self, key: str) -> str | None:
        """Return the reason why the last attempt at a job failed; ``None`` if none did.

        Raises:
            KitError: what was kept is damaged.
        """
        path = self.root / "failed" / f"{check_lone_name(key)}.json"
        try:
            with self.inside("failed") as folder:
                found: str = fitting(parse(folder.read(path.name, MAX_BYTES), "it"), "reason", str)
        except FileNotFoundError:
            return None
        except (OSError, KitError) as error:
            raise KitError(f"{path}: can't be read ({reason(error)}); remove it") from error
        return found
