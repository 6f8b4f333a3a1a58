"""``kit pin``: what is missing is found, what moved is said, and not a byte more of a manifest changes."""

import difflib
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import pins
from kit.catalogue import ROOT, Catalogue
from kit.errors import KitError

NEW = {"model": "a" * 40, "data set": "b" * 64, "image": "sha256:" + "c" * 64}


class Same:
    """A network on which nothing has moved."""

    def __init__(self, root: Path, **changed: str) -> None:
        self.known = {pin.source: pin.found or NEW[pin.kind] for pin in pins.pins(root)} | changed

    def revision(self, repo: str) -> str:
        return self.known[repo]

    sha256 = digest = package = revision


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    return tmp_path


def changes(before: dict[str, str], root: Path) -> list[str]:
    """Lines added and taken away, over all files."""
    found = []
    for name, text in before.items():
        now = (root / name).read_text().splitlines()
        found += [line for line in difflib.unified_diff(text.splitlines(), now, n=0) if line[:3] not in ("---", "+++")]
    return [line for line in found if not line.startswith("@@")]


def texts(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_what_is_missing_is_filled_and_nothing_else_changes(tree: Path) -> None:
    before, missing = texts(tree), pins.unpinned(tree)
    assert missing, "everything is pinned: test with an entry made up for it"
    lines = list(pins.refresh(Same(tree), move=False, root=tree))
    assert lines == [f"{pin.kind} {pin.name}: {pin.key} is {NEW[pin.kind]}" for pin in missing]
    assert sorted(changes(before, tree)) == sorted(f'+{pin.key} = "{NEW[pin.kind]}"' for pin in missing)
    assert pins.unpinned(tree) == []


def test_what_has_moved_is_said_and_left_unless_asked(tree: Path) -> None:
    list(pins.refresh(Same(tree), move=False, root=tree))
    before = texts(tree)
    moved = Same(tree, **{"Qwen/Qwen2.5-0.5B": "d" * 40})
    old = Catalogue(tree / "manifests").models["qwen-2.5-0.5b"].hub
    assert old is not None
    said = f"model qwen-2.5-0.5b: moved from {old.revision} to {'d' * 40}"
    assert list(pins.refresh(moved, move=False, root=tree)) == [f"{said}; left as it is (--move)"]
    assert changes(before, tree) == []
    assert list(pins.refresh(moved, move=True, root=tree)) == [said]
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


def test_a_debian_package_names_its_successor_and_moves_wherever_it_is_pinned(tree: Path) -> None:
    # docker/debs.toml said that `kit pin` does so, and it never looked there.
    list(pins.refresh(Same(tree), move=False, root=tree))
    before, sha256 = texts(tree), "e" * 64
    old = next(pin.found for pin in pins.pins(tree) if pin.name == "cpu/libseccomp2")
    network = Same(tree, libseccomp2=f"9.9-1+deb12u9 {sha256}")
    said = [f"Debian package {image}/libseccomp2: moved from {old} to 9.9-1+deb12u9 {sha256}"
            for image in ("cpu", "cuda", "grade")]  # fmt: skip
    left = list(pins.refresh(network, move=False, root=tree))
    assert left == [f"{line}; left as it is (--move)" for line in said]
    assert changes(before, tree) == []
    assert list(pins.refresh(network, move=True, root=tree)) == said
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


def test_the_newest_build_is_taken_from_debians_lists() -> None:
    stanza = "Package: {}\nArchitecture: amd64\nVersion: {}\nDescription: x\n two lines\nSHA256: {}\n"
    main = "\n".join(stanza.format(*build) for build in (("a", "1.2-9", "1"), ("b", "1:1-1", "2")))
    security = "\n".join(stanza.format(*build) for build in (("a", "1.2-10", "3"), ("b", "9-1", "4")))
    assert pins.newest([main, security]) == {"a": "1.2-10 3", "b": "1:1-1 2"}
    assert pins.newest([security, main]) == {"a": "1.2-10 3", "b": "1:1-1 2"}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.2-9", "1.2-10"),
        ("9-1", "1:1-1"),
        ("3.0.22-1~deb12u2", "3.0.22-1"),
        ("2.5.4-1", "2.5.4-1+deb12u1"),
        ("2.36-9+deb12u9", "2.36-9+deb12u14"),
        ("1.0~rc1", "1.0"),
        ("1.0", "1.0a"),
        ("1.0a", "1.0+b"),
        ("1:1.2.13.dfsg-1", "1:1.2.13.dfsg-1+b1"),
        ("6.1.99-1", "6.1.192-2"),
    ],
)
def test_debian_versions_are_ordered_as_dpkg_orders_them(older: str, newer: str) -> None:
    assert pins.order(older) < pins.order(newer)
    if shutil.which("dpkg"):
        assert subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=False).returncode == 0


@pytest.mark.parametrize(
    "ask", [lambda online: online.sha256("http://127.0.0.1:9/x"), lambda online: online.package("a")]
)
def test_without_a_network_it_says_so(ask: Callable[[pins.Online], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "ARCHIVES", ("http://127.0.0.1:9/Packages.xz",))
    with pytest.raises(KitError, match=r"could not be read .* wants a machine with a network"):
        ask(pins.Online())
