"""Checks that every engine must pass, run in a process of their own: prints one JSON object of observations.

python contract.py ENGINE MODEL
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # this script's folder is no place to import from

from kit import registry  # noqa: E402
from kit.engines import EngineSettings, Request, Sampling  # noqa: E402
from kit.records import Turn  # noqa: E402

ASKS = ["What is the capital of France?", "Écris « naïve » puis 海.", "Count from one to five.", "Name a colour."]
PAIRS = [("The capital of France is", " Paris."), ("", "Hello there"), ("Water boils at", " 100 degrees 海")]


def ask(number, content, seed=7):
    return Request(id=f"row/{number}", turns=(Turn(role="user", content=content),), seed=seed)


def observe(name, model):
    module = registry.load("engines", name)
    settings = EngineSettings(name=name, dtype="float32", max_model_len=256, max_num_seqs=4)
    engine = module.open(model, settings)
    asked = [ask(number, content) for number, content in enumerate(ASKS * 2)]
    greedy, drawn = Sampling(max_tokens=12), Sampling(max_tokens=12, temperature=0.9, top_p=0.95)
    seen, calls = {"fingerprint": dict(engine.fingerprint)}, []
    dump = lambda found: [asdict(row) for row in found]  # noqa: E731
    seen["greedy"] = dump(engine.generate(asked, greedy, lambda *done: calls.append(done)))
    seen["progress"] = calls
    seen["alone"] = dump(engine.generate(asked[2:3], greedy))
    seen["drawn"] = dump(engine.generate(asked, drawn))
    seen["drawn_again"] = dump(reversed(engine.generate(asked[::-1], drawn)))
    seen["drawn_other_seed"] = dump(engine.generate([ask(0, ASKS[0], seed=8), ask(0, ASKS[2], seed=8)], drawn))
    heard = []
    for kind, sampling in (("greedy", greedy), ("drawn", drawn)):
        scored = engine.generate_with_probabilities(asked, sampling, lambda *done: heard.append(done))
        seen[f"{kind}_scored"] = dump(row.completion for row in scored)
        seen[f"{kind}_probabilities"] = [row.probabilities for row in scored]
    seen["scored_progress"] = heard
    certain = Sampling(max_tokens=12, temperature=0.9, top_p=1e-6)
    seen["certain_probabilities"] = [row.probabilities for row in engine.generate_with_probabilities(asked, certain)]
    opened = Turn(role="assistant", content="The capital of France is")
    goes_on = Request(id="goes on", turns=(Turn(role="user", content=ASKS[0]), opened), seed=1)
    seen["goes_on"] = dump(engine.generate([goes_on], greedy))
    # a long prompt: the fewer tokens are left, the sooner the end is there
    seen["to_the_end"] = dump(engine.generate([ask(0, "word " * 200)], Sampling(max_tokens=4000)))
    said = []
    rows = [ask(0, ASKS[0]), ask(1, "word " * 300), ask(2, ASKS[2])]
    seen["too_long"] = dump(engine.generate(rows, greedy, lambda *done: said.append(done)))
    seen["too_long_said"] = said
    seen["loglikelihood"] = engine.loglikelihood(PAIRS)
    seen["too_long_scored"] = [row.probabilities for row in engine.generate_with_probabilities(rows, greedy)]
    seen["none"] = (
        engine.generate([], greedy),
        engine.loglikelihood([]),
        engine.generate_with_probabilities([], greedy),
    )
    engine.close()
    engine.close()
    again = module.open(model, settings)
    seen["second_engine"] = dump(again.generate(asked, greedy))
    again.close()
    return seen


if __name__ == "__main__":
    print(json.dumps(observe(sys.argv[1], Path(sys.argv[2]))))
