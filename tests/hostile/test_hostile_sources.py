"""Manifests whose models, addresses, paths or files stall or mislead: each is refused in a sentence before any work."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.test_hostile_manifests import FILE, SMOLLM, change, stack, with_models
from tests.test_bad_manifests import refused

__all__ = ["refused"]  # the fixture: what `kit run my.toml` says
# A model of itself was a RecursionError; a billion layers, a list of a billion numbers.
STACKS = {
    "of itself": (
        with_models(("a", stack("a"))),
        "models.a.stack: a is made from a, which is itself; name other layers",
    ),
    "in a circle": (
        with_models(("a", stack("b")), ("b", stack("c")), ("c", stack("a"))),
        "models.c.stack: a is made from b is made from c is made from a, which is itself; name other layers",
    ),
    "a circle beside the first": (
        with_models(("a", stack("b")), ("b", stack("c")), ("c", stack("b"))),
        "models.c.stack: a is made from b is made from c is made from b, which is itself; name other layers",
    ),
    "a long way": (
        with_models(*[(f"m{n}", stack(f"m{n + 1}")) for n in range(300)]),
        "models.m7.stack: 8 models, each made from the next; name the last one's layers",
    ),
    "of nobody": (
        with_models(("a", stack("smollm2-135m-instrct"))),
        "models.a.stack.model: no model named 'smollm2-135m-instrct'; did you mean 'smollm2-135m-instruct'?",
    ),
    "a layer that is not there": (
        with_models(("a", stack(SMOLLM, '"0-30"'))),
        "models.a.stack.layers: found 30, and smollm2-135m-instruct has layers 0 to 29",
    ),
    "a million layers": (
        with_models(("a", stack(SMOLLM, '"0-999999"'))),
        "models.a.stack.layers: a stack of 1,000,000 layers; 1,000 are the most, found ['0-999999']",
    ),
    "a billion layers": (
        with_models(("a", stack(SMOLLM, '"0-999999999"'))),
        "models.a.stack.layers: '0-999999999' is no layer and no range of layers such as '0-17', found ['0-999999999']",
    ),
    # was an empty list of layers
    "backwards": (
        with_models(("a", stack(SMOLLM, '"5-3"'))),
        "models.a.stack.layers: '5-3' begins after its end, found ['5-3']",
    ),
    # isdigit() takes it, int() does not
    "a digit that is none": (
        with_models(("a", stack(SMOLLM, '"²"'))),
        "models.a.stack.layers: '²' is no layer and no range of layers such as '0-17', found ['²']",
    ),
    # divided by zero
    "more heads than numbers": (
        with_models(("a", 'folder = "x"')).replace("heads = 4", "heads = 400"),
        "models.a: hidden = 64, heads = 400, kv_heads = 400: wanted hidden as the largest and kv_heads as the smallest "
        "of them",
    ),
}


@pytest.mark.parametrize("text, message", STACKS.values(), ids=list(STACKS))
def test_stacks(text: str, message: str, refused: Callable[[str | bytes], str]):
    assert refused(text) == f"my.toml: {message}"


NO_URL = "wanted an address that begins with https://; a file of this machine is named by file = ..."
NO_HTTP = "wanted https://; http:// shows nobody who answers, and is taken from this machine alone"
NO_ASCII = "an address is of plain ASCII; write all else by its percent codes, a blank as %20"
NO_NAME = "wanted an address that ends in a file's name"
ADDRESSES = {
    "file:///etc/passwd": NO_URL,
    "ftp://a.example/x": NO_URL,
    "data:text/plain,x": NO_URL,
    "": NO_URL,
    "http://a.example/x": NO_HTTP,
    "http://127.0.0.1.a.example/x": NO_HTTP,
    "http://localhost.a.example/x": NO_HTTP,
    "https://user:secret@a.example/x": "an address holds no user and no password here: they would be stored and shown",
    "https://a.example/x y": NO_ASCII,
    "https://\u00e4.example/x": NO_ASCII,
    "https://a.example/x\\r\\nHost: b": NO_ASCII,
    "https://a.example:99999/x": "that is no address: Port out of range 0-65535",
    "https://[::1/x": "that is no address: Invalid IPv6 URL",
    "https:///x": "that is no address: it has no host",
    "https://a.example/": NO_NAME,
    "https://a.example/a/..": NO_NAME,
    "https://a.example/artifact.json": "the name artifact.json is the store's own; give the file another",
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_addresses(url: str, refused: Callable[[str | bytes], str]):
    """A ``file://`` address was read, http was used, a password was stored, others ended in a worker's traceback."""
    found = repr(url.encode().decode("unicode_escape") if "\\" in url else url).replace("user:secret", "...")
    assert refused(change(FILE, f'url = "{url}"')) == f"my.toml: datasets.mine.url: {ADDRESSES[url]}, found {found}"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8/x.json", "http://localhost/x.json", "http://[::1]:8/x.json"])
def test_a_mirror_on_this_machine_may_speak_http(url: str):
    from kit.catalogue.entries import Dataset

    assert Dataset(format="alpaca", url=url, licence="mine").url == url


INSIDE = "wanted a path inside the folder"
NO_SHA = "string should match pattern '^[0-9a-f]{64}$'"
PLACES = {
    "mirror above": (
        'url = "https://a.example/x"\nmirror = "../../etc/passwd"',
        "mirror",
        f"{INSIDE}: that is no file's name, found '../../etc/passwd'",
    ),
    "mirror from the root": (
        'url = "https://a.example/x"\nmirror = "/etc/passwd"',
        "mirror",
        f"{INSIDE}, without a slash in front, found '/etc/passwd'",
    ),
    "mirror that is empty": (
        'url = "https://a.example/x"\nmirror = ""',
        "mirror",
        f"{INSIDE}, without a slash in front, found ''",
    ),
    "bundled above": ('bundled = "../../secret"', "bundled", f"{INSIDE}: that is no file's name, found '../../secret'"),
    "no name at all": ('file = ""', "file", "string should have at least 1 character, found ''"),
    "a zero byte": (
        'file = "a\\u0000b"',
        "file",
        "a text with a zero byte; no name, path or text of a manifest has one",
    ),
    "a sha256 and a line break": (f'{FILE}\nsha256 = "{64 * "a"}\\n"', "sha256", f"{NO_SHA}, found '{64 * 'a'}\\n'"),
    "a sha256 in capitals": (f'{FILE}\nsha256 = "{64 * "A"}"', "sha256", f"{NO_SHA}, found '{64 * 'A'}'"),
}


@pytest.mark.parametrize("bad, key, message", PLACES.values(), ids=list(PLACES))
def test_paths_that_lead_elsewhere(bad: str, key: str, message: str, refused: Callable[[str | bytes], str]):
    assert refused(change(FILE, bad)) == f"my.toml: datasets.mine.{key}: {message}"


# A pipe was waited for, and /dev/zero read until the memory was full.
FILES = {
    "a pipe": ("pipe", "data file {folder}/pipe: a pipe, wanted a plain file"),
    "a device": ("/dev/zero", "data file /dev/zero: a device, wanted a plain file"),
    "a link to a device": ("zero", "data file {folder}/zero: a device, wanted a plain file"),
    "a folder": (".", "data file {folder}: a folder, wanted a plain file"),
    "a link to itself": ("circle", "data file {folder}/circle: Too many levels of symbolic links"),
    "300 characters": (300 * "x", f"{{folder}}/{300 * 'x'}: a file's name has 255 bytes at most, this one 300"),
    # failed when the file was in the store, and was renamed by hand
    "the head's name": (
        "artifact.json",
        "{folder}/artifact.json: the name artifact.json is the store's own; give the file another",
    ),
    # turned the terminal around, and began a line of its own
    "a name that misleads": (
        "a\\u202E\\nerror",
        "data file {folder}/a\\u202e\\nerror: No such file or directory",
    ),
}


@pytest.mark.parametrize("name, message", FILES.values(), ids=list(FILES))
def test_files(name: str, message: str, refused: Callable[[str | bytes], str], tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "artifact.json").write_text("[]")
    text = change(FILE, f'file = "{name}"')
    assert refused(text) == f"my.toml: datasets.mine: {message.replace('{folder}', str(tmp_path))}"


SHORT = "a name has 1 to 100 characters, this one"
UNSEEN = "a name holds no slash, no quotation mark, and nothing that can't be seen"
NAMES = {
    "above": ('"../x"', "../x", "a name begins with a letter or a digit, found '../x'"),
    "from the root": ('"/x"', "/x", "a name begins with a letter or a digit, found '/x'"),
    "a path": ('"a/b"', "a/b", f"{UNSEEN}, found 'a/b'"),
    "an option": ('"-x"', "-x", "a name begins with a letter or a digit, found '-x'"),
    "empty": ('""', "", f"{SHORT} 0, found ''"),
    "300 characters": (300 * "x", 57 * "x" + "...", f"{SHORT} 300, found '{117 * 'x'}...'"),
    "right to left": ('"a\\u202Eb"', "a\\u202eb", f"{UNSEEN}, found 'a\\u202eb'"),
    "two lines": ('"a\\nb"', "a\\nb", f"{UNSEEN}, found 'a\\nb'"),
}


@pytest.mark.parametrize("name, key, message", NAMES.values(), ids=list(NAMES))
def test_names(name: str, key: str, message: str, refused: Callable[[str | bytes], str]):
    assert refused(change("[datasets.mine]", f"[datasets.{name}]")) == f"my.toml: datasets.{key}: {message}"


HUBS = {
    "a path for a repository": (
        'hub = { repo = "../../etc" }',
        "models.a.hub.repo: string should match pattern "
        "'^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$', found '../../etc'",
    ),
    # says something else tomorrow
    "a branch": (
        'hub = { repo = "a/b", revision = "main" }',
        "models.a.hub.revision: string should match pattern '^[0-9a-f]{40}$', found 'main'",
    ),
    "files above": (
        'hub = { repo = "a/b", files = ["../*"] }',
        f"models.a.hub.files[0]: {INSIDE}: that is no file's name, found '../*'",
    ),
    "a file from the root": (
        f'package = {{ name = "a", version = "1", file = "/etc/passwd", sha256 = "{64 * "0"}" }}',
        f"models.a.package.file: {INSIDE}, without a slash in front, found '/etc/passwd'",
    ),
    "a folder that is a device": (
        'folder = "/dev/zero"',
        "models.a: model folder /dev/zero: no config.json there; name a folder that save_pretrained wrote",
    ),
    "a folder with a long name": (
        f'folder = "/{300 * "x"}"',
        f"models.a: model folder /{300 * 'x'}: File name too long",
    ),
}


@pytest.mark.parametrize("source, message", HUBS.values(), ids=list(HUBS))
def test_where_models_come_from(source: str, message: str, refused: Callable[[str | bytes], str]):
    assert refused(with_models(("a", source))) == f"my.toml: {message}"
