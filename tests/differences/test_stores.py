"""``kit diff`` of two stores, of two gradings and of two manifests: what it prints, its exit code, damaged stores."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.plan.planning import plan_tables
from kit.store import Job, Store
from tests.differences.made_stores import RIGHT, commit, grades, jsonl, make_run

Kit = Callable[..., tuple[int, str, str]]
WORDS = [f"text {n}" for n in range(8)]
OTHER = ["\x1b[31mred", "two\nlines", *WORDS[2:]]


def test_a_seed_names_its_stage_and_the_items_turn(kit: Kit, tmp_path: Path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", seeds={"sft": 43}, rows=grades((0, 1, *RIGHT[2:])), words=OTHER)
    assert kit("diff", "a", "b") == (
        0,
        "A: a\n"
        "B: b\n"
        "1 grading compared, 0 of them the same, byte for byte\n"
        "\n"
        "First stage that differs:\n"
        "  sft: params.seed 42 -> 43 (1 job: sft/small)\n"
        "\n"
        "Cells that moved (paired over items, Holm over 1 cell):\n"
        "  within noise: grade/gsm8k/small, GSM8K\n"
        "      50.00 -> 50.00, +0.00 points ±18.9 over 8 items: 1 wrong -> right, 1 right -> wrong; "
        "p = 1 after Holm (exact McNemar 1)\n"
        "\n"
        "Items that turned:\n"
        "  grade/gsm8k/small\n"
        "    0: right -> wrong (GSM8K)\n"
        '      A: "text 0"\n'
        '      B: "\\x1b[31mred"\n'
        "    1: wrong -> right (GSM8K)\n"
        '      A: "text 1"\n'
        '      B: "two\\nlines"\n'
        "\n"
        "1 of 1 cell moved, 0 beyond noise (p < 0.05 after Holm).\n",
        "",
    )


def test_a_move_beyond_noise_ends_with_1(kit: Kit, tmp_path: Path):
    make_run(tmp_path / "a", rows=grades([1] * 6))
    make_run(tmp_path / "b", seeds={"sft": 43}, rows=grades([0] * 6))
    code, out, _ = kit("diff", "a", "b", "--items", "1")
    assert code == 1
    assert "  beyond noise: grade/gsm8k/small, GSM8K\n      100.00 -> 0.00, -100.00 points ±0.0 over 6 items" in out
    assert out.endswith(
        "5 more turned; --items 6 shows all 6, --json has them too\n\n"
        "1 of 1 cell moved, 1 beyond noise (p < 0.05 after Holm).\n"
    )
    code, out, _ = kit("diff", "a", "b", "--json")
    found = json.loads(out)
    assert [found["cells"][0].pop(name) for name in ("p", "p_holm")] == pytest.approx([2 / 2**6] * 2)
    assert (code, found["exit_code"], len(found["turned"])) == (1, 1, 6)
    assert found["cells"][0] | {"risen": [], "fallen": []} == {
        "id": "grade/gsm8k/small",
        "metric": "gsm8k",
        "unit": "percent",
        "items": 6,
        "n": 6,
        "A": 100.0,
        "B": 0.0,
        "difference": -100.0,
        "stderr": 0.0,
        "risen": [],
        "fallen": [],
        "test": "exact McNemar",
        "verdict": "beyond noise",
    }
    assert found["stages"][0]["changes"][0]["what"] == "params.seed"
    assert found["turned"][0]["scores"] == {"GSM8K": [[1.0, 1], [0.0, 1]]}


def test_the_same_bytes(kit: Kit, tmp_path: Path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b")
    assert kit("diff", "a", "b") == (
        0,
        "A: a\nB: b\n1 grading compared, 1 of them the same, byte for byte\n\n"
        "Nothing moved: 1 grading the same, byte for byte.\n",
        "",
    )


def test_bytes_that_are_no_longer_those_of_the_head_are_not_called_the_same(kit: Kit, tmp_path: Path):
    make_run(tmp_path / "a")
    keys = make_run(tmp_path / "b")
    path = tmp_path / "b" / "artifacts" / keys["grade"] / "grades.jsonl"
    path.write_bytes(path.read_bytes() + b"\n")
    for _ in range(2):
        code, out, _ = kit("diff", "a", "b")
        assert (code, f"cannot compare: {path}" in out, "1 of them the same" in out) == (3, True, False)
        path.unlink(missing_ok=True)


def test_items_of_other_sets_and_gradings_of_one_side_are_counted(kit: Kit, tmp_path: Path):
    make_run(tmp_path / "a", rows=[*grades(RIGHT), *grades((1, 1), first=20)])
    make_run(tmp_path / "a", name="first")
    make_run(tmp_path / "b", rows=[*grades(RIGHT), *grades((1,), first=7)])
    make_run(tmp_path / "b", name="last")
    code, out, _ = kit("diff", "a", "b")
    assert code == 0
    assert "only in A: 1 grading: grade/gsm8k/first\nonly in B: 1 grading: grade/gsm8k/last\n" in out
    assert "grade/gsm8k/small: items left out: 3 only in A, 1 more than once in B\n" in out
    assert "\n1 cell did not move\n" in out


def test_the_latest_grading_of_an_id_counts(kit: Kit, tmp_path: Path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", seeds={"sft": 44}, rows=grades([0] * 8), started="2026-01-02T00:00:00+00:00")
    make_run(tmp_path / "b", seeds={"sft": 43}, started="2026-01-03T00:00:00+00:00")
    make_run(tmp_path / "b", seeds={"sft": 45}, rows=grades([0] * 8), started="2026-01-01T00:00:00+00:00")
    code, out, _ = kit("diff", "a", "b")
    assert (code, "sft: params.seed 42 -> 43" in out) == (0, True)
    assert "B: 2 gradings left out: of one id the latest counts\n" in out


def test_a_part_that_can_not_be_read_ends_with_3(kit: Kit, tmp_path: Path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "a", name="other")
    keys = make_run(tmp_path / "b", rows=grades([0] * 8))
    make_run(tmp_path / "b", name="other")
    folder = tmp_path / "b" / "artifacts" / keys["grade"]
    (folder / "grades.jsonl").write_text("harmed")
    code, out, _ = kit("diff", "a", "b")
    fault = f"{folder}/grades.jsonl: changed (sha256 differs from the head's); remove the folder and run again"
    assert (code, f"cannot compare: {fault}\n" in out) == (3, True)
    assert out.endswith("Cannot tell: 1 grading the same, byte for byte; 1 part could not be compared.\n")
    (folder / "artifact.json").write_text("{}")
    code, out, _ = kit("diff", "a", "b")
    # its job is known from the plan, so that it is not called missing
    assert (code, "cannot compare: store " in out, "only in A" in out) == (3, True, False)
    (tmp_path / "b" / "jobs" / f"{keys['grade']}.json").unlink()
    code, out, _ = kit("diff", "a", "b")
    assert (code, "only in A: 1 grading: grade/gsm8k/small" in out) == (3, True)
    # a head that no grading has is none of the comparison's business
    make_run(tmp_path / "c", name="other")
    (tmp_path / "c" / "artifacts" / keys["fetch"] / "artifact.json").write_text("{}")
    make_run(tmp_path / "d", name="other")
    assert kit("diff", "c", "d")[0] == 0


def test_what_moved_counts_more_than_what_can_not_be_read(kit: Kit, tmp_path: Path):
    make_run(tmp_path / "a", rows=grades([1] * 8))
    keys = make_run(tmp_path / "a", name="other")
    make_run(tmp_path / "b", rows=grades([0] * 8))
    (tmp_path / "a" / "artifacts" / keys["grade"] / "artifact.json").write_text("{}")
    assert kit("diff", "a", "b")[0] == 1


def test_rows_that_are_no_grades(kit: Kit, tmp_path: Path):
    make_run(tmp_path / "a")
    keys = make_run(tmp_path / "b", rows=[{"id": "0"}])
    folder = tmp_path / "b" / "artifacts" / keys["grade"]
    code, out, _ = kit("diff", "a", "b")
    assert code == 3
    assert (
        f"cannot compare: {folder}/grades.jsonl:1: wanted 'id' and 'scores', as `kit grade --out` writes them; found "
        f"id (str); remove {folder} and run again\n"
    ) in out


def test_texts_that_are_gone(kit: Kit, tmp_path: Path):
    make_run(tmp_path / "a")
    keys = make_run(tmp_path / "b", rows=grades((0, *RIGHT[1:])))
    (tmp_path / "b" / "artifacts" / keys["answer"] / "completions.jsonl").unlink()
    code, out, _ = kit("diff", "a", "b")
    assert (code, '      A: "text 0"\n      B: (no text)\n' in out) == (0, True)


def test_two_gradings_of_one_store(kit: Kit, tmp_path: Path):
    first = make_run(tmp_path / "store", name="small")
    second = make_run(tmp_path / "store", name="large", rows=grades([0] * 8))
    for names in ((first["grade"][:12], second["grade"]), ("grade/gsm8k/small", "grade/gsm8k/large")):
        code, out, _ = kit("diff", *names)
        assert (code, out.splitlines()[4:6]) == (
            0,
            [
                "First stage that differs:",
                "  evolve: inputs.model fetch/small -> fetch/large (1 job: evolve/small/round-1; wrote "
                "the same bytes in 1 of 1)",
            ],
        )


def test_tables_are_known_by_the_ids_of_their_gradings(kit: Kit, tmp_path: Path):
    plan = plan_tables(["2"], "smoke")
    ids = {plan.jobs[key].id for cell in plan.cells["table-2"] for key in cell.keys}
    chosen = next(job for job in plan.jobs.values() if job.id in ids and job.params["benchmark"] == "gsm8k")
    for root, job, right in (
        ("a", chosen, [1] * 8),
        ("b", replace(chosen, version="grade-9.gsm8k-9"), [0] * 8),
    ):
        make_run(tmp_path / root, name="elsewhere")
        commit(Store.open(tmp_path / root), job, {"grades.jsonl": jsonl(grades(right))})
    code, out, _ = kit("diff", "a", "b", "2", "--scale", "smoke")
    assert (code, "elsewhere" in out) == (1, False)
    assert f"  grade: version {chosen.version} -> grade-9.gsm8k-9 (1 job: {chosen.id})\n" in out


def test_two_manifests_of_ones_own(kit: Kit, tmp_path: Path):
    text = (Path(__file__).parents[1] / "data" / "tiny.toml").read_text(encoding="utf-8")
    (tmp_path / "one.toml").write_text(text, encoding="utf-8")
    (tmp_path / "two.toml").write_text(text.replace("seed = 42", "seed = 43"), encoding="utf-8")
    Store.open(tmp_path / "store")
    code, _, err = kit("diff", "one.toml", "two.toml")
    assert (code, err) == (
        2,
        "nothing to compare: one.toml has no grading of 1; two.toml has no grading of 1; wanted at least one of one id "
        "in both; two gradings of other ids are compared by their keys",
    )
    from kit.plan.planning import plan_manifest

    for name, right in (("one", [1] * 8), ("two", [0] * 8)):
        plan = plan_manifest(tmp_path / f"{name}.toml")
        for job in plan.jobs.values():
            files = {"grades.jsonl": jsonl(grades(right))} if job.stage == "grade" else {"made.txt": job.key}
            if not Store(tmp_path / "store").has(job.key):
                commit(Store.open(tmp_path / "store"), job, files)
    code, out, _ = kit("diff", "one.toml", "two.toml")
    assert code == 1
    assert out.splitlines()[4:6] == [
        "First stage that differs:",
        "  evolve: params.seed 42 -> 43 (1 job: evolve/tiny/smollm2-135m-instruct/round-1)",
    ]


def test_a_store_and_a_manifest(kit: Kit, tmp_path: Path):
    from kit.plan.planning import plan_manifest

    manifest = Path(__file__).parents[1] / "data" / "tiny.toml"
    plan = plan_manifest(manifest)
    (job,) = (job for job in plan.jobs.values() if job.stage == "grade")
    for root, right in (("a", [1] * 8), ("b", [0] * 8)):
        make_run(tmp_path / root)
        commit(Store.open(tmp_path / root), job, {"grades.jsonl": jsonl(grades(right))})
    code, out, _ = kit("diff", "a", str(manifest), "--store", "b")
    assert (code, "only in A: 1 grading: grade/gsm8k/small\n" in out) == (1, True)
    assert f"  grade: the same job wrote other bytes: grades.jsonl in 8 of 8 rows (1 job: {job.id})\n" in out


def other_stage(root: Path) -> Job:
    """Commit a grading of another benchmark than the run's, and return its job."""
    job = Job(
        id="grade/ifeval/small", stage="grade", version="grade-1", environment="cpu", lock="", inputs={},
        params={"benchmark": "ifeval"},
    )  # fmt: skip
    commit(Store.open(root), job, {"grades.jsonl": jsonl(grades(RIGHT))})
    return job


def refusals(root: Path) -> dict[str, tuple[list[str], str]]:
    """Return requests that are wrong in a folder with stores a and b and a store, each with its message."""
    keys = make_run(root / "a")
    make_run(root / "b", name="other")
    make_run(root / "store")
    other = other_stage(root / "store")
    Store.open(root / "empty")
    (root / "file.jsonl").write_text("{}\n")
    wanted = (
        "wanted a store, a manifest, a file of grades or completions, or the id or key of a grading (six digits of a "
        "key at least)"
    )
    return {
        "no such thing": (["a", "nothing"], f"nothing: no such file or folder; {wanted}"),
        "a name too long": (["a", "n" * 300], f"{'n' * 197}...: File name too long; {wanted}"),
        "one store twice": (["a", "./a"], "a: is given twice; wanted two different sides"),
        "no grading in common": (
            ["a", "b"],
            "nothing to compare: a has grade/gsm8k/small; b has grade/gsm8k/other; wanted at least one of "
            "one id in both; two gradings of other ids are compared by their keys",
        ),
        "an empty store": (
            ["a", "empty"],
            "nothing to compare: a has grade/gsm8k/small; empty has no grading; wanted at least one of "
            "one id in both; two gradings of other ids are compared by their keys",
        ),
        "a store and a file": (
            ["a", "file.jsonl"],
            "a is a store, file.jsonl a file; wanted two of one kind, or a store and a manifest",
        ),
        "a table of files": (
            ["one.toml", "b", "2"],
            "2: tables go with two stores, found a manifest and a store",
        ),
        "a scale without tables": (
            ["a", "b", "--scale", "smoke"],
            "--scale smoke: goes with tables; name some, or leave it out",
        ),
        "an option of completions": (
            ["a", "b", "--benchmark", "gsm8k"],
            "--benchmark gsm8k: goes with two files of completions; leave it out",
        ),
        "a key of no grading": (
            [keys["sft"][:12], keys["grade"]],
            f"{keys['sft'][:10]}: sft/small holds no scores; wanted the key of a job of stage grade or score",
        ),
        "an id that is not there": (
            ["grade/none", keys["grade"]],
            f"store {root / 'store'}: no grading 'grade/none'; `kit store list` names them",
        ),
        "two benchmarks": (
            [keys["grade"][:12], other.key[:12]],
            f"{keys['grade'][:10]} is of gsm8k, {other.key[:10]} of ifeval; wanted two gradings of one benchmark",
        ),
    }  # fmt: skip


NAMES = (
    "no such thing", "a name too long", "one store twice", "no grading in common", "an empty store",
    "a store and a file", "a table of files", "a scale without tables", "an option of completions",
    "a key of no grading", "an id that is not there", "two benchmarks",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_requests_that_are_wrong(kit: Kit, tmp_path: Path, name: str):
    found: dict[str, Any] = refusals(tmp_path)
    assert set(found) == set(NAMES)
    words, message = found[name]
    assert kit("diff", *words) == (2, "", message)
