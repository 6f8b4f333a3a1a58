"""Stores on other hosts, reached by ssh and rsync; there rsync, a POSIX shell and GNU's tools have to be."""

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from subprocess import PIPE
from typing import Literal

from kit.errors import KitError, RequestError, one_line
from kit.reading.jsonfiles import MAX_BYTES
from kit.store import FORMAT, HEAD, Artifact, BusyError
from kit.store.adopting import THERE
from kit.store.contents import head_bytes, parse
from kit.store.job import KEY, MARK, Released, readable_json
from kit.store.layout import FOLDERS
from kit.transfers import LostError, Move, Place, Source, reason_of, together_or_alone

SILENCE_S = 300
"""Seconds without a byte after which rsync gives a connection up."""
LONGEST_REASON = 400
SSH_FAILED = 255
"""Exit code of ssh where it can't reach a host, or loses it."""
SOME_FAILED = (23, 24)
"""Exit codes of rsync where it copied all files but some."""
SCRIPTS = "scripts"
"""Folder of the shell scripts that run on the other host."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host that ssh reaches, over one connection for all calls."""

    place: Place
    folder: Path
    """A folder of this run's own, where the connection's socket lies."""

    @property
    def ssh(self) -> list[str]:
        """Return the words of ssh's command, without the host."""
        port = ["-p", str(self.place.port)] if self.place.port else []
        shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={self.folder / 's'}", "-o", "ControlPersist=60"]
        return ["ssh", *shared, *port]

    def run(self, script: str, *words: str) -> str:
        """Run one of the scripts there and return what it printed.

        Args:
            script: name of a file of ``scripts``.
            words: values of the script's ``$1``, ``$2``, ...

        Raises:
            LostError: the host can't be reached.
            KitError: the script failed.
        """
        ran = subprocess.run(
            self._shell(words), input=_text(script), text=True, capture_output=True, errors="replace", check=False
        )
        if ran.returncode:
            raise self._failed(ran.returncode, ran.stderr)
        return ran.stdout

    @contextmanager
    def holding(self, *words: str) -> Iterator[tuple[str, str]]:
        """Run the script ``hold`` there for as long as the block runs; yield the job and the folder that it printed.

        Args:
            words: values of the script's ``$1``, ``$2``, ...

        Raises:
            BusyError: runs there work on all of the jobs.
            LostError: the host can't be reached.
            KitError: the script failed.
        """
        with subprocess.Popen(
            self._shell(words), stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True, errors="replace"
        ) as process:
            assert process.stdin and process.stdout
            with suppress(BrokenPipeError):
                process.stdin.write(_text("hold"))
                process.stdin.flush()
            answer = process.stdout.readline().split()
            if len(answer) != 2:
                _, errors = process.communicate()
                raise BusyError(ANSWERS["busy"]) if answer else self._failed(process.returncode, errors)
            yield answer[0], answer[1]

    def _shell(self, words: tuple[str, ...]) -> list[str]:
        """Return the command of a shell there that reads its script from its standard input."""
        return [*self.ssh, "--", self.place.host, shlex.join(["sh", "-s", "--", *words])]

    def _failed(self, code: int, errors: str) -> KitError:
        """Return the error of a script that failed, or of a host that can't be reached."""
        kind = LostError if code == SSH_FAILED else KitError
        return kind(f"{self.place}: {said(errors) or f'ssh ended with exit code {code}'}")

    def rsync(self, source: str, target: str, names: Iterable[str]) -> None:
        """Copy files by name from one folder to another, one of which is there; what came in part goes on.

        A file is written under its own name at once: a killed rsync leaves no draft beside it.

        Args:
            source: folder that the names are below; on the host with :meth:`path`.
            target: folder to copy into.
            names: paths of files.

        Raises:
            LostError: the connection is gone, or a disk is full.
            KitError: a file can't be copied; the others are.
        """
        options = ["-r", "--times", "--inplace", "--from0", "--files-from=-", "--secluded-args"]
        options += ["--chmod=D755,F644", f"--timeout={SILENCE_S}", "-e", shlex.join(self.ssh)]
        if sys.stdout.isatty():
            options.append("--info=progress2")
        ran = subprocess.run(
            ["rsync", *options, "--", source, target],
            input="\0".join(names).encode("utf-8", "surrogateescape"),
            stdout=None if sys.stdout.isatty() else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if ran.returncode:
            text = said(ran.stderr.decode(errors="replace"))
            text = text or f"rsync ended with exit code {ran.returncode}"
            kind = KitError if ran.returncode in SOME_FAILED else LostError
            raise kind(f"{self.place}: {text}; what was copied stays, and the same command goes on from there")

    def path(self, below: str) -> str:
        """Return a path in the store there, as rsync takes it."""
        return f"{self.place.host}:{self.place.path.rstrip('/')}/{below}"


def _text(script: str) -> str:
    """Return the text of a script that runs on the other host."""
    return (files("kit.transfers") / SCRIPTS / f"{script}.sh").read_text(encoding="utf-8")


def said(errors: str) -> str:
    """Return the line of a program's errors that says most: its first."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return one_line(lines[0], LONGEST_REASON) if lines else ""


@contextmanager
def connected(place: Place) -> Iterator[Host]:
    """Open a connection to a host, and close it afterwards.

    Raises:
        RequestError: ssh or rsync is missing on this host.
    """
    for program in ("ssh", "rsync"):
        if shutil.which(program) is None:
            raise RequestError(
                f"{place}: a store on another host is reached by {program}, which is not here; install it, or mount "
                "the store and name its folder"
            )
    with tempfile.TemporaryDirectory(prefix="kit-") as folder:
        host = Host(place, Path(folder))
        try:
            yield host
        finally:
            subprocess.run([*host.ssh, "-O", "exit", "--", place.host], capture_output=True, check=False)


class RemoteStore:
    """A store on another host, which artifacts come from or go to."""

    def __init__(self, host: Host, rule: str, tell: Callable[[str], None]) -> None:
        self.host = host
        self.rule = rule
        """Value of ``--files``, which the mark of an artifact without files has."""
        self.tell = tell
        """Takes a sentence for each head that can't be read."""
        self.is_new = False
        """Whether there is no store yet."""

    def check(self, how: Literal["read", "make", "ask"]) -> int:
        """Check that there is a store that this kit reads, and return the free bytes of its disk.

        Args:
            how: for artifacts to come from (``read``) or to go to. Then a store is made where the folder is missing or
                empty (``make``), or it is only told that one would be (``ask``).

        Raises:
            RequestError: there is none, or of another layout, or it can't be written.
        """
        words = [self.host.place.path, str(FORMAT), how, *FOLDERS]
        state, _, rest = self.host.run("look", *words).strip().partition(" ")
        where = f"store {self.host.place}"
        self.is_new = state == "new"
        if self.is_new:
            return 0
        if state == "missing":
            raise RequestError(f"{where}: no store there; name the folder that a run wrote")
        if state == "other":
            raise RequestError(f"{where}: something else is there; name a store, or a new folder")
        if state == "format":
            raise RequestError(f"{where}: laid out as format {one_line(rest, 100)}, this kit reads {FORMAT}")
        if state == "closed":
            raise RequestError(f"{where}: it can't be written there: no permission, or its disk is read-only")
        if state != "free" or not rest.isdigit():
            raise KitError(f"{where}: an answer that is not understood: {one_line(f'{state} {rest}', 100)}")
        return int(rest) * 1024

    def free_bytes(self) -> int:
        """Return the bytes that are free on its disk."""
        return self.check("make")

    def heads(self) -> dict[str, Artifact]:
        """Copy every head, and return those that can be read."""
        if self.is_new:
            return {}
        keys = self.host.run("list", self.host.place.path).split()
        released = {key.removesuffix("!") for key in keys if key.endswith("!")}
        known = sorted({key.removesuffix("!") for key in keys if KEY.fullmatch(key.removesuffix("!"))})
        names = [f"{key}/{name}" for key in known for name in (HEAD, *[MARK] * (key in released))]
        found: dict[str, Artifact] = {}
        with tempfile.TemporaryDirectory(prefix="kit-") as folder:
            if names:
                self.host.rsync(self.host.path("artifacts/"), folder, names)
            for key in known:
                try:
                    found[key] = self._head(Path(folder) / key, marked=key in released)
                except (KitError, OSError, ValueError) as error:
                    self.tell(f"{key[:10]}  damaged at {self.host.place}: {error}")
        return found

    def _head(self, folder: Path, *, marked: bool) -> Artifact:
        """Return a head that was copied, checked as a store's own is."""
        from dataclasses import replace

        def read(name: str) -> object:
            data = (folder / name).read_bytes()
            if len(data) > MAX_BYTES:
                raise KitError(f"{name}: more than {MAX_BYTES:,} bytes")
            return parse(data, name)

        artifact = Artifact.from_json(read(HEAD), folder)
        if artifact.job.key != folder.name:
            raise KitError(f"its job hashes to {artifact.job.key[:12]}")
        return replace(artifact, released=Released.from_json(read(MARK))) if marked else artifact

    @contextmanager
    def held(self, artifacts: list[Artifact]) -> Iterator[dict[str, str]]:  # noqa: ARG002
        """Do nothing: a run there may give files back meanwhile, which is told of each artifact."""
        yield {}

    def bring(self, artifacts: list[Artifact], into: Path) -> None:
        """Copy the files of some artifacts; the store that takes them hashes every byte."""
        if names := [f"{one.key}/{name}" for one in artifacts for name in one.files]:
            self.host.rsync(self.host.path("artifacts/"), str(into), names)

    def take(self, moves: list[Move], source: Source) -> Iterator[tuple[Move, str]]:
        """Copy a batch beside its place there, have every byte hashed there, and renamed into place."""
        reasons: dict[str, str]
        try:
            with source.held([move.artifact for move in moves if not move.bare]) as gone:
                there = [move for move in moves if move.artifact.key not in gone]
                reasons = gone | (self._taken(there) if there else {})
        except (KitError, OSError) as error:
            reasons = {move.artifact.key: reason_of(error) for move in moves}
        for move in moves:
            yield move, reasons.get(move.artifact.key, "the other host did not say whether it took it")

    def _taken(self, moves: list[Move]) -> dict[str, str]:
        """Send a batch and have it taken; return key -> reason, empty where it was."""
        with self.host.holding(self.host.place.path, *(move.artifact.key for move in moves)) as (held, batch):

            def send(some: list[Move]) -> dict[str, str]:
                self._send(some, batch)
                return self._settle(some, batch, held)

            return together_or_alone(moves, send)

    def _send(self, moves: list[Move], batch: str) -> None:
        """Copy a batch's files, heads, jobs and hashes into a folder of ``tmp`` there."""
        root = moves[0].artifact.folder.parent
        full = [move.artifact for move in moves if not move.bare]
        self.host.run("begin", self.host.place.path, batch, *(move.artifact.key for move in moves if move.bare))
        with tempfile.TemporaryDirectory(prefix="kit-") as folder:
            written = [name for move in moves for name in self._write(move, Path(folder))]
            self.host.rsync(f"{folder}/", self.host.path(f"tmp/{batch}/"), written)
        if names := [f"{one.key}/{name}" for one in full for name in one.files]:
            self.host.rsync(f"{root}/", self.host.path(f"tmp/{batch}/"), names)

    def _write(self, move: Move, folder: Path) -> Iterator[str]:
        """Write what the other host needs beside an artifact's files; yield the names.

        Raises:
            KitError: a name of a file can't be written into a list of hashes.
        """
        artifact, key = move.artifact, move.artifact.key
        if bad := [name for name in artifact.files if not name.isprintable() or "\\" in name]:
            raise KitError(f"{artifact.job.id}: {bad[0]!r:.200}: a file of such a name can't be sent to another host")
        own = {HEAD: head_bytes(artifact)}
        if (mark := move.mark(self.rule)) is not None:
            own[MARK] = mark
        hashes = {} if move.bare else {name: str(file["sha256"]) for name, file in artifact.files.items()}
        hashes |= {name: sha256(data).hexdigest() for name, data in own.items()}
        contents = {f"{key}/{name}": data for name, data in own.items()}
        contents[f"{key}.job"] = readable_json(artifact.job.to_json())
        contents[f"{key}.sums"] = "".join(f"{found}  {name}\n" for name, found in hashes.items()).encode()
        for name, data in contents.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            yield name

    def _settle(self, moves: list[Move], batch: str, held: str) -> dict[str, str]:
        """Have a batch checked and renamed there; return key -> reason, empty where it was taken."""
        words = [self.host.place.path, batch, held, *[move.artifact.key for move in moves]]
        reasons = {}
        for line in self.host.run("take", *words).splitlines():
            key, _, answer = line.partition(" ")
            reasons[key] = ANSWERS.get(answer, "" if answer == "taken" else one_line(answer, LONGEST_REASON))
        return reasons


ANSWERS = {
    "busy": "a run works on it there; push it again later",
    "there": THERE,
    "gone": "the copy there was removed before it was whole, as by `kit store gc`; push it again",
    "stuck": "it could not be locked or moved into its place there; look at who may write the store's folders",
    "bytes": "the bytes that came are not those of its head; `kit store check` on this store tells whether they are "
    "damaged here",
}
"""Answer of the script ``take`` -> its sentence."""
