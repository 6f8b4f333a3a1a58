"""Tests of the cuda image without a GPU: it starts, imports, plans, and computes a tiny model on the CPU.

If the image is not built, it is built here as far as disk and time allow; else all tests are skipped with the reason.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kit import containers, images
from kit.catalogue import lock_hash
from kit.containers import Request, client, command_line, preparing
from kit.errors import KitError, RequestError
from kit.images import builders
from kit.machine.locks import pins
from kit.plan import digest
from kit.plan.planning import plan_tables
from kit.store import Store
from kit.workers import KINDS

pytestmark = pytest.mark.images
ROOT = Path(__file__).resolve().parents[2]
RUNTIME_VARIABLE = "KIT_TEST_RUNTIME"
"""Variable that names the runtime to test with, docker or podman."""
DEADLINE = "KIT_TEST_DEADLINE"
"""Variable with the time, in seconds since 1970, at which this session must have ended; without it there is none."""
BUILD_GB, BUILD_S = 40, 1800
"""Free disk and time for wheels of 4 GB, an image of 10 GB and room to put it together: 6 minutes on two quiet cores,
16 on two busy ones, and the checks 5."""


@functools.cache
def the_runtime() -> str:
    """Return the runtime that the variable names, or the first that works here; empty if none does."""
    for name in (os.environ[RUNTIME_VARIABLE],) if os.environ.get(RUNTIME_VARIABLE) else ("podman", "docker"):
        try:
            preparing.check_runtime(name)
            return name
        except RequestError:
            continue
    return ""


def shortage() -> str:
    """Return what is missing to build the image here; empty if nothing is."""
    changed = subprocess.run(["git", "-C", str(ROOT), "diff", "--quiet", "HEAD", "--", "kit", "manifests"], check=False)
    if changed.returncode:
        return "kit/ or manifests/ are changed, and an image is built of the last commit"
    home = Path("/var/lib") if os.geteuid() == 0 else Path.home()  # where runtimes keep their images
    free = min(shutil.disk_usage(folder).free for folder in (ROOT, home)) / 1e9
    left = float(os.environ.get(DEADLINE, "inf")) - time.time()
    if free < BUILD_GB:
        return f"{free:.0f} GB of disk are free, it takes {BUILD_GB}"
    if left < BUILD_S:
        return f"{left:.0f} s are left, it takes {BUILD_S}"
    return ""


@pytest.fixture(scope="module")
def cuda() -> containers.Image:
    """The cuda image of this commit: the one that is built already, or one built now."""
    name = the_runtime()
    if not name:
        pytest.skip("nothing was tested in the cuda image: neither podman nor docker works here")
    try:
        image = preparing.find_image(name, "cuda")
        preparing.check_image("cuda", image, lock_hash("cuda"))
        return image
    except RequestError as error:
        if short := shortage():
            pytest.skip(f"nothing was tested in the cuda image: {error}; it is not built now: {short}")
    with images.last_commit() as commit:
        images.make(builder_of(name), "cuda", commit, base=None, twice=False)
    return preparing.find_image(name, "cuda")


def builder_of(runtime: str) -> str:
    """Return the builder whose images a runtime finds; skip the test if there is none."""
    names = [name for name in builders.BUILDERS if builders.runtime_of(name) == runtime and shutil.which(name)]
    try:
        return builders.find_builder(names[0] if names else runtime)
    except KitError as error:
        pytest.skip(f"nothing was tested in the cuda image: {error}")


def run_inside(
    image: containers.Image, *words: str, mounted: tuple[Path, ...] = (), code: int = 0, **fields: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program in a container as closed as a job's: a plain user, a read-only root, no network, no capability.

    Args:
        image: of which environment.
        words: the program and its words.
        mounted: files and folders of the checkout, which the container sees under ``/mounted``.
        code: the exit code that it must end with.
        fields: more of the request.
    """
    readable = [(str(path), f"/mounted/{path.name}") for path in mounted]
    request = Request(
        **({"kind": KINDS["text"], "writable": []} | fields), image=image, command=words, readable=readable
    )
    done = subprocess.run(
        command_line.command(the_runtime(), request),
        env=client.client_environment(the_runtime(), KINDS["text"]),
        stdin=subprocess.DEVNULL,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def test_torch_and_vllm_are_the_locks_and_import(cuda: containers.Image) -> None:
    code = (
        "import json, os, torch, vllm, vllm.engine.arg_utils, transformers\n"
        "tried = [os.access(path, os.W_OK) for path in ('/', '/opt/venv', '/opt/kit')]\n"
        "print(json.dumps([os.getuid(), tried, torch.__version__, torch.version.cuda, vllm.__version__]))\n"
    )
    printed = run_inside(cuda, containers.PYTHON, "-c", code).stdout.splitlines()[-1]
    user, writable, torch, toolkit, vllm = json.loads(printed)
    locked = pins((ROOT / "requirements" / "cuda.txt").read_text(encoding="utf-8"))
    assert user == (containers.UID if os.geteuid() == 0 else os.geteuid())
    assert writable == [False, False, False]
    assert (torch.partition("+")[0], toolkit.partition(".")[0], vllm) == (locked["torch"], "13", locked["vllm"])


@pytest.mark.parametrize("environment", ["cpu", "cuda", "grade"])
def test_doctor_finds_nothing_missing(environment: str, request: pytest.FixtureRequest) -> None:
    # It planned the smoke scale, whose data no image holds: "data file .../mini-alpaca.json: No such file".
    if environment == "cuda":
        image = request.getfixturevalue("cuda")
    else:
        try:
            image = preparing.find_image(the_runtime() or "podman", environment)
        except (RequestError, OSError) as error:
            pytest.skip(f"nothing was tested in the {environment} image: {error}")
    done = run_inside(image, "/opt/venv/bin/kit", "doctor", "--json")
    found = json.loads(done.stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert found["smoke"] is True
    assert {name for name, check in checks.items() if check["status"] == "missing"} == set()
    assert (checks["packages"]["found"], checks["packages"]["wanted"]) == (
        "as locked",
        f"requirements/{environment}.txt",
    )
    assert ("torch" in checks, "engine" in checks) == (environment != "grade", environment != "grade")


@pytest.mark.parametrize("scale", ["smoke", "one-gpu", "one-80gb", "paper"])
def test_it_plans_what_the_checkout_plans(scale: str, cuda: containers.Image) -> None:
    done = run_inside(cuda, "/opt/venv/bin/kit", "plan", "2", "--scale", scale, "--json", "--store", "/tmp/store")
    assert json.loads(done.stdout)["digest"] == digest(plan_tables(["2"], scale))


@pytest.mark.parametrize("scale", ["one-gpu", "one-80gb", "paper"])
def test_vllm_and_transformers_accept_every_configuration(scale: str, cuda: containers.Image, tmp_path: Path) -> None:
    """Do the check of test_gpu_scales.py in the environment that runs on GPUs."""
    driver = Path(__file__).parent / "gpu_scales.py"
    words = ["-c", f"mkdir /tmp/x && {containers.PYTHON} /mounted/{driver.name} /tmp/x {scale}"]
    inside = json.loads(run_inside(cuda, "/bin/sh", *words, mounted=(driver,)).stdout.splitlines()[-1])[scale]
    refused = {name: facts for part in inside.values() for name, facts in part.items() if "refused" in facts}
    assert refused == {}
    plan = plan_tables(["2"], scale)
    assert {name.partition(" ")[0] for name in inside["engines"]} | set(inside["training"]) <= set(plan.models)
    for key, engine in inside["engines"].items():
        name, _, shared = key.partition(" tp=")
        model, gpus = plan.models[name], int(shared)
        assert (engine["heads"], engine["kv_heads"]) == (model.heads // gpus, model.kv_heads // gpus)
        assert engine["dtype"] == "torch.bfloat16"
    for name, training in inside["training"].items():
        assert training["parameters"] == pytest.approx(plan.models[name].parameters, rel=1e-4)
    assert inside["engines"]
    assert inside["training"]


def test_a_tiny_model_trains_and_scores_as_outside(cuda: containers.Image, tmp_path: Path) -> None:
    """Compare losses and log-likelihoods on the CPU with those of torch's CPU build."""
    driver = ROOT / "tests" / "tiny_model.py"
    words = ["-c", f"mkdir /tmp/x && {containers.PYTHON} /mounted/{driver.name} use /tmp/x"]
    settings = {"CUDA_VISIBLE_DEVICES": ""}
    done = run_inside(cuda, "/bin/sh", *words, mounted=(driver,), environment=settings)
    inside = json.loads(done.stdout.splitlines()[-1])
    outside = json.loads(
        subprocess.run(
            [sys.executable, str(driver), "use", str(tmp_path)],
            env=os.environ | settings,
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=True,
        ).stdout.splitlines()[-1]
    )
    assert (inside["device"], inside["examples"], len(inside["losses"])) == ("cpu", 12, 9)
    assert inside["losses"][-1] < 0.5 * inside["losses"][0]
    assert inside["losses"] == pytest.approx(outside["losses"], rel=1e-3)
    assert inside["loglikelihood"] == [pytest.approx(row, rel=1e-2) for row in outside["loglikelihood"]]


def test_the_gpu_script_runs_on_the_cpu_in_the_image(cuda: containers.Image) -> None:
    folders = (ROOT / "perf", ROOT / "tests")  # the engines' contract is a script of the tests
    run_inside(cuda, containers.PYTHON, "/mounted/perf/gpu.py", "--device", "cpu", mounted=folders)


def test_the_entry_point_is_kit_job(cuda: containers.Image, tmp_path: Path) -> None:
    """Check ``podman run IMAGE KEY`` on a mounted store, with a job that needs no GPU."""
    plan = plan_tables(["2"], "smoke")
    job = next(job for job in plan.jobs.values() if job.id == "fetch/mini-gsm8k")
    store = Store.open(tmp_path / "store")
    store.plan(job)
    if os.geteuid() == 0:  # else the container runs as whoever owns the store
        for path in [store.root, *store.root.rglob("*")]:
            shutil.chown(path, containers.UID, containers.UID)
    source = job.resources["source"]["path"]
    words = [the_runtime(), "run", "--rm", "--pull=never", "--read-only", "--cap-drop=all", "--network=none"]
    words += ["--tmpfs=/tmp", "--security-opt=label=disable", *command_line._user_options(the_runtime())]
    words += [f"--volume={store.root}:/store:rw", f"--volume={source}:{source}:ro", cuda.name, job.key[:16]]
    done = subprocess.run(
        builders.engine(words), env=client.engine_environment(), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert store.check(job.key) == []


@pytest.mark.parametrize(
    ("free_gb", "deadline", "reason"),
    [
        (39, "", "39 GB of disk are free, it takes 40"),
        (41, "2799", "1799 s are left, it takes 1800"),
        (41, "900", "-100 s are left, it takes 1800"),
        (41, "2800", ""),
        (40, "", ""),
    ],
)
def test_a_missing_builder_is_named(free_gb: int, deadline: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, int(free_gb * 1e9)))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    monkeypatch.delenv(DEADLINE, raising=False)
    if deadline:
        monkeypatch.setenv(DEADLINE, deadline)
    assert shortage() == reason
