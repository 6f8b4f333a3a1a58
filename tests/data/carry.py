"""Takes the sample of tests/data/sample out of the reference data: ``python tests/data/carry.py ../shared``.

SOURCES.md says of each file where it comes from, under which licence, and which rows are carried.
"""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
MODEL_FIELDS = ("id", "revision", "params", "layers", "hidden", "intermediate", "heads", "kv_heads", "vocab", "context")
PROTOCOL_PLACES = (
    ("models",),
    ("seed_data",),
    ("evaluated_domain",),
    ("scenarios", "evol_instruct", "sampling"),
    ("scenarios", "evol_instruct", "tables_1_and_2_use_round"),
    ("response_generation", "sampling"),
    ("response_generation", "engine"),
    ("sft", "main"),
    ("sft", "main_extra"),
)
"""The places of protocol.yaml that tests compare with manifests."""


def lines(path: Path) -> list[str]:
    """The lines of a JSONL file; a line ends at a line feed alone."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def gsm8k_places(data: Path) -> list[int]:
    """The first 30 rows, two that OpenCompass misreads, and those whose reference has a comma."""
    answers = [json.loads(line)["answer"].partition("#### ")[2] for line in lines(data / "gsm8k/test.jsonl")]
    return sorted({*range(30), 419, 819, *(place for place, answer in enumerate(answers) if "," in answer)})


def ifeval_places(data: Path) -> list[int]:
    """The first 30 rows, two of each instruction type, and those where a letter is drawn or a prompt changed."""
    rows = [json.loads(line) for line in lines(data / "ifeval/input_data_before_2024-06-11.jsonl")]
    types: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for name in row["instruction_id_list"]:
            types.setdefault(name, []).append(place)
    named = {place for place, row in enumerate(rows) if row["key"] in (1122, 1129, 2785)}
    return sorted({*range(30), *(place for places in types.values() for place in places[:2]), *named})


def mbpp_places(data: Path) -> list[int]:
    """Tasks 11 to 70, and those with sets, names of built-ins, or arguments that are built first."""
    rows = [json.loads(line) for line in lines(data / "mbpp/mbpp.jsonl")]
    asked = {*range(11, 71), 126, 341}
    return [
        place
        for place, row in enumerate(rows)
        if row["task_id"] in asked or (11 <= row["task_id"] <= 510 and row["test_setup_code"])
    ]


def math_places(data: Path) -> list[int]:
    """Every fiftieth row: all subjects and levels."""
    return list(range(0, len(lines(data / "math/test.jsonl")), 50))


def seed_task_places(data: Path) -> list[int]:
    """Return the places of the first 48 rows."""
    return list(range(48))


SAMPLES: dict[str, Callable[[Path], list[int]]] = {
    "gsm8k/test.jsonl": gsm8k_places,
    "gsm8k/example_model_solutions_finetuning.jsonl": gsm8k_places,
    "ifeval/input_data_before_2024-06-11.jsonl": ifeval_places,
    "mbpp/mbpp.jsonl": mbpp_places,
    "math/test.jsonl": math_places,
    "self_instruct/seed_tasks.jsonl": seed_task_places,
}
"""File -> which of its rows are carried."""
WHOLE = ("humaneval/HumanEval.jsonl.gz",)
RESPONSES = "ifeval/input_response_data_gpt4_20231107_145030.jsonl"


def samples(data: Path) -> Iterator[tuple[str, bytes]]:
    """Each file of the sample, by its name below the data folder."""
    for name in WHOLE:
        yield name, (data / name).read_bytes()
    for name, places in SAMPLES.items():
        rows = lines(data / name)
        yield name, "".join(f"{rows[place]}\n" for place in places(data)).encode()
    asked = lines(data / "ifeval/input_data_before_2024-06-11.jsonl")
    prompts = {json.loads(asked[place])["prompt"] for place in ifeval_places(data)}
    yield (
        RESPONSES,
        "".join(f"{row}\n" for row in lines(data / RESPONSES) if json.loads(row)["prompt"] in prompts).encode(),
    )


def protocol(shared: Path) -> dict[str, Any]:
    """The settings of protocol.yaml that tests compare with manifests."""
    whole = yaml.safe_load((shared / "paper/protocol.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for *path, last in PROTOCOL_PLACES:
        source, target = whole, found
        for name in path:
            source, target = source[name], target.setdefault(name, {})
        target[last] = source[last]
    return found


def pins(shared: Path) -> dict[str, Any]:
    """Revision and sizes of each model of pins.yaml."""
    whole = yaml.safe_load((shared / "design/pins.yaml").read_text(encoding="utf-8"))
    fields = (*MODEL_FIELDS, "tied_embeddings", "gated")
    return {"models": [{name: model.get(name) for name in fields} for model in whole["models"]]}


def reported_document(whole: dict[str, Any], name: str) -> dict[str, Any]:
    """A table or figure of the transcription in the words of manifests/paper: its lists are plural, TOML's singular."""
    kind, _, number = name.partition("-")
    return _renamed(without_nulls(whole[f"{kind}s"][number]))


def without_nulls(value: Any) -> Any:
    """TOML has no null: what the transcription holds as null, our files leave out; an empty list likewise."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None and item != []}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def _renamed(document: dict[str, Any]) -> dict[str, Any]:
    renamed = {{"columns": "column", "rows": "row"}.get(key, key): value for key, value in document.items()}
    if "series" in renamed:
        renamed["series"] = {name: _renamed(series) for name, series in renamed["series"].items()}
    return renamed


def printed_digits(text: str, name: str) -> list[str]:
    """The cells of a table of the transcription as they are printed, trailing zeros and all."""
    block = re.split(r'\n  "\d+":\n', text.split("\nfigures:", maxsplit=1)[0])[int(name.partition("-")[2])]
    return decimals(" ".join(re.findall(r"values: \{([^}]*)\}", block)))


def decimals(text: str) -> list[str]:
    """The decimal numbers of a text, as they stand."""
    return re.findall(r"\d+\.\d+(?:e-?\d+)?", text)


def digest(value: Any) -> str:
    """The sha256 of a value's canonical JSON; every number is a float, so that 6 is 6.0, and dates are text."""
    numbers = json.loads(json.dumps(value, default=str), parse_int=float)
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def reported(shared: Path) -> dict[str, Any]:
    """sha256 of each table and figure of the transcription, of the digits of its tables, and of its scalars."""
    text = (shared / "paper/reported.yaml").read_text(encoding="utf-8")
    whole = yaml.safe_load(text)
    names = [f"{kind[:-1]}-{number}" for kind in ("tables", "figures") for number in whole[kind]]
    return {
        "numbers": {name: digest(reported_document(whole, name)) for name in names},
        "digits": {name: digest(printed_digits(text, name)) for name in names if name.startswith("table")},
        "scalars": digest(without_nulls(whole["scalars"])),
    }


def carried(shared: Path) -> dict[str, bytes]:
    """Every file of tests/data/sample, made from the reference data."""
    files = {f"data/{name}": content for name, content in samples(shared / "data")}
    files["field/graders.jsonl"] = (shared / "field/graders.jsonl").read_bytes()
    files["paper/protocol.yaml"] = yaml.safe_dump(protocol(shared), sort_keys=False, width=120).encode()
    files["design/pins.yaml"] = yaml.safe_dump(pins(shared), sort_keys=False, width=120).encode()
    files["paper/reported.json"] = (json.dumps(reported(shared), indent=1) + "\n").encode()
    return files


def main() -> None:
    """Write the sample's files into its folder."""
    for name, content in carried(Path(sys.argv[1])).items():
        path = HERE / "sample" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{len(content):9,}  {name}")


if __name__ == "__main__":
    main()
