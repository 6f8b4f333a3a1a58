"""vLLM on a CPU needs no C++ compiler, which a machine or an image may lack."""

import json
import os
import subprocess
import sys

LIKELIHOOD = """
import json, sys
from pathlib import Path
from kit.engines import EngineSettings, vllm

engine = vllm.open(Path(sys.argv[1]), EngineSettings(dtype="float32", max_model_len=256, max_num_seqs=4))
print(json.dumps(engine.loglikelihood([("The capital of France is", " Paris."), ("", "Hello there")])))
engine.close()
"""


def test_likelihoods_need_no_compiler(smollm2, tmp_path):
    # A judge that is asked by labels failed in an image: "No working C++ compiler found".
    environment = {**os.environ, "CXX": "no-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LIKELIHOOD, str(smollm2)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    paris, hello = json.loads(done.stdout.splitlines()[-1])
    assert len(paris) == 2
    assert all(value <= 0 for value in [*paris, *hello])
