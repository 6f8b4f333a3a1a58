"""Open an export by lm-evaluation-harness's own functions and by ``datasets``, and print what they find as JSON.

    read_harness.py FOLDER SCRATCH

Every sample is written once more by the harness's own writer, into SCRATCH, and has to come out byte for byte.
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"HF_HOME": f"{sys.argv[2]}/cache", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

import datasets
from lm_eval import utils
from lm_eval.loggers.evaluation_tracker import EvaluationTracker
from lm_eval.result_schema import EvalResults, SampleResult


def main(folder: Path, scratch: Path) -> None:
    """Print, for each model, its table and its tasks with their samples."""
    datasets.disable_progress_bars()
    paths = sorted(map(str, folder.glob("*/*")))
    found = {Path(path).parent.name: model(Path(path), scratch) for path in utils.get_results_filenames(paths)}
    for path in map(Path, utils.get_sample_results_filenames(paths)):
        one = found[path.parent.name]
        assert utils.get_file_datetime(path.name) == one["time"], path
        one["tasks"][utils.get_file_task_name(path.name)] = samples(path)
    for name, one in found.items():
        results = json.loads(Path(one.pop("path")).read_text(encoding="utf-8"))
        one["written_alike"] = written_alike(folder / name, results, one["tasks"], scratch)
    json.dump(found, sys.stdout)


def model(path: Path, scratch: Path) -> dict:
    """Return what a results file says, after checks against the harness's own schema."""
    results = json.loads(path.read_text(encoding="utf-8"))
    loaded = datasets.load_dataset("json", data_files=str(path), split="train")
    assert set(loaded[0]["results"]) == set(results["results"])
    assert set(results) - {"kit"} <= set(EvalResults.__annotations__), set(results) - set(EvalResults.__annotations__)
    assert utils.sanitize_model_name(results["model_name"]) == results["model_name_sanitized"] == path.parent.name
    time = utils.get_file_datetime(path.name).removesuffix(".json")
    table = utils.make_table(results)
    return {"path": str(path), "time": time, "table": table, "results": results["results"], "tasks": {}}


def samples(path: Path) -> list:
    """Return the samples of a file as ``datasets`` loads them."""
    rows = list(datasets.load_dataset("json", data_files=str(path), split="train"))
    for row in rows:
        assert set(SampleResult.__annotations__) <= set(row), set(SampleResult.__annotations__) - set(row)
    return [{**row["kit"], "text": row["resps"][0][0], "target": row["target"], "row": row["doc_id"]} | {
        "values": {name: row[name] for name in row["metrics"]}
    } for row in rows]  # fmt: skip


def written_alike(folder: Path, results: dict, tasks: dict, scratch: Path) -> int:
    """Have the harness write all samples of a model, compare files and hashes, and return how many samples that was."""
    tracker = EvaluationTracker(output_path=str(scratch))
    name = results["model_name"]
    tracker.general_config_tracker.log_experiment_args(results["model_source"], {"pretrained": name}, None, None, False)
    lines = {
        task: next(folder.glob(f"samples_{task}_*")).read_text(encoding="utf-8").split("\n")[:-1] for task in tasks
    }
    rows = {task: [json.loads(line) for line in found] for task, found in lines.items()}
    tracker.save_results_aggregated({"results": results["results"]}, rows)
    aggregated = json.loads(next((scratch / folder.name).glob("results_*")).read_text(encoding="utf-8"))
    for field in ("task_hashes", "model_name", "model_name_sanitized", "results"):
        assert aggregated[field] == results[field], field
    assert set(aggregated) <= set(results), set(aggregated) - set(results)
    for task, found in rows.items():
        for row in found:
            row["arguments"] = [tuple(one.values()) for one in row["arguments"].values()]
            text = json.dumps(row["doc"], indent=2, ensure_ascii=False)
            assert row["doc_hash"] == utils.hash_string(text)
            assert row["prompt_hash"] == utils.hash_string(row["arguments"][0][0])
            assert row["target_hash"] == utils.hash_string(row["target"])
        tracker.save_results_samples(task, found)
        own = next((scratch / folder.name).glob(f"samples_{task}_*")).read_text(encoding="utf-8").split("\n")[:-1]
        assert own == lines[task], task
    return sum(map(len, rows.values()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
