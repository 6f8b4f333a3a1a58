"""Attacks that model-written code must not succeed with, each tried in each tier.

Every attack is a function that returns True if it got through. Its control runs the same code in plain Python, where
that hurts nothing: an attack that fails everywhere proves nothing. No control mounts, sets a sysctl or leaves a thing
behind.
"""

import platform
import subprocess
import sys
from typing import Any

import pytest

from kit.sandbox import Function, Program, Sandbox

HARMLESS = {
    "read a private file": 'return open("<SECRET>").read() == "secret"',
    "read passwd": 'return "root" in open("/etc/passwd").read()',
    "read the environment": 'return "KIT_SANDBOX_SECRET" in os.environ',
    "read the kit's /proc": 'return open("/proc/<KIT>/cmdline").read() != ""',
    "read the parent's /proc": 'return open(f"/proc/{os.getppid()}/cmdline").read() != ""',
    "read its own /proc": 'return open("/proc/self/maps").read() != ""',
    "list its own /proc": 'return len(os.listdir("/proc/self/fd")) > 0',
    "list a folder": 'return os.listdir(os.path.dirname("<SECRET>")) == ["key"]',
    "list the root": 'return len(os.listdir("/")) > 0',
    "read site-packages": 'return len(open("<PYTEST>").read()) > 0',
    "create a file": 'open("<FOLDER>/new", "w").close(); os.unlink("<FOLDER>/new"); return True',
    "overwrite a file": 'open("<GRADER>", "r+").close(); return True',
    "truncate by open": 'os.close(os.open("<GRADER>", os.O_RDONLY | os.O_TRUNC)); return True',
    "truncate": 'os.truncate("<GRADER>", 0); return True',
    "chmod": 'os.chmod("<GRADER>", 0o600); return True',
    "utime": 'os.utime("<GRADER>"); return True',
    "rename": 'os.rename("<GRADER>", "<GRADER>"); return True',
    "symlink": 'os.symlink("/", "<FOLDER>/link"); os.unlink("<FOLDER>/link"); return True',
    "hard link": 'os.link("<GRADER>", "<FOLDER>/link"); os.unlink("<FOLDER>/link"); return True',
    "make a folder": 'os.mkdir("<FOLDER>/new"); os.rmdir("<FOLDER>/new"); return True',
    "unlink": 'os.unlink("<GRADER>"); return True',
    "unnamed file": 'os.close(os.open("<FOLDER>", os.O_TMPFILE | os.O_RDWR)); return True',
    "write 64 MB": """
        with open("<FOLDER>/big", "wb") as file:
            file.write(bytes(64 << 20))
        os.unlink("<FOLDER>/big")
        return True""",
    "write to /dev/shm": """
        name = f"/dev/shm/kit-sandbox-{os.getpid()}"
        open(name, "w").close()
        os.unlink(name)
        return True""",
    "memfd": 'os.close(os.memfd_create("x")); return True',
    "TCP": "socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(); return True",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(); return True",
    "unix socket": "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close(); return True",
    "abstract unix socket": r"""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.bind(f"\0kit-sandbox-{os.getpid()}")
        return True""",
    "datagram pair, which sendto could point anywhere": """
        for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM):
            end.close()
        return True""",
    "pass a descriptor": """
        a, b = socket.socketpair()
        with a, b:
            return socket.send_fds(a, [b"x"], [0]) == 1""",
    "DNS": 'return socket.getaddrinfo("localhost", 80) != []',
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close(); return True",
    "fork": """
        if not (pid := os.fork()):
            os._exit(0)
        os.waitpid(pid, 0)
        return True""",
    "40 forks": """
        for _ in range(40):
            if not (pid := os.fork()):
                os._exit(0)
            os.waitpid(pid, 0)
        return True""",
    "daemon": """
        if not (pid := os.fork()):
            os.setsid()
            os._exit(0)
        os.waitpid(pid, 0)
        return True""",
    "300 threads": """
        import threading
        threads = [threading.Thread(target=int) for _ in range(300)]
        for thread in threads:
            thread.start()
            thread.join()
        return True""",
    "subprocess": 'import subprocess; return subprocess.run(["/bin/true"]).returncode == 0',
    "os.system": 'return os.system("true") == 0',
    "posix_spawn": 'os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0); return True',
    "execve": 'os.execve("/bin/echo", ["echo", "True"], {})',
    "signal the parent": "os.kill(os.getppid(), 0); return True",
    "signal the kit": "os.kill(<KIT>, 0); return True",
    "signal all": "os.kill(-1, 0); return True",
    "signal through a descriptor": """
        read, _ = os.pipe()
        return libc.fcntl(read, 8, os.getpid()) == 0""",
    "pidfd": "os.close(os.pidfd_open(os.getppid())); return True",
    "ptrace": "return libc.ptrace(0, 0, 0, 0) == 0",
    "process_vm_readv": """
        class Part(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
        source, target = ctypes.create_string_buffer(b"abc"), ctypes.create_string_buffer(3)
        parts = [Part(ctypes.addressof(x), 3) for x in (target, source)]
        size = ctypes.c_ulong(0)
        one = ctypes.c_ulong(1)
        to, source = map(ctypes.byref, parts)
        return libc.process_vm_readv(os.getpid(), to, one, source, one, size) == 3""",
    "raise a limit": """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return True""",
    "raise the memory limit": """
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        return True""",
    "the parent's limits": "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE); return True",
    "prctl": "return libc.prctl(15, b'x', 0, 0, 0) == 0",
    "pin to a core": "os.sched_setaffinity(0, os.sched_getaffinity(0)); return True",
    "new session": "os.setsid(); return True",
    "change folder": 'os.chdir("/"); return True',
}
"""Attacks whose control runs in plain Python."""

DANGEROUS = {
    "read shadow": 'return open("/etc/shadow").read() != ""',
    "sysctl": 'open("/proc/sys/kernel/hostname", "w").close(); return True',
    "mount": 'return reached(165, b"none", b"/mnt", b"tmpfs", 0, 0)',
    "unshare": "return reached(272, 0x10000000)",
    "io_uring": "return reached(425, 1, 0)",
    "SysV shm": "return reached(29, 0, 4096, 0o1600)",
    "keyctl": "return reached(250, 0, -3, 0)",
    "bpf": "return reached(321, 0, 0, 0)",
    "userfaultfd": "return reached(323, 0)",
    "perf_event_open": "return reached(298, 0, 0, -1, -1, 0)",
    "open_by_handle_at": "return reached(304, -1, 0, 0)",
    "clone3": "return reached(435, 0, 0)",
    "execveat": "return reached(322, -1, b'/bin/true', 0, 0, 0)",
    "new seccomp filter": "return reached(317, 1, 0, 0)",
    "sendmsg": "return reached(46, 0, 0, 0)",
    "x32 getpid": "return libc.syscall(0x40000000 | 39) > 0",
    "become another": "os.setuid(12345); return True",
    "inherited descriptors": """
        def is_open(fd):
            try:
                os.fstat(fd)
            except OSError:
                return False
            return True
        return sum(map(is_open, range(3, 4096))) != 2""",
}
"""Attacks without a control: mounts, changes of the machine, and calls that depend on its set-up. ``reached`` is true
if the call got past the filter, whatever the kernel then made of its arguments."""

HEAD = """
import ctypes, errno, os, resource, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def reached(number, *arguments):
    result = libc.syscall(number, *(a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments))
    return result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS)
def attack():
"""


def program(body: str) -> str:
    lines = body.strip("\n").splitlines()
    indent = "" if body.startswith("\n") else "    "
    return HEAD + "\n".join(indent + line for line in lines) + "\n"


@pytest.mark.parametrize("attack", [*HARMLESS, *DANGEROUS])
def test_does_not_get_through(attack: str, sandbox: Sandbox, targets: Any) -> None:
    if attack in DANGEROUS and platform.machine() != "x86_64":
        pytest.skip("the numbers of the calls are those of x86-64")
    code = targets.place(program((HARMLESS | DANGEROUS)[attack]))
    ran = "def ran(): return 1\n"
    got_through, still_works = sandbox.run(
        [
            Program(id=attack, code=code, tests="assert attack() is True", names=("attack",)),
            Program(id="after", code=ran, tests="assert ran() == 1"),
        ]
    )
    assert not got_through.passed
    assert got_through.reason.startswith("failed: ") or got_through.reason == "candidate died"
    # The attack itself must have run: a SyntaxError or a missing import would also "not get through".
    assert got_through.reason not in (
        "failed: SyntaxError",
        "failed: NameError",
        "failed: TypeError",
        "failed: ImportError",
    )
    assert still_works.passed
    assert targets.grader.read_text() == "grader"
    assert list(targets.folder.iterdir()) == []


@pytest.mark.parametrize("attack", [*HARMLESS, *DANGEROUS])
def test_does_not_get_through_without_a_tester(attack: str, sandbox: Sandbox, targets: Any) -> None:
    if attack in DANGEROUS and platform.machine() != "x86_64":
        pytest.skip("the numbers of the calls are those of x86-64")
    code = targets.place(program((HARMLESS | DANGEROUS)[attack])) + "def evaluate(x): return attack()\n"
    got_through, still_works = sandbox.call_functions(
        [
            Function(id=attack, code=code, name="evaluate", inputs=("x",)),
            Function(id="after", code="def evaluate(x): return x", name="evaluate", inputs=("x",)),
        ]
    )
    (reply,) = got_through.replies
    assert got_through.error == ""
    assert reply.value in (None, False)
    assert reply.value is False or reply.error.startswith("failed: ") or reply.error == "died"
    assert reply.error not in ("failed: SyntaxError", "failed: NameError", "failed: TypeError", "failed: ImportError")
    assert still_works.replies[0].value == "x"
    assert targets.grader.read_text() == "grader"
    assert list(targets.folder.iterdir()) == []


@pytest.mark.parametrize("attack", HARMLESS)
def test_control_gets_through_without_a_sandbox(attack: str, targets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_SANDBOX_SECRET", "secret")
    code = targets.place(program(HARMLESS[attack]))
    done = subprocess.run([sys.executable, "-c", code + "print(attack())"], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr
