import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "perf" / "readings_compared.py"


def compared(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], text=True, capture_output=True, check=False)


def test_says_which_data_is_missing(tmp_path: Path) -> None:
    done = compared("--data", str(tmp_path))
    names = "gsm8k/test.jsonl, gsm8k/example_model_solutions_finetuning.jsonl, math/test.jsonl"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {tmp_path}: no {names}; name the folder that has them: --data\n"


def test_prints_a_row_a_set(reference_data: Path) -> None:
    done = compared("--data", str(reference_data / "data"), "--rows", "5", "--only", "6b")
    rows = [line.split(" | ")[:5] for line in done.stdout.splitlines()]
    assert rows[0] == ["| set", "n", "math-verify", "both", "default"]
    assert rows[2] == ["| GSM8K, 6b, as they are", "5", "5", "5", "5"]
    assert len(rows) == 7
