"""Contents of the images that ``make images`` built: packages, no weights or secrets, and equal digests."""

import contextlib
import json
import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from kit import containers, images
from kit.containers import client
from kit.errors import KitError, RequestError
from kit.images import builders, fetching
from kit.images.comparing import differences
from kit.machine.locks import WEIGHT_PACKAGES, normal, pins
from kit.workers import KINDS
from tests.containers.test_in_images import (
    ROOT,
    RUNTIME_VARIABLE,
    built_image,
    output_in_container,
    runtime,
    skip_or_fail,
)

__all__ = ["runtime"]  # the fixture: the runtime that has the images
pytestmark = pytest.mark.images


@pytest.mark.parametrize("environment", ["cpu", "grade"])
def test_the_image_has_the_packages_of_its_lock_and_no_others(runtime: str, environment: str) -> None:
    code = (
        "import importlib.metadata as m, json\n"
        "print(json.dumps({found.name: found.version for found in m.distributions()}))\n"
    )
    printed = json.loads(output_in_container(runtime, built_image(runtime, environment), code, kind=KINDS["text"]))
    installed = {normal(name): version for name, version in printed.items()}
    locked = pins((ROOT / "requirements" / f"{environment}.txt").read_text(encoding="utf-8"))
    missing = {name for name in locked if installed.get(name) != locked[name]}
    assert missing == (set(WEIGHT_PACKAGES) if environment == "cpu" else set())
    assert installed.keys() - locked.keys() == {"evolkit", "pip"} | ({"setuptools"} - locked.keys())


@pytest.mark.parametrize("environment", ["cpu", "grade"])
def test_pip_check_reports_only_the_known_exceptions(runtime: str, environment: str) -> None:
    table = tomllib.loads((Path(__file__).parent / "pip_check.toml").read_text(encoding="utf-8"))
    versions = pins((ROOT / "requirements" / f"{environment}.txt").read_text(encoding="utf-8"))
    wanted = [
        f"{name} {versions[name]} requires {needed}, which is not installed."
        for name, missing in table["not-installed"][environment].items()
        if name not in WEIGHT_PACKAGES
        for needed in missing
    ]
    code = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'pip', 'check'])"
    lines = output_in_container(runtime, built_image(runtime, environment), code, kind=KINDS["text"]).splitlines()
    assert sorted(lines) == sorted(wanted + table["another-version"][environment])


@pytest.mark.parametrize("environment", ["cpu", "grade"])
def test_the_image_has_no_weights_data_secrets_or_git_folder(runtime: str, environment: str) -> None:
    # Libraries carry tables of up to 1.5 MB under such names; the smallest model of the kit has 90 MB.
    code = (
        "import json, os\n"
        "weights = ('.gguf', '.safetensors', '.bin', '.pt', '.pth', '.onnx', '.h5')\n"
        "secrets = ('.netrc', '.pypirc', 'pip.conf', 'token', 'auth.json', '.git-credentials', 'id_rsa')\n"
        "here, found, closed, seen = os.lstat('/').st_dev, [], [], 0\n"
        "for top, folders, names in os.walk('/', onerror=lambda error: closed.append(error.filename)):\n"
        "    folders[:] = [name for name in folders if os.lstat(os.path.join(top, name)).st_dev == here]\n"
        "    seen += len(names)\n"
        "    found += [os.path.join(top, name) for name in folders if name in ('.git', '.cache', '.ssh')]\n"
        "    found += [os.path.join(top, name) for name in names if name in secrets or\n"
        "              name.endswith(weights) and os.lstat(os.path.join(top, name)).st_size > 4 << 20]\n"
        "found += ['bundled data'] * os.path.exists('/opt/kit/kit/bundled')\n"
        "print(json.dumps([found, closed, seen]))\n"
    )
    # as the container's root: a plain user can't read /root
    image = built_image(runtime, environment)
    found, closed, seen = json.loads(
        output_in_container(runtime, image, code, kind=KINDS["text"], extra=["--user=0:0"])
    )
    assert found == []
    assert set(closed) <= {"/var/cache/apt/archives/partial", "/var/lib/apt/lists/partial"}
    assert seen > 5000


def test_the_same_commit_gives_the_same_digest_twice() -> None:
    """Build the grade image twice; for other images `python -m kit.images --twice` does the same."""
    names = ("localhost/kit-test-one", "localhost/kit-test-two")
    with contextlib.ExitStack() as stack:
        try:
            builder = images.find_builder(os.environ.get(RUNTIME_VARIABLE))
            commit = stack.enter_context(images.last_commit())
            base = fetching.find_base(builder, commit.tree, "grade", commit.base_epoch)
            wheels = fetching.fetch_wheels(commit.tree, "grade")
            debs = fetching.fetch_debs(builder, commit.tree, "grade", base)
        except KitError as error:
            skip_or_fail(f"nothing was built: {error}")
        stack.callback(subprocess.run, [builder, "rmi", *names], capture_output=True, check=False)
        digests = {
            images.build(builder, "grade", commit, base=base, wheels=wheels, debs=debs, name=name) for name in names
        }
        assert len(digests) == 1, "first differences: " + "; ".join(differences(builder, *names))


@pytest.mark.parametrize("builder", builders.BUILDERS)
def test_differing_images_are_found_with_each_builder(builder: str) -> None:
    """Compare the grade image with one made from it, with another label and one more file."""
    try:
        images.find_builder(builder)
    except RequestError as error:
        pytest.skip(str(error))
    if os.environ.get(RUNTIME_VARIABLE) not in (None, "", builders.runtime_of(builder)):
        pytest.skip(f"{RUNTIME_VARIABLE} names another runtime")
    if not builders.has_image(builder, containers.image_name("grade")):
        skip_or_fail(f"{builder} has no image {containers.image_name('grade')}; build it with: make images")
    name = "localhost/kit-test-other"
    recipe = f"FROM {containers.image_name('grade')}\nLABEL other=1\nCOPY LICENSE /other\n"
    words = [builder, "build", "--quiet", "--tag", name, "--file", "-", "."]
    try:
        subprocess.run(
            builders.engine(words), input=recipe, env=client.engine_environment(), cwd=ROOT, text=True, check=True
        )
        found = differences(builder, containers.image_name("grade"), name, limit=99)
        assert "configuration: config" in found
        assert any(line.startswith("layers: ") for line in found)
        assert differences(builder, name, name) == []
    finally:
        subprocess.run([builder, "rmi", name], capture_output=True, check=False)
