"""Open a folder of logs by inspect_ai, and print what it finds as JSON.

read_inspect.py FOLDER
"""

import json
import sys

from inspect_ai.analysis import evals_df, samples_df
from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample


def main(folder: str) -> None:
    """Print every log: its head, its metrics, its samples."""
    logs = {info.task_id: log(info) for info in list_eval_logs(folder)}
    json.dump({"logs": logs, "evals": len(evals_df(folder)), "samples": len(samples_df(folder))}, sys.stdout)


def log(info) -> dict:
    """Return a log's numbers and samples, after its head and its last sample were read alone."""
    found, head = read_eval_log(info.name), read_eval_log(info.name, header_only=True)
    assert head.results == found.results
    assert head.eval == found.eval
    last = found.samples[-1]
    assert read_eval_log_sample(info.name, id=last.id, epoch=1) == last
    return {
        "version": found.version,
        "status": found.status,
        "task": found.eval.task,
        "model": found.eval.model,
        "key": found.eval.metadata["key"],
        "commit": found.eval.revision.commit if found.eval.revision else "",
        "created": found.eval.created,
        "scores": {
            score.name: {
                **{name: metric.value for name, metric in score.metrics.items()},
                "n": score.metadata["n"],
                "scored": score.scored_samples,
            }
            for score in found.results.scores
        },
        "samples": list(map(sample, found.samples)),
    }


def sample(one) -> dict:
    """Return what a sample of a log says."""
    return {
        "id": one.id,
        "input": [[turn.role, turn.text] for turn in one.input],
        "target": one.target,
        "text": one.output.completion,
        "stop": one.output.choices[0].stop_reason,
        "tokens": one.output.usage.output_tokens,
        "scores": {name: [score.value, score.answer, score.explanation] for name, score in one.scores.items()},
        "verdicts": [verdict["text"] for verdict in one.metadata["verdicts"]],
    }


if __name__ == "__main__":
    main(sys.argv[1])
