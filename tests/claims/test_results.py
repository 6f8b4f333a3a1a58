"""Verdicts on a store's results: paired over items, then over seeds or bases, of claims of every kind."""

import math
import statistics
from collections.abc import Mapping
from pathlib import Path

import pytest
from scipy import stats

from kit.catalogue.claims import Claim, Quoted
from kit.catalogue.views import measures_of
from kit.claims import Judgement, claims_of, on_results
from kit.claims.stored import stored_grids, table_names
from kit.errors import RequestError
from kit.plan.planning import plan_tables
from kit.report import Grid, make_grid
from kit.store import Job, Store
from tests.claims.filling import (
    IFEVAL,
    LARGE,
    SMALL,
    Answers,
    Scores,
    answered,
    claim_on,
    commit,
    fill,
    judged,
    new_store,
    own_manifest,
    seeded,
)

CLAIMS = {claim.id: claim for claim in claims_of()}


def test_every_claim_has_a_verdict(ahead: tuple[dict[str, Judgement], list[Grid], Store]):
    found = ahead[0]
    assert set(found) == set(CLAIMS)
    assert found["evol-instruct-llama"].verdict == "holds"
    assert {one.verdict for one in found.values() if "table-1" not in one.claim.tables()} == {"cannot tell"}


def test_bases_show_the_spread_where_there_is_one_seed(ahead: tuple[dict[str, Judgement], list[Grid], Store]):
    found = ahead[0]["evol-instruct-llama"]
    assert found.evidence.test in ("items, t test",)
    assert found.value == pytest.approx(30, abs=5)
    assert "one on each side, or all agree; the bases show that between runs (t test p < 0.001)" in found.why
    assert found.evidence.n == 6


def test_a_table_that_is_not_there_is_named(ahead: tuple[dict[str, Judgement], list[Grid], Store]):
    found = ahead[0]
    assert found["auto-evol-instruct"].why == "table-4: the store has no number of it"
    assert found["cost"].why == "no table of the kit measures it"
    assert found["text-seeds-alpaca"].why == "it speaks of the paper's own data sets alone"
    assert found["three-scenarios"].verdict == "cannot tell"


WHOLE_TABLES: dict[str, tuple[float, float, str]] = {
    "reversed": (0.3, 0.7, "does not hold"),
    "alike": (0.5, 0.5, "cannot tell"),
}


@pytest.mark.parametrize("small, large, verdict", WHOLE_TABLES.values(), ids=list(WHOLE_TABLES))
def test_verdicts_follow_the_results(small: float, large: float, verdict: str, tmp_path: Path):
    found, _, _ = judged(tmp_path, ["1"], answered(small, large))
    assert found["evol-instruct-llama"].verdict == verdict


def test_three_bases_with_one_seed_tell_nothing(tmp_path: Path):
    found, _, _ = judged(tmp_path, ["4"], answered(0.9, 0.2))
    assert found["auto-evol-instruct"].verdict == "cannot tell"
    assert found["every-cell-auto-evol-instruct"].verdict == "holds"


def test_cells_that_are_missing_are_counted(tmp_path: Path):
    def without_mbpp(job: Job, at: Mapping[str, object]) -> Mapping[str, Scores]:
        return {} if job.params["benchmark"] == "mbpp" else answered(0.7, 0.4)(job, at)

    found, _, _ = judged(tmp_path, ["4"], without_mbpp)
    assert found["auto-evol-instruct"].why == (
        "6 of its 48 numbers of table-4 are not computed; `kit reproduce table-4` computes them"
    )
    assert found["auto-evol-following"].verdict == "cannot tell"
    assert "ahead on" not in found["auto-evol-following"].why
    assert found["auto-evol-following"].value is not None  # IFEval's cells are all there


# several seeds, curves, rows that are scored, counts


def test_several_seeds_add_their_spread(tmp_path: Path):
    plan, store = own_manifest(tmp_path, "[42, 43]"), new_store(tmp_path)
    # SMALL 60 and 64, 50 and 58; LARGE 50 and 50, 40 and 44: differences 12, 12
    seeded(plan, store, {SMALL: [[60, 64], [50, 58]], LARGE: [[50, 50], [40, 44]]})
    (name,) = plan.tables
    (found,) = on_results([claim_on(name, ["base"])], [make_grid(name, plan, store)], store, [])
    # pooled: SMALL (8 + 32) / 2 = 20, LARGE (0 + 8) / 2 = 4, each over 2 seeds and 2 bases
    variance = (20 / 2 + 4 / 2) / 2
    assert f"training seeds add SE {math.sqrt(variance):.2f}" in found.why
    assert found.value == pytest.approx(12.0)
    assert found.evidence.test == "items and seeds, exact sign test"
    assert (found.verdict, found.evidence.p) == ("cannot tell", pytest.approx(0.5))  # 2 bases: 2 of 4 ways of signs
    # items: d_i = mean over bases and seeds of SMALL minus LARGE
    each = [
        [
            statistics.fmean([(n < a) - (n < b) for a, b in zip(s, big, strict=True)])
            for s, big in (((60, 64), (50, 50)), ((50, 58), (40, 44)))
        ]
        for n in range(100)
    ]
    items = 100 * statistics.stdev(map(statistics.fmean, each)) / 10
    assert f"SE {items:.2f}" in found.why
    total = math.sqrt(items**2 + variance)
    # 100 items; each side has two cells of two seeds, which are 2 degrees of freedom
    half = stats.t.ppf(0.975, total**4 / (items**4 / 99 + variance**2 / 2)) * total
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((12 - half, 12 + half))


TOGETHER = {
    # SMALL's two seeds on each of two benchmarks; LARGE's are alike. 60 and 64 spread by sqrt(8), over two seeds and
    # two bases by sqrt(2); the benchmarks counted as independent, which made it 1
    "a seed that lifts both benchmarks": ([60, 64], [60, 64], math.sqrt(8 / 2 / 2)),
    "seeds that nearly exchange them": ([60, 64], [65, 62], math.sqrt(0.125 / 2 / 2)),
    "one benchmark alone": ([60, 64], [62, 62], math.sqrt(2 / 2 / 2)),
}


@pytest.mark.parametrize("gsm8k, humaneval, stderr", TOGETHER.values(), ids=list(TOGETHER))
def test_the_columns_of_one_model_rise_and_fall_together(
    gsm8k: list[int], humaneval: list[int], stderr: float, tmp_path: Path
):
    plan, store = own_manifest(tmp_path, "[42, 43]", ["gsm8k", "humaneval"]), new_store(tmp_path)
    for benchmark, right in (("gsm8k", gsm8k), ("humaneval", humaneval)):
        seeded(plan, store, {SMALL: [right, right], LARGE: [[50, 50], [50, 50]]}, benchmark)
    (name,) = plan.tables
    (found,) = on_results([claim_on(name, ["base"])], [make_grid(name, plan, store)], store, [])
    assert f"training seeds add SE {stderr:.2f}" in found.why


def test_seeds_whose_sums_differ_by_rounding_agree(tmp_path: Path):
    plan = own_manifest(tmp_path, "[42, 43]", ["gsm8k", "humaneval", "mbpp"])
    store = new_store(tmp_path)
    # 56 of 300 right by either seed; thirds of the parts, added up, differ in the last bit
    for benchmark, right in (("gsm8k", [1, 3]), ("humaneval", [22, 20]), ("mbpp", [33, 33])):
        seeded(plan, store, {SMALL: [right, right], LARGE: [[1, 1], [1, 1]]}, benchmark)
    (name,) = plan.tables
    (found,) = on_results([claim_on(name, ["base"])], [make_grid(name, plan, store)], store, [])
    assert "no spread between training seeds is known" in found.why


def test_one_run_on_each_side_tells_nothing(tmp_path: Path):
    plan, store = own_manifest(tmp_path, "42"), new_store(tmp_path)
    seeded(plan, store, {SMALL: [[90], [90]], LARGE: [[10], [10]]})
    (name,) = plan.tables
    grid = make_grid(name, plan, store)
    (found,) = on_results([claim_on(name, [], "whole")], [grid], store, [])
    assert found.verdict == "cannot tell"  # two cells are no six
    assert found.value == pytest.approx(80.0)


def scored(values: Mapping[str, float], rows: int = 50) -> Answers:
    """Return scores of rows about a mean for each evolver, alike on both sides but for the mean."""

    def answers(job: Job, at: Mapping[str, object]) -> Mapping[str, Scores]:
        metric = {
            "diversity": "neighbour_distance",
            "token_prob": "token_prob",
            "difficulty_score": "difficulty_score",
            "trajectory": "trajectory_keywords",
        }[str(job.params["metric"])]
        evolver = str(at.get("evolver"))
        return {f"{at.get('seeds')}/{n}": {metric: (values[evolver] + (n % 5) / 100, 1.0)} for n in range(rows)}

    return answers


CURVES: dict[str, tuple[str, str, Mapping[str, float], str]] = {
    "further apart": ("figure-4", "diversity-distance", {SMALL: 0.5, LARGE: 0.4}, "holds"),
    "nearer": ("figure-4", "diversity-distance", {SMALL: 0.4, LARGE: 0.5}, "does not hold"),
    "flatter": ("figure-5", "probability-flatter", {SMALL: 0.6, LARGE: 0.7}, "holds"),
}


@pytest.mark.parametrize("table, id, values, verdict", CURVES.values(), ids=list(CURVES))
def test_claims_on_curves_are_told_by_the_numbers_beside_them(
    table: str, id: str, values: Mapping[str, float], verdict: str, tmp_path: Path
):
    found, _, _ = judged(tmp_path, [table], scored(values))
    assert found[id].verdict == verdict
    assert found[id].evidence.test == "items"  # nothing is tuned, so no seed is missing
    assert abs(found[id].value or 0.0) == pytest.approx(0.1)


FEW = {
    # five rows that all agree: 2 / 2^5 = 0.06, whatever their spread
    "five rows": (5, "cannot tell", "5 items, SE 0.000; items p = 0.062"),
    "six rows": (6, "holds", "6 items, SE 0.000; items p = 0.031"),
    "one row": (1, "cannot tell", "1 item, SE 0.000; one item of a kind shows no spread"),
}


@pytest.mark.parametrize("rows, verdict, why", FEW.values(), ids=list(FEW))
def test_a_few_items_decide_nothing_though_all_agree(rows: int, verdict: str, why: str, tmp_path: Path):
    found, _, _ = judged(tmp_path, ["figure-4"], scored({SMALL: 0.5, LARGE: 0.4}, rows))
    assert found["diversity-distance"].verdict == verdict
    assert found["diversity-distance"].why == f"1 of 1 cells are ahead; paired over {why}"


def test_difficulty_is_paired_by_row(tmp_path: Path):
    # all rows of one side are 8 above those of the other: no row tells another story, and nothing is left to chance
    found, _, _ = judged(tmp_path, ["13"], scored({SMALL: 48.0, LARGE: 40.0, "None": 30.0}))
    one = found["complexity-score"]
    assert (one.verdict, one.value) == ("holds", pytest.approx(8.0))
    assert one.interval is not None and one.interval.high - one.interval.low == pytest.approx(0.0, abs=1e-9)
    assert found["complexity-score-everywhere"].verdict == "holds"


def labelled(share: float) -> Answers:
    def answers(job: Job, at: Mapping[str, object]) -> Mapping[str, Scores]:
        names = ("very_easy", "easy", "medium", "hard", "very_hard", "very_hard_share")
        hard = round(200 * share)
        return {
            f"r{n}": {
                name: (float((name.startswith("very_hard") and n < hard) or (name == "easy" and n >= hard)), 1.0)
                for name in names
            }
            for n in range(200)
        }

    return answers


SHARES = {"nearly": (0.665, "cannot tell"), "far below": (0.3, "does not hold")}


@pytest.mark.parametrize("share, verdict", SHARES.values(), ids=list(SHARES))
def test_a_quoted_share_has_an_interval_here(share: float, verdict: str, tmp_path: Path):
    found, _, _ = judged(tmp_path, ["figure-2"], labelled(share))
    one = found["complexity-very-hard-share"]
    assert (one.verdict, one.value) == (verdict, pytest.approx(100 * share))
    assert one.why.startswith("wanted 63 to 70, found ")


GAPS = {
    # 40 points, of 100 items that differ in 40: SE 4.9 points
    "one seed": (
        "[42]",
        40.0,
        False,
        {SMALL: [[90], [90]], LARGE: [[50], [50]]},
        "cannot tell",
        "no spread between training seeds is known: one on each side, or all agree; take several seeds",
    ),
    "one seed, far from it": (
        "[42]",
        2.0,
        False,
        {SMALL: [[90], [90]], LARGE: [[50], [50]]},
        "cannot tell",
        "take several",
    ),
    # with few items that happens, and their spread counted as a known 0
    "seeds that agree": (
        "[42, 43]",
        2.0,
        False,
        {SMALL: [[90, 90]] * 2, LARGE: [[50, 50]] * 2},
        "cannot tell",
        "all a",
    ),
    # 80 points between the sides, seeds that spread by one
    "seeds that hardly differ": (
        "[42, 43]",
        2.0,
        False,
        {SMALL: [[90, 91]] * 2, LARGE: [[10, 11]] * 2},
        "does not hold",
        "",
    ),
    # 40 points between two seeds: an error of 20, with hardly more than one degree of freedom
    "seeds that differ": ("[42, 43]", 2.0, False, {SMALL: [[60, 100]] * 2, LARGE: [[50, 50]] * 2}, "cannot tell", ""),
    "a part of nothing": ("[42]", 2.0, True, {SMALL: [[90]] * 2, LARGE: [[0]] * 2}, "cannot tell", "a number is 0"),
}


@pytest.mark.parametrize("seeds, wanted, relative, rights, verdict, why", GAPS.values(), ids=list(GAPS))
def test_a_quoted_difference_of_tuned_models_takes_several_seeds(
    seeds: str,
    wanted: float,
    relative: bool,
    rights: Mapping[str, list[list[int]]],
    verdict: str,
    why: str,
    tmp_path: Path,
):
    # items alone decided, though one training run on each side decides nothing
    plan, store = own_manifest(tmp_path, seeds), new_store(tmp_path)
    seeded(plan, store, rights)
    (name,) = plan.tables
    side = {"table": name, "better": {"evolver": SMALL}, "worse": {"evolver": LARGE}}
    quoted = Quoted.model_validate(
        {"value": wanted, "unit": "points", "gap": {"of": [side], "column": "gsm8k", "relative": relative}}
    )
    claim = Claim(id="own", says="It is so.", where="1", known_from="text", family="text", quoted=quoted)
    (found,) = on_results([claim], [make_grid(name, plan, store)], store, [])
    assert found.verdict == verdict
    assert why in found.why


def outcomes(win: int, lose: int) -> Answers:
    def answers(job: Job, at: Mapping[str, object]) -> Mapping[str, Scores]:
        rows = {}
        for n in range(100):
            kind = "win" if n < win else "lose" if n < win + lose else "tie"
            rows[f"p{n}"] = {f"alpacafarm_{name}": (float(name == kind), 1.0) for name in ("win", "tie", "lose")}
        return rows

    return answers


# 2 * P(X >= 60 of 90): 0.002; of 52 and 48: 0.76
OUTCOMES = {"ahead": (60, 30, "holds"), "level": (52, 48, "cannot tell"), "behind": (20, 70, "does not hold")}


@pytest.mark.parametrize("win, lose, verdict", OUTCOMES.values(), ids=list(OUTCOMES))
def test_outcomes_of_prompts(win: int, lose: int, verdict: str, tmp_path: Path):
    found, _, _ = judged(tmp_path, ["figure-7"], outcomes(win, lose))
    assert found["selection-wins-all"].verdict == verdict


def test_the_constraints_of_each_side_are_counted_on_the_way(tmp_path: Path):
    plan, store = plan_tables(["3"], "paper"), new_store(tmp_path)
    one = {evolver: next(a for a in plan.cells["table-3"] if a.at["evolver"] == evolver) for evolver in (SMALL, LARGE)}
    rows = {SMALL: 70, LARGE: 30}
    for key in plan.needs(key for address in one.values() for key in address.keys):
        job = plan.jobs[key]
        kept = rows[SMALL if SMALL in job.id else LARGE] if job.params.get("step") == "cross_check" else 1
        if job.stage == "grade":
            items = {"a": {name: (1.0, float(units)) for name, units in IFEVAL.items()}}
            commit(store, job, "ifeval", items)
        else:
            with store.lock(key), store.scratch(key) as out:
                store.commit(job, out, rows=kept, facts={}, provenance={})
    (found,) = on_results([CLAIMS["diversity-constraints"]], [make_grid("table-3", plan, store)], store)
    assert found.why == "70 against 30 constraints; exact binomial p < 0.001"
    assert found.verdict == "holds"


# what can't be read


def every_metric(job: Job, at: Mapping[str, object]) -> Mapping[str, Scores]:
    """Return three items with all metrics of a benchmark or metric that need no groups; others stay undone."""
    name = str(job.params.get("benchmark") or job.params["metric"])
    measures = measures_of(name)
    if any(measure.kind == "mean over groups" for measure in measures.values()):
        return {}
    low = {id: measure.lowest or 0.0 for id, measure in measures.items()}
    bits = [(n + len(str(at))) % 2 for n in range(3)]
    return {f"{at.get('seeds')}/{n}": {id: (low[id] + bit, 1.0) for id in measures} for n, bit in enumerate(bits)}


def test_all_tables_of_a_small_scale_can_be_judged(tmp_path: Path):
    # nobody plays some of the bases there, so their rows are left out: no claim on them may end the command
    found, _, _ = judged(tmp_path, ["all"], every_metric, "smoke")
    assert set(found) == set(CLAIMS)
    assert len([one for one in found.values() if one.value is not None]) > 30
    assert found["diversity-constraints"].why == (
        "the rows that step cross_check of evolution kept are not in the store"
    )
    assert [one.claim.id for one in found.values() if one.why.startswith("not every cell is in the table")] == [
        "sizes-rise",
        "text-followbench-gain",
    ]


def test_grids_of_a_store(tmp_path: Path):
    plan, store = plan_tables(["4"], "smoke"), new_store(tmp_path)
    fill(store, plan, answered(0.7, 0.4))
    scale, grids = stored_grids(claims_of(), store, "smoke")
    assert scale == "smoke"
    assert "table-4" in [grid.name for grid in grids]


def test_a_store_without_numbers_has_no_tables(tmp_path: Path):
    assert stored_grids(claims_of(), new_store(tmp_path), "smoke") == ("smoke", [])


def test_names_of_tables():
    claims = [CLAIMS["autoif"], CLAIMS["diversity-distance"]]
    assert table_names(["3", "figure-4"], claims) == ["table-3", "figure-4"]
    with pytest.raises(RequestError) as refused:
        table_names(["6"], claims)
    assert str(refused.value) == ("no claim is about a table named '6'; there are claims about figure-4, table-3")
