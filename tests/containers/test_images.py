"""Building images, as far as it goes without building one: what is fetched, what is compared, what is written down."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import images
from kit.errors import KitError, RequestError
from kit.images import bill, builders, comparing, fetching, running

ROOT = Path(__file__).resolve().parents[2]


Layout = Callable[[Path, bytes, bytes], None]


def by_digest(folder: Path, layer: bytes, config: bytes) -> None:
    """Write the files of an image as podman and buildah push it to ``dir:``."""
    names = []
    for data in (config, layer):
        names.append(hashlib.sha256(data).hexdigest())
        (folder / names[-1]).write_bytes(data)
    manifest = {"config": {"digest": f"sha256:{names[0]}"}, "layers": [{"digest": f"sha256:{names[1]}"}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def by_path(folder: Path, layer: bytes, config: bytes) -> None:
    """Write the files of an image as docker saves it."""
    (folder / "blobs").mkdir()
    (folder / "blobs" / "1").write_bytes(config)
    (folder / "blobs" / "2").write_bytes(layer)
    (folder / "manifest.json").write_text(json.dumps([{"Config": "blobs/1", "Layers": ["blobs/2"]}]))


def image(folder: Path, layout: Layout, files: dict[str, tuple[bytes, int]], **config: str) -> Path:
    """Write an image of one layer into a folder; ``files``: path -> (content, time)."""
    folder.mkdir()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, (content, time) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), time
            tar.addfile(member, io.BytesIO(content))
    layout(folder, layer.getvalue(), json.dumps(config).encode())
    return folder


FILES = {"etc/passwd": (b"kit", 7), "opt/a.pyc": (b"1", 7)}


@pytest.mark.parametrize("layout", [by_digest, by_path], ids=["dir:", "docker save"])
@pytest.mark.parametrize(
    ("files", "config", "found"),
    [
        (FILES, {}, []),
        (FILES | {"opt/a.pyc": (b"2", 7)}, {}, ["layer 0: opt/a.pyc"]),
        (FILES | {"etc/passwd": (b"kit", 8)}, {}, ["layer 0: etc/passwd"]),
        (FILES | {"opt/b": (b"", 7)}, {"created": "2001"}, ["configuration: created", "layer 0: opt/b"]),
        (dict(reversed(FILES.items())), {}, ["layer 0: order of files"]),
    ],
    ids=["nothing", "content", "time", "a file more, and the configuration", "order"],
)
def test_the_first_differing_files_are_named(
    layout: Layout, files: dict[str, tuple[bytes, int]], config: dict[str, str], found: list[str], tmp_path: Path
) -> None:
    left = image(tmp_path / "left", layout, FILES, created="2000")
    right = image(tmp_path / "right", layout, files, **{"created": "2000", **config})
    assert comparing.compare(left, right) == found


def test_the_bill_of_materials_is_cyclonedx_and_deterministic() -> None:
    wheels, debs = [["torch", "2.13.0+cpu"], ["Foo_Bar", "1"]], [["libc6", "2.36-9+deb12u14", "amd64"]]
    found = bill.bill("cpu", "sha256:1", wheels, debs)
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.6", 1)
    assert [component["purl"] for component in found["components"]] == [
        "pkg:pypi/torch@2.13.0%2Bcpu",
        "pkg:pypi/foo-bar@1",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64",
    ]
    references = [component["bom-ref"] for component in found["components"]]
    assert len(set(references)) == len(references)
    assert found == bill.bill("cpu", "sha256:1", wheels, debs)


def test_a_lock_is_split_into_blocks_without_loss() -> None:
    for name in ("cpu", "cuda", "grade"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
        assert "".join(fetching.lock_blocks(ROOT, name).values()) == body


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit that replaces the kit's checkout."""
    root = tmp_path / "checkout"
    files = {
        "docker/images.toml": '[base]\ngrade = "here.example/base@sha256:1"\n',
        "docker/debs.toml": "[grade]\n",
        "kit/run/worker.py": "",
        "requirements/grade.txt": "a==1 \\\n    --hash=sha256:1\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(images, "ROOT", root)
    return root


def test_only_committed_files_get_into_an_image(checkout: Path) -> None:
    (checkout / "kit" / "stray.py").write_text("")
    (checkout / "kit" / "run" / "worker.py").chmod(0o600)
    with images.last_commit() as commit:
        assert (commit.tree / "kit" / "run" / "worker.py").stat().st_mode & 0o777 == 0o644
        assert not (commit.tree / "kit" / "stray.py").exists()
        assert not (commit.tree / ".git").exists()


def test_uncommitted_files_do_not_change_label_wheels_debs_or_base(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The files came from the commit, and the label, the wheels and the base from the working tree.
    lock = checkout / "requirements" / "grade.txt"
    committed = hashlib.sha256(lock.read_bytes()).hexdigest()
    for path in (lock, checkout / "docker" / "images.toml", checkout / "docker" / "debs.toml"):
        path.write_text("not = 'committed'\n")
    log = record(tmp_path / "bin", monkeypatch, docker="")
    monkeypatch.setattr(fetching, "CACHE", tmp_path / "cache")
    (tmp_path / "cache" / "debs-grade").mkdir(parents=True)
    monkeypatch.setattr(images, "digest", lambda *_: "")
    with images.last_commit() as commit:
        assert list(fetching.lock_blocks(commit.tree, "grade")) == ["a"]
        assert list(fetching.fetch_debs("docker", commit.tree, "grade", "base").iterdir()) == []
        base = fetching.find_base("docker", commit.tree, "grade", commit.base_epoch)
        assert base == "here.example/base@sha256:1"
        images.build("docker", "grade", commit, base=base, wheels=tmp_path, debs=tmp_path, name="x")
    assert f"--build-arg LOCK_SHA256={committed} " in log.read_text()


def record(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> Path:
    """Put programs in front of the PATH that log their arguments and run a script; return the log file."""
    folder.mkdir()
    log = folder / "log"
    log.touch()
    for name, script in scripts.items():
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{log}\n{script}\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(running, "CACHE", folder / "cache")
    monkeypatch.setattr(builders, "outside_hybrid_cgroups", list)
    return log


def test_docker_builds_with_its_own_buildkit_which_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The engine's own BuildKit refuses rewrite-timestamp together with loading the image (docker/buildx #2733).
    made = tmp_path / "made"
    script = f'case "$*" in "buildx inspect kit") test -e {made};; "buildx create "*) touch {made};; esac'
    log = record(tmp_path / "bin", monkeypatch, docker=script)
    for _ in range(2):
        builders.build_image("docker", ["--file", "F"], epoch="7", name="localhost/x", context=tmp_path)
    lines = log.read_text().splitlines()
    assert [line for line in lines if " create " in line] == [
        "docker buildx create --driver docker-container --name kit"
    ]
    assert [line for line in lines if " build " in line] == 2 * [
        "docker buildx build --builder kit --no-cache --provenance=false --sbom=false --file F --network none "
        "--output type=docker,name=localhost/x,rewrite-timestamp=true ."
    ]


def test_docker_without_buildx_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "bin", monkeypatch, docker="exit 1")
    with pytest.raises(RequestError, match=r"^docker: its plugin buildx is not installed; install docker"):
        builders.ensure_buildx()


def test_podman_and_buildah_build_offline_with_the_commits_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = record(tmp_path / "bin", monkeypatch, podman="", buildah="")
    for name in ("podman", "buildah"):
        builders.build_image(name, ["--file", "F"], epoch="7", name="localhost/x", context=tmp_path)
    assert log.read_text().splitlines() == [
        f"{name} build --quiet --pull=never --no-cache --format oci --network none --isolation oci --timestamp 7 "
        "--file F --tag localhost/x ."
        for name in ("podman", "buildah")
    ]


@pytest.mark.parametrize(
    ("builder", "inside", "saved"),
    [
        (
            "docker",
            ["docker run --rm --security-opt=label=disable --pull=never --network=none --read-only --cap-drop=all "
             "--entrypoint=python x -c 1"],
            ["docker save --output {out}.tar x"],
        ),
        (
            "podman",
            ["podman run --rm --security-opt=label=disable --pull=never --network=none --read-only --cap-drop=all "
             "--entrypoint=python x -c 1"],
            ["podman push --quiet x dir:{out}"],
        ),
        (
            "buildah",
            [
                "buildah from --pull=never --security-opt=label=disable x",
                "buildah run --isolation=oci --network=none made -- python -c 1",
                "buildah rm made",
            ],
            ["buildah push --quiet x dir:{out}"],
        ),
    ],
)  # fmt: skip
def test_each_builder_runs_and_saves_by_itself(
    builder: str, inside: list[str], saved: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # buildah alone asked podman for the bill and skopeo for what differs, and died where they were not installed.
    archive = tmp_path / "archive.tar"
    tarfile.open(archive, "w").close()
    script = f'case "$*" in from*) echo made;; save*) cp {archive} "$3";; esac'
    log = record(tmp_path / "bin", monkeypatch, **{builder: script})
    builders.run_inside(builder, "x", ["python", "-c", "1"])
    assert log.read_text().splitlines() == inside
    log.write_text("")
    builders.save(builder, "x", tmp_path / "out")
    assert log.read_text().splitlines() == [line.format(out=tmp_path / "out") for line in saved]


def test_debian_packages_are_fetched_in_the_base_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It took docker/images.toml's base whatever --base said, and SELinux kept it from the folder.
    log = record(tmp_path / "bin", monkeypatch, docker="")
    monkeypatch.setattr(fetching, "CACHE", tmp_path)
    monkeypatch.setattr(fetching, "is_debian_12", lambda: False)
    with pytest.raises(KitError, match="sha256 differs from the pinned one"):
        fetching.fetch_debs("docker", ROOT, "grade", "mine.example/base")
    folder = tmp_path / "debs-grade"
    assert log.read_text().startswith(
        f"docker run --rm --security-opt=label=disable --volume={folder}:/debs:rw --workdir=/debs --entrypoint=sh "
        "mine.example/base -c apt-get download"
    )


def test_only_the_image_that_had_the_name_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = record(tmp_path / "bin", monkeypatch, podman='case "$*" in *dangling*) echo old; echo foreign;; esac')
    builders.remove_if_nameless("podman", "old")
    builders.remove_if_nameless("podman", "still-named")
    assert [line for line in log.read_text().splitlines() if " rmi" in line] == ["podman rmi old"]


def test_a_local_base_is_used_only_if_the_registry_can_not_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Once a stand-in was made, the pinned base was never pulled again, whatever the network had become.
    log = record(tmp_path / "bin", monkeypatch, podman='case "$*" in *inspect*kit-base:7|pull*) ;; *) exit 1;; esac')
    monkeypatch.setattr(fetching, "PROBE", "")
    fetching.pull.cache_clear()
    found = [fetching.find_base("podman", ROOT, target, "7") for target in ("cpu", "grade")]
    pinned = fetching.read_toml(ROOT, "images.toml")["base"]
    assert found == [pinned["cpu"], pinned["grade"]]
    assert [line for line in log.read_text().splitlines() if " pull" in line] == [
        f"podman pull --quiet {pinned['cpu']}"
    ]
    # A registry that says nothing: the stand-in, in seconds, and it is said.
    fetching.pull.cache_clear()
    monkeypatch.setattr(fetching, "PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(fetching, "PROBE_S", 0.2)
    assert fetching.find_base("podman", ROOT, "cpu", "7") == "localhost/kit-base:7"
    fetching.pull.cache_clear()


def test_a_local_base_is_refused_for_docker(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RequestError, match=r"^--base localhost/mine: docker builds in a container that sees no image"):
        images.check_base("docker", "localhost/mine")
    images.check_base("podman", "localhost/mine")
    images.check_base("docker", "docker.io/library/python:3.11")


@pytest.mark.parametrize(
    ("builder", "base", "found"),
    [
        ("docker", "x.example/y:1@sha256:2", "sha256:2"),
        ("docker", "x.example/y:1", "unknown"),
        ("podman", "x.example/y:1@sha256:2", "sha256:2"),
        ("podman", "localhost/kit-base:7", "sha256:3"),
    ],
)
def test_the_label_holds_the_bases_digest(
    builder: str, base: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "bin", monkeypatch, podman="""echo '[{"Digest": "sha256:3"}]'""")
    assert images.base_digest(builder, base) == found


def test_an_unknown_image_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert images.main(["tpu"]) == 2
    assert capsys.readouterr().err == "error: no image named 'tpu'; there are cpu, cuda, grade\n"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (None, "nothing here builds images; install podman "),
        ("podman", "podman is not installed here; install it (Debian: apt-get install -y podman)"),
        ("kaniko", "no builder named 'kaniko'; there are docker, buildah, podman"),
    ],
)
def test_a_machine_without_a_builder_says_what_to_install(
    wanted: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError) as raised:
        images.find_builder(wanted)
    assert str(raised.value).startswith(message)


def test_the_named_builder_is_used_and_an_engine_that_does_not_answer_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "bin", monkeypatch, docker="", buildah="", podman="")
    assert images.find_builder() == "buildah"
    assert images.find_builder("podman") == "podman"
    with pytest.raises(
        RequestError, match=r"^docker: the client is here, no engine answers .*; mend it with: systemctl"
    ):
        images.find_builder("docker")


@pytest.mark.parametrize("call", [running.run, running.output])
def test_a_missing_program_is_named_with_its_cure(
    call: Callable[[list[str]], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "CACHE", tmp_path)
    with pytest.raises(RequestError) as raised:
        call(["no-such-program"])
    cure = "install it (Debian: apt-get install -y no-such-program)"
    assert str(raised.value) == f"no-such-program is not installed here; {cure}"


def test_a_changed_debian_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "CACHE", tmp_path)
    monkeypatch.setattr(fetching, "is_debian_12", lambda: True)
    monkeypatch.setattr(fetching, "run", lambda words, cwd: (cwd / "libseccomp2_0_amd64.deb").write_bytes(b"other"))
    with pytest.raises(KitError, match=r"^docker/debs.toml: grade: sha256 differs from the pinned one: libseccomp2 "):
        fetching.fetch_debs("buildah", ROOT, "grade", "base")
