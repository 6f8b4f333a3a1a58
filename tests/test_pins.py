"""``kit pin``: missing pins are found, moved ones printed, and no other byte of a manifest changes."""

import difflib
import http.server
import shutil
import threading
import tomllib
from pathlib import Path

import pytest

from kit.catalogue import ROOT, Catalogue
from kit.check import pins
from kit.errors import KitError
from kit.files.checksums import FileHashes
from kit.machine import debian

NEW = {"model": "a" * 40, "data set": "b" * 64, "image": "sha256:" + "c" * 64}
ALPACA = "3779ddbc040543ab1834ef216c983d6fcc06cc9a"
CODE_ALPACA = "4599591b17572755907bd945e34d25a956dcab09"


class Same:
    """A network on which every pin is unchanged."""

    def __init__(self, root: Path, **changed: str) -> None:
        self.known = {pin.source: pin.found or NEW[pin.kind] for pin in pins.pins(root)} | changed
        self.blobs = {pin.source: pin.git_blob for pin in pins.pins(root) if pin.git_blob}

    def revision(self, repo: str) -> str:
        return self.known[repo]

    digest = package = revision

    def hashes(self, url: str) -> FileHashes:
        return FileHashes(sha256=self.known[url], git_blob=self.blobs.get(url, "0" * 40))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    return tmp_path


def changes(before: dict[str, str], root: Path) -> list[str]:
    """Return the added and the removed lines of all files."""
    found = []
    for name, text in before.items():
        now = (root / name).read_text().splitlines()
        found += [line for line in difflib.unified_diff(text.splitlines(), now, n=0) if line[:3] not in ("---", "+++")]
    return [line for line in found if not line.startswith("@@")]


def texts(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_missing_pins_are_filled_and_nothing_else_changes(tree: Path) -> None:
    before, missing = texts(tree), pins.unpinned(tree)
    assert missing, "everything is pinned: test with an entry made up for it"
    lines = list(pins.refresh(Same(tree), move=False, root=tree))
    assert lines == [f"{pin.kind} {pin.name}: {pin.key} is {NEW[pin.kind]}" for pin in missing]
    assert sorted(changes(before, tree)) == sorted(f'+{pin.key} = "{NEW[pin.kind]}"' for pin in missing)
    assert pins.unpinned(tree) == []


def test_moved_pins_are_printed_and_kept_without_the_option(tree: Path) -> None:
    list(pins.refresh(Same(tree), move=False, root=tree))
    before = texts(tree)
    moved = Same(tree, **{"Qwen/Qwen2.5-0.5B": "d" * 40})
    old = Catalogue(tree / "manifests").models["qwen-2.5-0.5b"].hub
    assert old is not None
    line = f"model qwen-2.5-0.5b: moved from {old.revision} to {'d' * 40}"
    assert list(pins.refresh(moved, move=False, root=tree)) == [f"{line}; left as it is (--move)"]
    assert changes(before, tree) == []
    assert list(pins.refresh(moved, move=True, root=tree)) == [line]
    assert changes(before, tree) == [f'-hub.revision = "{old.revision}"', f'+hub.revision = "{"d" * 40}"']


def test_a_base_image_moves_in_its_recipe_too(tree: Path) -> None:
    list(pins.refresh(Same(tree), move=False, root=tree))
    tag = next(pin.source for pin in pins.pins(tree) if pin.kind == "image")
    list(pins.refresh(Same(tree, **{tag: "sha256:" + "e" * 64}), move=True, root=tree))
    for name, base in tomllib.loads((tree / "docker" / "images.toml").read_text())["base"].items():
        assert base == f"{tag}@sha256:{'e' * 64}"
        assert f"ARG BASE_IMAGE={base}\n" in (tree / "docker" / f"{name}.Dockerfile").read_text()


def test_other_bytes_at_a_pinned_address_are_an_error(tree: Path) -> None:
    pin = next(pin for pin in pins.pins(tree) if pin.kind == "data set" and pin.found)
    with pytest.raises(
        KitError, match=f"^data set {pin.name}: .* has sha256 {'f' * 64}, the manifest pins {pin.found}$"
    ):
        list(pins.refresh(Same(tree, **{pin.source: "f" * 64}), move=True, root=tree))


def test_a_sha256_is_written_only_for_the_bytes_of_the_pinned_blob(tree: Path) -> None:
    # whatever stood at the address, a proxy's error page too, was written down as the right file's hash
    network = Same(tree)
    url = Catalogue(tree / "manifests").datasets["alpaca-52k"].url
    network.blobs[str(url)] = "1" * 40
    before = texts(tree)
    with pytest.raises(KitError) as error:
        list(pins.refresh(network, move=True, root=tree))
    assert str(error.value) == (f"data set alpaca-52k: {url} has git blob id {'1' * 40}, the manifest pins {ALPACA}")
    assert not any("sha256" in line for line in changes(before, tree))


def test_a_blob_is_compared_where_the_sha256_is_known_too(tree: Path) -> None:
    network = Same(tree)
    list(pins.refresh(network, move=False, root=tree))
    url = str(Catalogue(tree / "manifests").datasets["code-alpaca-20k"].url)
    network.blobs[url] = "1" * 40
    with pytest.raises(KitError, match=f"^data set code-alpaca-20k: .* the manifest pins {CODE_ALPACA}$"):
        list(pins.refresh(network, move=False, root=tree))


def test_files_pinned_by_a_git_blob_are_listed_as_such() -> None:
    lines = {pin.name: pins.describe(pin) for pin in pins.unpinned()}
    for name, blob in (("alpaca-52k", ALPACA), ("code-alpaca-20k", CODE_ALPACA)):
        url = Catalogue(ROOT / "manifests").datasets[name].url
        assert lines[name] == f"data set {name}: no sha256 ({url}); its git blob id {blob} is checked instead"
    assert lines["internlm-2-7b-reward"] == (
        "model internlm-2-7b-reward: no hub.revision (internlm/internlm2-7b-reward)"
    )


class Hello(http.server.BaseHTTPRequestHandler):
    """A web server that answers every request with hello."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\n")

    def log_message(self, *_: object) -> None:
        """Print no line for a request."""


def test_both_hashes_of_the_bytes_at_an_address() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found = pins.Online().hashes(f"http://127.0.0.1:{server.server_port}/hello.txt")
        server.shutdown()
        thread.join()
    assert found == FileHashes(
        sha256="5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        git_blob="ce013625030ba8dba906f756967f9e9ca394464a",
    )


def test_a_local_file_is_not_accepted_as_an_address(tmp_path: Path) -> None:
    """The address ``file:///etc/passwd`` was read and hashed."""
    (tmp_path / "hello.txt").write_bytes(b"hello\n")
    with pytest.raises(KitError, match=r"hello\.txt: wanted an address that begins with https://; a file of this"):
        pins.Online().hashes((tmp_path / "hello.txt").as_uri())


def test_a_debian_package_names_its_successor_and_moves_wherever_it_is_pinned(tree: Path) -> None:
    # docker/debs.toml said that `kit pin` does so, and it never looked there.
    list(pins.refresh(Same(tree), move=False, root=tree))
    before, sha256 = texts(tree), "e" * 64
    old = next(pin.found for pin in pins.pins(tree) if pin.name == "cpu/libseccomp2")
    network = Same(tree, libseccomp2=f"9.9-1+deb12u9 {sha256}")
    lines = [f"Debian package {image}/libseccomp2: moved from {old} to 9.9-1+deb12u9 {sha256}"
            for image in ("cpu", "cuda", "grade")]  # fmt: skip
    left = list(pins.refresh(network, move=False, root=tree))
    assert left == [f"{line}; left as it is (--move)" for line in lines]
    assert changes(before, tree) == []
    assert list(pins.refresh(network, move=True, root=tree)) == lines
    version, _, old_sha256 = str(old).partition(" ")
    assert changes(before, tree) == 3 * [
        f'-"libseccomp2" = {{ version = "{version}", sha256 = "{old_sha256}" }}',
        f'+"libseccomp2" = {{ version = "9.9-1+deb12u9", sha256 = "{sha256}" }}',
    ]


def test_a_name_with_a_plus_is_written_to_its_own_line(tree: Path) -> None:
    list(pins.refresh(Same(tree), move=False, root=tree))
    before = texts(tree)
    list(pins.refresh(Same(tree, **{"g++": f"4:13-1 {'e' * 64}"}), move=True, root=tree))
    new = f'+"g++" = {{ version = "4:13-1", sha256 = "{"e" * 64}" }}'
    assert [line for line in changes(before, tree) if line[0] == "+"] == [new]


def test_debians_newest_build_is_the_one_that_apt_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "os-release").write_text("VERSION_CODENAME=bookworm\n")
    for name, script in (
        ("apt-get", ""),
        ("apt-cache", 'test "$3" = a || exit 100; echo "Package: a"; echo "Version: 1.2-10"; echo "SHA256: 33"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(debian, "RELEASE", tmp_path / "os-release")
    assert pins.Online().package("a") == "1.2-10 33"
    with pytest.raises(KitError, match=r"^Debian package b: apt knows none of that name; .* apt-get update$"):
        pins.Online().package("b")
    monkeypatch.setattr(debian, "RELEASE", tmp_path / "none")
    with pytest.raises(KitError, match=r"^Debian package a: its successors are known to Debian 12's own apt; run"):
        pins.Online().package("a")


def test_a_missing_network_is_reported() -> None:
    with pytest.raises(KitError, match=r"could not be read .* wants a machine with a network"):
        pins.Online().hashes("http://127.0.0.1:9/x")
