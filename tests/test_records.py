"""Grades summed into results: the values and bytes that shares have; tests/test_measures.py has the other kinds."""

import math

import pytest

from kit.benchmarks._results import results
from kit.measures import Measure
from kit.records import Grade, dump_line


def test_results():
    grades = [
        Grade(id="a", scores={"prompts": [1, 1], "instructions": [2, 2]}),
        Grade(id="b", scores={"prompts": [0, 1], "instructions": [0, 1]}, reason="broken: x"),
        Grade(id="c", scores={"prompts": [0, 1], "instructions": [1, 2]}, reason="broken: y"),
    ]
    measures = {name: Measure(counts=name) for name in ("prompts", "instructions")}
    failures = {"broken: x": 1, "broken: y": 1}
    # 1/3 over three prompts: sqrt(1/3 * 2/3 / 3); the instructions as above; n counts units
    prompts = {"metric": "prompts", "value": 1 / 3, "stderr": math.sqrt(2 / 27), "n": 3, "unit": "prompts"}
    instructions = {"metric": "instructions", "value": 0.6, "stderr": math.sqrt(1.04) / 5, "n": 5}
    found = results(grades, measures)
    assert [row.to_json() for row in found] == [
        prompts | {"stderr": pytest.approx(prompts["stderr"]), "failures": failures},
        instructions | {"stderr": pytest.approx(instructions["stderr"]), "unit": "instructions", "failures": failures},
    ]


def test_nothing_judged_is_said():
    with pytest.raises(ValueError, match=r"^nothing was judged for a$"):
        results([], {"a": Measure()})


def test_a_metric_that_no_measure_has_is_said():
    with pytest.raises(ValueError, match=r"^grades have the metric b, which is not among a$"):
        results([Grade(id="x", scores={"a": [1, 1], "b": [1, 1]})], {"a": Measure()})


def test_the_bytes_of_a_share():
    # artifacts of earlier runs stay what a run today would write
    (found,) = results([Grade(id="a", scores={"m": [1, 1]}), Grade(id="b", scores={"m": [0, 1]})], {"m": Measure()})
    assert dump_line(found.to_json()) == (
        '{"failures":{},"metric":"m","n":2,"stderr":0.3535533905932738,"unit":"items","value":0.5}\n'
    )
