"""A prompt of a sampled text is computed in one step of vLLM on a CPU."""

import json
import subprocess
import sys

import pytest

from kit.engines._whole_prompts import joining

SAMPLED = """
import json, sys
from pathlib import Path
from kit.engines import EngineSettings, Request, Sampling, vllm
from kit.records import Turn

def ask(number, words):
    return Request(id=str(number), turns=(Turn(role="user", content="word " * words),), seed=number)

engine = vllm.open(Path(sys.argv[1]), EngineSettings(dtype="float32", max_model_len=2048, max_num_seqs=4))
rows = [ask(number, 1500) for number in range(3)] + [ask(3, 3)]
found = engine.generate(rows, Sampling(max_tokens=4, temperature=0.9))
print(json.dumps([[row.id, row.prompt_tokens, row.tokens] for row in found]))
engine.close()
"""


@pytest.mark.parametrize(
    ("lengths", "unfinished", "step_tokens", "seats", "wanted"),
    [
        pytest.param([5, 5, 5], 0, 15, 4, 3, id="all fit exactly"),
        pytest.param([5, 5, 5], 0, 14, 4, 2, id="the last would be split"),
        pytest.param([5, 5], 5, 14, 8, 1, id="each request at work takes a token"),
        pytest.param([5, 5, 5], 2, 99, 4, 2, id="no more than there are seats"),
        pytest.param([5], 4, 99, 4, 0, id="no seat"),
        pytest.param([50, 1], 3, 40, 8, 0, id="a short one does not overtake"),
        pytest.param([50, 1], 0, 40, 8, 1, id="too long for any step: it goes alone"),
        pytest.param([], 3, 40, 8, 0, id="none waits"),
    ],
)
def test_joining(lengths, unfinished, step_tokens, seats, wanted):
    assert joining(lengths, unfinished, step_tokens, seats) == wanted


def test_sampled_prompts_of_several_steps_end_well(smollm2):
    # Used to end the job: "CPU Generator does not use offset".
    command = [sys.executable, "-c", SAMPLED, str(smollm2)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout.splitlines()[-1])
    assert [name for name, _, _ in rows] == [str(number) for number in range(4)]
    assert sum(prompt for _, prompt, _ in rows) > 4096
    assert all(tokens > 0 for _, _, tokens in rows)
