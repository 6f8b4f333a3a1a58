"""Not a test: programs in the place of what a command line waits minutes for; test_shown_commands.py starts it.

    python stand_ins.py kit ...          `kit`, whose workers are this file's
    python stand_ins.py python ...       the environment's Python: nox sessions are looked up, images built of nothing
    python stand_ins.py python3 ...      the machine's Python: requirements/lock.py is asked for its help
    python stand_ins.py worker ...       `python -m kit.run.worker` with a made-up engine and tiny models
    python stand_ins.py podman ...       a container runtime or builder: podman, docker, buildah, apptainer

Everything between these is the checkout's own: the Makefile, set-up, the command line, the plan, the store, every stage
that needs no large model. The runtimes write their command lines to ``STAND_INS/runs.jsonl``, refuse the volumes that
the real ones refuse, and run the worker on the folders that it would see.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

STATE = Path(os.environ["STAND_INS"])
"""Folder with lists of images (``images-*.json``), a log of runs (``runs.jsonl``) and a tiny model (``model``)."""
INSIDE = ("/store", "/out", "/refusals", "/mirror")
"""Folders of a container that this machine has not."""


# kit and its Python


def kit(words: Sequence[str]) -> int:
    """Run the command line; what it starts on this machine is :func:`worker`."""
    from kit.cli import main
    from kit.run import processes

    def command(shape: Any, keys: Sequence[str], options: Any, *, cpu: bool) -> list[str]:
        assert not cpu or shape.world == 1
        mirror = ["--mirror", str(options.mirror)] if options.mirror else []
        places = ["--store", str(options.store), *mirror, "--world", "1", "--lifeline"]
        return [sys.executable, "-u", __file__, "worker", *places, *keys]

    vars(processes)["command"] = command
    sys.argv = ["kit", *words]
    main()
    return 0


def python(words: Sequence[str]) -> int:
    """Run Python; nox only looks its sessions up, and images get no wheels and no Debian packages."""
    if words[:2] == ["-m", "nox"]:
        session = words[2:4]  # `-s NAME`; what follows goes to the session
        return subprocess.run([sys.executable, "-m", "nox", "--list", *session], check=False).returncode
    if words[:2] == ["-m", "kit.images"]:
        from kit import images

        def nothing(*_: Any) -> Path:
            return Path(tempfile.mkdtemp(dir=STATE))

        vars(images).update(fetch_wheels=nothing, fetch_debs=nothing)
        return images.main(list(words[2:]))
    return os.execv(sys.executable, [sys.executable, *words])


def python3(words: Sequence[str]) -> int:
    """Run Python; the locks are not resolved again, which takes a network."""
    if words and words[0].endswith("lock.py"):
        words = [*words, "--help"]
    return os.execv(sys.executable, [sys.executable, *words])


def worker(words: Sequence[str]) -> int:
    """Run a worker with an engine that answers at random and models of two layers."""
    from kit import registry
    from kit.engines.fake import FakeEngine
    from kit.run import worker as real

    load = registry.load
    engine = ModuleType("engine")
    vars(engine).update(open=lambda model, settings: FakeEngine(model.name, settings))

    def load_stand_in(kind: str, name: str) -> ModuleType:
        return engine if kind == "engines" else stage(name, load(kind, name)) if kind == "stages" else load(kind, name)

    registry.load = load_stand_in
    return real.main(list(words))


def stage(name: str, real: ModuleType) -> ModuleType:
    """Return a stage; models come from ``STATE/model``, and files from where they should."""
    from kit.stages import Summary

    def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Any) -> Summary:
        if name == "convert" or (name == "sft" and same_model(inputs["base"])):
            shutil.copytree(STATE / "model", out, dirs_exist_ok=True)
        elif name == "fetch" and params["kind"] in ("package", "hub"):
            (out / "weights").write_text("of a model\n")
        elif name == "fetch" and params["kind"] == "files" and "url" in context.source:
            shutil.copytree(mini_set(context.source["url"]), out, dirs_exist_ok=True)
        elif name == "fetch" and "url" in context.source:
            shutil.copy(mini_set(context.source["url"]), out / params["name"])
        else:
            found: Summary = real.run(params, inputs, out, context)
            return found
        return Summary(rows=1, facts={})

    module = ModuleType(name)
    vars(module).update({**vars(real), "run": run})
    return module


def mini_set(url: str) -> Path:
    """Return the bundled set of the same layout as a public file, which takes a network."""
    from kit.catalogue import Catalogue, manifests_folder
    from kit.plan.sources import BUNDLED

    datasets = Catalogue(manifests_folder()).datasets.values()
    (layout,) = {dataset.format for dataset in datasets if dataset.url == url}
    return BUNDLED / next(str(dataset.bundled) for dataset in datasets if dataset.bundled and dataset.format == layout)


def same_model(folder: Path) -> bool:
    """Whether a base model is one of :func:`stage`'s, and none of the user's."""
    return json.loads((folder / "artifact.json").read_text(encoding="utf-8"))["job"]["stage"] == "convert"


# runtimes and builders


def runtime(name: str, words: list[str]) -> int:
    """Answer as a container runtime, or a builder of images."""
    if "build" in words[:2]:
        return build(name, words)
    verb = words[0]
    if verb in ("run", "exec"):
        return start(name, words)
    if name == "apptainer":  # inspect --json images/cpu.sif
        environment = Path(words[-1]).stem
        labels = images_of("podman").get(f"localhost/kit-{environment}", {}).get("Labels", {})
        print(json.dumps({"data": {"attributes": {"labels": labels}}}))
    elif verb == "info":
        if name == "docker" and "DOCKER_ANSWERS" not in os.environ:
            return say_error("Cannot connect to the Docker daemon")
        print(json.dumps({"ServerVersion": "1"}))
    elif "inspect" in words[:2] and words[0] != "buildx":
        return inspect(name, words)
    elif verb == "images" and words[-1] in images_of(name):
        print(images_of(name)[words[-1]]["Id"])
    elif verb == "from":
        print("a-container")
    return 0


def build(name: str, words: Sequence[str]) -> int:
    """Note an image with the labels that its recipe gives it."""
    given = dict(pairwise(words))
    output = dict(part.split("=", 1) for part in given.get("--output", "").split(",") if part)
    tag = given.get("--tag") or output["name"]
    values = dict(word.split("=", 1) for flag, word in pairwise(words) if flag == "--build-arg")
    for flag, word in pairwise(words):
        if flag == "--build-context" and not Path(word.partition("=")[2]).is_absolute():
            return say_error(f"{word}: no absolute path")
    labels = {
        "org.evolkit.lock": values["LOCK_SHA256"],
        "org.opencontainers.image.revision": values["REVISION"],
    }
    digest = "sha256:" + hashlib.sha256(repr(sorted(values.items())).encode() + tag.encode()).hexdigest()
    found = images_of(name) | {tag: {"Id": digest, "Digest": digest, "Labels": labels}}
    images_file(name).write_text(json.dumps(found), encoding="utf-8")
    return 0


def inspect(name: str, words: Sequence[str]) -> int:
    """Print an image's facts, or a part of them; the pinned bases are there."""
    if "@sha256:" in words[-1]:
        return 0
    if words[-1] not in images_of(name):
        return say_error(f"no such image {words[-1]}")
    facts = images_of(name)[words[-1]]
    print(facts["Digest"] if name == "buildah" and "--format" in words else json.dumps([facts]))
    return 0


def images_of(name: str) -> dict[str, Any]:
    """Return the images that a runtime finds: name -> its facts."""
    path = images_file(name)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def images_file(name: str) -> Path:
    """Return where they are kept; buildah's are podman's."""
    return STATE / f"images-{'docker' if name == 'docker' else 'podman'}.json"


def start(name: str, words: list[str]) -> int:
    """Run a container's command on the folders that it would see; say no to volumes as the runtimes do."""
    volumes = list(volumes_of(words))
    if "kit.run.worker" not in words:
        print("[[], []]")  # what is installed in an image
        return 0
    with (STATE / "runs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"runtime": name, "words": words, "volumes": volumes}) + "\n")
    for here, _ in volumes:
        if not here.startswith("/"):
            return say_error(
                f'creating named volume "{here}": running volume create option: names must match [a-zA-Z0-9]'
            )
        if not Path(here).exists():
            return say_error(f"statfs {here}: no such file or directory")
    with tempfile.TemporaryDirectory(dir=STATE) as root:
        for here, there in volumes:
            if there.startswith(INSIDE):
                # A store's own folders may not be links, the way to it may: its parts stand in one folder here too.
                part = there.count("/") - 1
                place, target = Path(root + there), Path(here)
                place = place.parents[part - 1] if part else place
                target = target.parents[part - 1] if part else target
                if not place.is_symlink():
                    place.symlink_to(target)
        told = words[words.index("kit.run.worker") + 1 :]
        told = [root + word if word in INSIDE else word for word in told]
        return subprocess.run([sys.executable, "-u", __file__, "worker", *told], check=False).returncode


def volumes_of(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (here, in the container) of each mounted folder."""
    for word in words:
        if word.startswith(("--volume=", "--bind=")):
            here, there = word.partition("=")[2].split(":")[:2]
            yield here, there


def say_error(text: str) -> int:
    """Print an error as the runtimes do; returns their exit code."""
    print(f"Error: {text}", file=sys.stderr)
    return 125


def main(name: str, words: list[str]) -> int:
    """Be the program of that name."""
    programs = {"kit": kit, "python": python, "python3": python3, "worker": worker}
    return programs[name](words) if name in programs else runtime(name, words)


if __name__ == "__main__":
    if not sys.flags.safe_path:  # as for workers, which would lose the clone's own folder
        sys.path.pop(0)  # this folder is none of theirs
    sys.exit(main(sys.argv[1], sys.argv[2:]))
