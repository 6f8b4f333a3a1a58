"""Jobs in the images that ``make images`` built, as closed as they run: what must work, and what must not."""

import dataclasses
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from kit import containers
from kit.catalogue import lock_hash
from kit.containers import Containers, Request, client, command_line, preparing
from kit.errors import RequestError
from kit.images.builders import engine
from kit.machine import cgroups
from kit.plan.planning import plan_tables
from kit.plan.sources import folder_source
from kit.run.execute import Outcome, execute
from kit.run.launch import Options
from kit.store import Job, Store, sha256_file
from kit.workers import KINDS

pytestmark = pytest.mark.images
ROOT = Path(__file__).resolve().parents[2]
STAGE_FILE = Path(__file__).parent / "misbehaving_stage.py"


RUNTIME_VARIABLE = "KIT_TEST_RUNTIME"
"""Variable that names the runtime to test with, docker or podman; if it is set, a test that can't run fails."""
ENDED = "the program in the container has ended"


def skip_or_fail(reason: str) -> NoReturn:
    """Skip a test that can't run here; fail it if a runtime was named."""
    if os.environ.get(RUNTIME_VARIABLE):
        pytest.fail(f"{RUNTIME_VARIABLE}={os.environ[RUNTIME_VARIABLE]}: {reason}")
    pytest.skip(f"nothing was tested in an image: {reason}")


@pytest.fixture(scope="module")
def runtime() -> str:
    """Return the runtime that the variable names, or the first that has the images."""
    reasons = []
    for name in (os.environ.get(RUNTIME_VARIABLE),) if os.environ.get(RUNTIME_VARIABLE) else ("podman", "docker"):
        try:
            preparing.check_runtime(str(name))
            preparing.find_image(str(name), "grade")
        except RequestError as error:
            reasons.append(str(error))
            continue
        return str(name)
    skip_or_fail("; ".join(reasons))


def built_image(runtime: str, environment: str) -> containers.Image:
    """Return an image that `make images` built, or skip the test."""
    try:
        return preparing.find_image(runtime, environment)
    except RequestError as error:
        skip_or_fail(str(error))


@pytest.fixture(scope="module")
def grade(runtime: str) -> containers.Image:
    return built_image(runtime, "grade")


def output_in_container(runtime: str, image: containers.Image, code: str, **fields: Any) -> str:
    """Return the output of Python code in a container as the launcher starts it; the code must run to its end."""
    # Tests that looked at the output alone passed where no container had started.
    program = [containers.PYTHON, "-c", f"{code}\nprint({ENDED!r})"]
    mounts: dict[str, Any] = {"readable": [], "writable": []}
    request = Request(**({"kind": KINDS["sandbox"]} | mounts | fields), image=image, command=program)
    done = subprocess.run(
        command_line.command(runtime, request),
        env=client.client_environment(runtime, request.kind),
        stdin=subprocess.DEVNULL,
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [ENDED]), done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout.removesuffix(f"{ENDED}\n")


def test_code_that_fails_in_a_container_fails_the_test(runtime: str, grade: containers.Image) -> None:
    assert output_in_container(runtime, grade, "print(1)") == "1\n"
    for code in ("raise SystemExit(0)", "raise ValueError", "import os; os._exit(0)"):
        with pytest.raises(AssertionError):
            output_in_container(runtime, grade, code)
    with pytest.raises(AssertionError):
        output_in_container(runtime, dataclasses.replace(grade, id="", name="localhost/kit-none"), "print(1)")


def grade_job(action: str, **inputs: str) -> Job:
    """Return a job whose stage does this action of ``misbehaving_stage.py``."""
    return Job(
        id=action,
        stage="grade",
        version="grade-1",
        environment="grade",
        lock=lock_hash("grade"),
        params={"action": action},
        inputs=inputs,
    )


@pytest.fixture
def grade_containers(runtime: str, grade: containers.Image, monkeypatch: pytest.MonkeyPatch) -> Containers:
    """Containers of the grade image with ``misbehaving_stage.py`` as its stage, and little memory."""
    real = command_line.command

    def with_stage_file(name: str, request: Request) -> list[str]:
        mount = f"--volume={STAGE_FILE}:/opt/kit/kit/stages/grade.py:ro"
        return real(name, dataclasses.replace(request, extra=[*request.extra, mount]))

    monkeypatch.setattr("kit.run.launch.container_command", with_stage_file)
    return Containers(runtime=runtime, images={"grade": grade}, memory_cap="256m")


def run_all(jobs: list[Job], store: Store, grade_containers: Containers) -> Outcome:
    options = Options(store=store.root.resolve(), containers=grade_containers)
    return execute({job.key: job for job in jobs}, store, options, lambda *_: None)


def test_each_forbidden_action_fails_with_its_reason_and_other_jobs_run(
    grade_containers: Containers, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "store")
    before, after = grade_job("behave"), grade_job("behave after all that")
    wanted = {
        "write into the code": "OSError: [Errno 30] Read-only file system: '/opt/kit/escaped'",
        "touch an input": "OSError: [Errno 30] Read-only file system: ",
        "touch the store": "OSError: [Errno 30] Read-only file system: '/store/jobs/made-up.json'",
        "open a connection": "OSError: [Errno 101] Network is unreachable",
        "leave a link": "leave a link: link is a link; an artifact holds plain files",
        "fill the memory": "the worker was killed (signal 9): its container is held to 256m of memory; or by hand",
    }
    bad = {name: grade_job(name, **({"before": before.key} if "input" in name else {})) for name in wanted}
    waits = grade_job("waits for one that fails", before=bad["write into the code"].key)
    outcome = run_all([before, *bad.values(), waits, after], store, grade_containers)
    reasons = {name: outcome.failed.get(job.key, "it did not fail") for name, job in bad.items()}
    assert {name: reason for name, reason in reasons.items() if not reason.startswith(wanted[name])} == {}
    assert sorted(outcome.done) == sorted([before.key, after.key])
    assert outcome.blocked == {waits.key: bad["write into the code"].key}
    assert all(store.failure(job.key) == outcome.failed[job.key] for job in bad.values())
    assert [store.check(key) for key in outcome.done] == [[], []]
    assert list((store.root / "tmp").iterdir()) == []
    assert not Path("oom").exists()  # podman left this file wherever the run was started
    provenance = store.get(before.key).provenance
    assert provenance["image"] == grade_containers.images["grade"].digest


def test_a_second_run_computes_nothing(grade_containers: Containers, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    job = grade_job("behave")
    assert run_all([job], store, grade_containers).done == [job.key]
    assert run_all([job], store, grade_containers).cached == [job.key]


def test_the_container_runs_as_a_plain_user_without_capabilities(runtime: str, grade: containers.Image) -> None:
    code = (
        "import json, os\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "status = dict(line.split(':\\t') for line in lines if ':\\t' in line)\n"
        "tried = {}\n"
        "for path in ('/', '/opt/kit', '/opt/venv', '/etc', '/home', '/var/tmp'):\n"
        "    try:\n"
        "        open(path + '/x', 'w'); tried[path] = 'written'\n"
        "    except OSError: pass\n"
        "names = ('CapEff', 'CapPrm', 'CapBnd', 'NoNewPrivs', 'Seccomp')\n"
        "found = {name: int(status[name], 16) for name in names}\n"
        "print(json.dumps([os.getuid(), found, tried, os.listdir('/sys/class/net')]))\n"
    )
    uid, status, tried, interfaces = json.loads(output_in_container(runtime, grade, code))
    assert uid == (containers.UID if os.geteuid() == 0 else os.geteuid())
    assert status == {"CapEff": 0, "CapPrm": 0, "CapBnd": 0, "NoNewPrivs": 1, "Seccomp": 2}
    assert {path for path in tried if path != "/var/tmp"} == set()
    assert interfaces == ["lo"]


def test_the_sandbox_holds_under_the_containers_own_limits(runtime: str, grade: containers.Image) -> None:
    code = (
        "from kit.sandbox import open_sandbox\nfrom kit.sandbox.selftest import failures\n"
        "with open_sandbox(workers=2) as sandbox: print(sandbox.tier, failures(sandbox))\n"
    )
    assert output_in_container(runtime, grade, code).strip().endswith("seccomp []")


def test_programs_that_fill_both_processes_stay_within_the_memory_limit(runtime: str, grade: containers.Image) -> None:
    # Two programs on two cores reached 4,014 of a container's 4,096 MiB: only 1 GiB was kept for two processes.
    candidate = (
        "held = []\ndef f():\n    while len(held) < 800: held.append(bytes(range(256)) * 4096)\n"
        "    return ['x' * (1 << 20)] * 8\n"
    )
    tests = "kept = []\nwhile True: kept.append(f()); kept.append(b'x' * (32 << 20))\n"
    code = (
        "import json, pathlib\nfrom kit.machine import cgroups\nfrom kit.sandbox import Program, open_sandbox\n"
        f"program = Program(id='f', code={candidate!r}, tests={tests!r}, cpu_s=20)\n"
        "with open_sandbox() as sandbox:\n"
        "    reasons = {verdict.reason for verdict in sandbox.run([program] * sandbox.workers)}\n"
        "peaks = [folder / name for folder in cgroups._memory_groups()\n"
        "         for name in ('memory.peak', 'memory.max_usage_in_bytes')]\n"
        "peak = max([int(file.read_text()) for file in peaks if file.exists()], default=None)\n"
        "print(json.dumps([sandbox.workers, sorted(reasons), cgroups.memory_kills(), peak, cgroups.memory_limit()]))\n"
    )
    workers, reasons, kills, peak, limit = json.loads(output_in_container(runtime, grade, code))
    assert (reasons, kills) == (["failed: MemoryError"], 0)
    assert limit == int(containers.memory_cap().removesuffix("g")) << 30
    assert workers == len(os.sched_getaffinity(0)) or cgroups.memory_for(workers + 1) > limit
    if peak is not None:  # kernels before 5.19 do not say it
        assert workers << 30 < peak < limit - cgroups.KIT_BYTES // 2


INSIDE_SKIPS = {"this kernel has no Landlock", "the numbers of the calls are those of x86-64"}


def test_the_sandboxs_escape_tests_pass_in_a_container(runtime: str, grade: containers.Image) -> None:
    """Run them with this machine's pytest, mounted read-only (it is pure Python), as the image has none."""
    site = Path(str(importlib.metadata.distribution("pytest").locate_file("")))
    names = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py.py")
    mounts = [(str(site / name), f"/mounted/{name}") for name in names]
    mounts += [(str(path), f"/mounted/{path.name}") for path in site.glob("pytest-[0-9]*.dist-info")]
    tests = [(str(ROOT / "tests" / "sandbox"), "/tests/sandbox")]
    code = (
        "import collections, json, sys; sys.path.insert(0, '/mounted'); import pytest\n"
        "class Count:\n"
        "    found = collections.Counter()\n"
        "    def pytest_runtest_logreport(self, report):\n"
        "        if report.skipped: self.found['skipped: ' + report.longrepr[2].removeprefix('Skipped: ')] += 1\n"
        "        elif report.when == 'call' or report.failed: self.found[report.outcome] += 1\n"
        "ended = pytest.main(['-q', '-p', 'no:cacheprovider', '--import-mode=importlib', '-c', '/dev/null',"
        " '--rootdir=/tests', '/tests/sandbox/test_escapes.py'], plugins=[Count()])\n"
        "print(); print(json.dumps([int(ended), Count.found]))\n"
    )
    printed = output_in_container(
        runtime, grade, code, readable=[*mounts, *tests], environment={"PYTHONPATH": "/mounted"}
    )
    ended, found = json.loads(printed.splitlines()[-1])
    assert ended == 0, printed[-3000:]
    assert found.pop("passed") > 50
    assert set(found) <= {f"skipped: {reason}" for reason in INSIDE_SKIPS}


def test_the_entry_point_is_kit_job(runtime: str, grade: containers.Image, tmp_path: Path) -> None:
    """Check that ``docker run IMAGE KEY`` on a mounted store does the same as ``kit job KEY`` on a host."""
    plan = plan_tables(["2"], "smoke")
    fetched = next(
        job for job in plan.jobs.values() if job.params.get("kind") == "file" and "path" in job.resources["source"]
    )
    store = Store.open(tmp_path / "store")
    store.plan(fetched)
    if os.geteuid() == 0:  # else the container runs as whoever owns the store
        for path in [store.root, *store.root.rglob("*")]:
            shutil.chown(path, containers.UID, containers.UID)
    source = fetched.resources["source"]["path"]
    words = [runtime, "run", "--rm", "--pull=never", "--read-only", "--cap-drop=all", "--network=none", "--tmpfs=/tmp"]
    words += ["--security-opt=label=disable", *command_line._user_options(runtime)]
    words += [f"--volume={store.root}:/store:rw", f"--volume={source}:{source}:ro", grade.name, fetched.key[:16]]
    done = subprocess.run(
        engine(words),
        env=client.engine_environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert store.check(fetched.key) == []


def test_a_made_up_gpu_reaches_the_container(
    runtime: str, grade: containers.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the runtime's arguments for a GPU; nothing about CUDA is tested."""
    if runtime != "podman" or os.geteuid() != 0 or preparing.has_cdi_spec(preparing.CDI_FOLDERS):
        pytest.skip("needs podman, root, and a machine without a CDI spec of its own")
    folder = Path("/var/run/cdi")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / "kit-made-up.json"
    device = {"path": "/dev/nvidia-made-up", "hostPath": "/dev/null"}
    edits = {"env": ["MADE_UP_GPU=1"], "deviceNodes": [device]}
    devices = [{"name": "all", "containerEdits": edits}]
    spec.write_text(json.dumps({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices}))
    try:
        assert preparing.has_cdi_spec(preparing.CDI_FOLDERS)
        code = "import os; print(os.environ['MADE_UP_GPU'], os.path.exists('/dev/nvidia-made-up'))"
        assert output_in_container(runtime, grade, code, kind=KINDS["text"], gpu=True).strip() == "1 True"
    finally:
        spec.unlink()
        if made:
            folder.rmdir()


@pytest.fixture(scope="module")
def local_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store of a local run of tests/data/tiny.toml: every stage on two rows."""
    return run_tiny("local", tmp_path_factory.mktemp("local"))


def run_tiny(runtime: str, folder: Path) -> Path:
    """Run tests/data/tiny.toml in a folder, with relative paths of store and mirror; return the store.

    Podman took both for names of volumes, and every job failed: all tests had used absolute paths.
    """
    (folder / "copies").mkdir()
    words = [sys.executable, "-c", "from kit.cli import main; main()", "run", str(ROOT / "tests/data/tiny.toml")]
    words += ["--yes", "--runtime", runtime, "--mirror", "copies"]
    environment = {name: value for name, value in os.environ.items() if name != "KIT_STORE"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(words, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "store"


def test_every_stage_gives_the_same_keys_and_bytes_in_containers(
    runtime: str, grade: containers.Image, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    images_of = {"cpu": built_image(runtime, "cpu"), "grade": grade}
    try:
        for environment, image in images_of.items():
            preparing.check_image(environment, image, lock_hash(environment))
    except RequestError as error:
        skip_or_fail(str(error))
    store, local = run_tiny(runtime, tmp_path), request.getfixturevalue("local_store")
    words = [sys.executable, str(Path(__file__).parent / "compare_stores.py"), str(local), str(store)]
    done = subprocess.run(words, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    digests = {image.digest for image in images_of.values()}
    assert {artifact.provenance["image"] for artifact in Store.open(store).artifacts()} == digests
    assert not {artifact.provenance.get("image") for artifact in Store.open(local).artifacts()} & digests


def test_fetch_follows_links_out_of_a_model_folder_and_a_mirror(runtime: str, tmp_path: Path) -> None:
    """Fetch a hub's snapshot, made of links to blobs beside it, and a mirror with links to copies elsewhere."""
    snapshot, mirror = tmp_path / "snapshots" / "abc", tmp_path / "mirror"
    for folder in (snapshot, mirror, tmp_path / "blobs"):
        folder.mkdir(parents=True)
    subprocess.run([sys.executable, str(ROOT / "tests/tiny_model.py"), "save", str(snapshot)], check=True)
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.chmod(0o644)  # as a hub's client leaves them; safetensors alone writes 0600
        file.rename(tmp_path / "blobs" / str(number))
        file.symlink_to(f"../../blobs/{number}")
    (tmp_path / "copy.jsonl").write_text("data\n")
    (mirror / "x.jsonl").symlink_to(tmp_path / "copy.jsonl")
    (tmp_path / "link").symlink_to(snapshot)
    params, source = folder_source(tmp_path / "link")
    hash_of_copy = sha256_file(tmp_path / "copy.jsonl")
    jobs = [
        Job(id=f"fetch/{number}", stage="fetch", version="fetch-1", environment="grade", lock="",
            params=params, inputs={}, resources={"source": source})
        for number, (params, source) in enumerate([
            (params, source),
            ({"kind": "file", "name": "x.jsonl", "sha256": hash_of_copy}, {"url": "x://none", "mirror": "x.jsonl"}),
        ])
    ]  # fmt: skip
    try:
        found = preparing.prepare(runtime, jobs, mirror)
    except RequestError as error:
        skip_or_fail(str(error))
    store = Store.open(tmp_path / "store")
    options = Options(store=store.root, mirror=mirror, containers=found)
    outcome = execute({job.key: job for job in jobs}, store, options, lambda *_: None)
    assert (outcome.failed, sorted(outcome.done)) == ({}, sorted(job.key for job in jobs))
    config = (snapshot / "config.json").read_text()
    assert (store.get(jobs[0].key).folder / "config.json").read_text() == config
    assert (store.get(jobs[1].key).folder / "x.jsonl").read_text() == "data\n"
