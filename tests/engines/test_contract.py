import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.engines import EngineSettings, fake
from kit.errors import RequestError

CONTRACT = Path(__file__).with_name("contract.py")


@pytest.fixture(
    scope="module",
    params=["fake", pytest.param("transformers", marks=pytest.mark.real), pytest.param("vllm", marks=pytest.mark.real)],
)
def seen(request):
    # A process of its own: vLLM changes torch, the environment and the warnings of the process it is imported in.
    model = Path("no-model") if request.param == "fake" else request.getfixturevalue("smollm2")
    done = subprocess.run(
        [sys.executable, str(CONTRACT), request.param, str(model)],
        capture_output=True,
        check=False,
        text=True,
        timeout=3600,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"name": request.param}


@pytest.fixture(scope="module")
def plain(smollm2):
    """Return the numbers of plain forward passes, worked out once for all engines.

    ``loglikelihood``: the sums of the pairs. ``probabilities``: of each token of the greedy text to the first question.
    """
    code = """if True:
        import json, sys, torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, trust_remote_code=False)
        sums, probabilities = [], []
        for context, text in json.loads(sys.argv[2]):
            head = tokenizer(context).input_ids or [tokenizer.bos_token_id]
            tail = tokenizer(text).input_ids
            with torch.no_grad():
                logits = model(torch.tensor([head + tail])).logits[0].log_softmax(-1)
            sums.append(sum(float(logits[len(head) - 1 + i, t]) for i, t in enumerate(tail)))
        chat = [{"role": "user", "content": "What is the capital of France?"}]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(ids, add_special_tokens=False).input_ids
        while len(probabilities) < 12 and ids[-1] != tokenizer.eos_token_id or not probabilities:
            with torch.no_grad():
                best = model(torch.tensor([ids])).logits[0, -1].softmax(-1).max(0)
            probabilities.append(float(best.values))
            ids.append(int(best.indices))
        print(json.dumps({"loglikelihood": sums, "probabilities": probabilities}))
        """
    pairs = [("The capital of France is", " Paris."), ("", "Hello there"), ("Water boils at", " 100 degrees 海")]
    command = [sys.executable, "-c", code, str(smollm2), json.dumps(pairs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_fingerprint_names_the_engine(seen):
    assert seen["fingerprint"]["engine"] == seen["name"]


def test_results_come_in_input_order(seen):
    assert [row["id"] for row in seen["greedy"]] == [f"row/{number}" for number in range(8)]


def test_same_prompt_gives_same_greedy_text(seen):
    texts = [row["text"] for row in seen["greedy"]]
    assert texts[:4] == texts[4:]
    assert len(set(texts[:4])) == 4


def test_greedy_text_is_the_same_alone(seen):
    assert seen["alone"] == [seen["greedy"][2]]


def test_seed_decides_the_text_whatever_the_order(seen):
    assert seen["drawn"] == seen["drawn_again"]
    assert [row["text"] for row in seen["drawn"][:4]] == [row["text"] for row in seen["drawn"][4:]]


def test_other_seed_gives_other_text(seen):
    assert [row["text"] for row in seen["drawn_other_seed"]] != [seen["drawn"][0]["text"], seen["drawn"][2]["text"]]


def test_length_and_finish_reason(seen):
    assert {row["finish_reason"] for row in seen["greedy"]} <= {"stop", "length"}
    assert all(row["tokens"] == 12 for row in seen["greedy"] if row["finish_reason"] == "length")
    assert all(0 < row["tokens"] <= 12 for row in seen["greedy"])
    (row,) = seen["to_the_end"]
    assert row["prompt_tokens"] + row["tokens"] <= 256


def test_progress_ends_with_all_rows_and_tokens(seen):
    assert seen["progress"][-1] == [8, sum(row["tokens"] for row in seen["greedy"])]
    assert seen["progress"] == sorted(seen["progress"])


def test_a_prompt_without_room_for_a_token_gets_an_empty_text(seen):
    # It ended the job of all rows, on every rerun.
    first, long, last = seen["too_long"]
    # 300 words of one token and the blank behind them; the template with its system turn is 30 more.
    length = 300 if seen["name"] == "fake" else 331
    assert long == {"id": "row/1", "text": "", "prompt_tokens": length, "tokens": 0, "finish_reason": "too_long"}
    assert (first, last) == (seen["greedy"][0], seen["greedy"][2])
    assert seen["too_long_said"][-1] == [3, first["tokens"] + last["tokens"]]


@pytest.mark.parametrize("kind", ["greedy", "drawn"])
def test_probabilities_stand_beside_the_same_texts(seen, kind):
    assert seen[f"{kind}_scored"] == seen[kind]
    assert [len(row) for row in seen[f"{kind}_probabilities"]] == [row["tokens"] for row in seen[kind]]
    assert all(0 < value <= 1 for row in seen[f"{kind}_probabilities"] for value in row)
    assert seen["scored_progress"][-1] == [8, sum(row["tokens"] for row in seen["drawn"])]


def test_a_prompt_without_room_for_a_token_has_no_probabilities(seen):
    first, long, last = seen["too_long_scored"]
    wanted = seen["greedy_probabilities"]
    assert (long, first, last) == ([], pytest.approx(wanted[0], rel=1e-4), pytest.approx(wanted[2], rel=1e-4))


def test_probabilities_are_those_of_a_plain_forward_pass(seen, request):
    if seen["name"] == "fake":
        pytest.skip("no model")
    wanted = request.getfixturevalue("plain")["probabilities"]
    assert seen["greedy_probabilities"][0] == pytest.approx(wanted, rel=1e-3)


def test_probabilities_are_of_all_tokens_at_temperature_1(seen):
    # With top_p 1e-6 the likeliest token is drawn with certainty, and is no likelier among all there are.
    if seen["name"] == "fake":
        pytest.skip("no model")
    assert seen["certain_probabilities"] == [pytest.approx(row, rel=1e-4) for row in seen["greedy_probabilities"]]


def test_loglikelihood_has_a_value_a_token(seen):
    assert all(value <= 0 for row in seen["loglikelihood"] for value in row)
    assert len(seen["loglikelihood"]) == 3


def test_nothing_asked_nothing_given(seen):
    assert seen["none"] == [[], [], []]


def test_an_engine_can_be_opened_after_another_was_closed(seen):
    assert seen["second_engine"] == seen["greedy"]


def test_continues_the_assistants_turn(seen):
    if seen["name"] == "fake":
        pytest.skip("no model")
    assert seen["goes_on"][0]["text"].startswith(" Paris")


def test_loglikelihood_matches_a_plain_forward_pass(seen, request):
    if seen["name"] == "fake":
        pytest.skip("no model")
    wanted = request.getfixturevalue("plain")["loglikelihood"]
    assert [sum(row) for row in seen["loglikelihood"]] == pytest.approx(wanted, abs=2e-3)


def test_fake_must_be_asked_for():
    with pytest.raises(RequestError) as caught:
        fake.open(Path("x"), EngineSettings(name="vllm"))
    assert str(caught.value) == "engine 'fake' was opened for settings that name 'vllm'; it is for unit tests only"
