"""``kit claims``: what it prints with and without a store, and the page that it makes."""

import json
from pathlib import Path

import pytest

from kit.catalogue.claims import read_claims
from kit.claims import claims_of, on_printed, page
from kit.plan.planning import plan_tables
from tests.claims.filling import answered, fill, new_store
from tests.conftest import Kit

PAGE = Path(__file__).resolve().parents[2] / "docs" / "claims.md"
BEGIN, END = "<!-- kit claims --markdown -->\n", "<!-- end -->\n"


def test_without_a_store_the_printed_numbers_are_judged(kit: Kit):
    code, out, err = kit("claims")
    assert (code, err) == (0, "")
    assert "yours" not in out
    words = " ".join(out.split())
    assert "does not hold" in words
    assert "Do the smaller evolver's data tune better models, in each scenario?" in words.replace("  ", " ")
    count = len(claims_of())
    assert f"On the printed numbers: {count} claims: " in words
    assert words.endswith("p values after Holm within each family of claims; docs/claims.md says how to read them.")


def test_claims_about_one_table(kit: Kit):
    code, out, _ = kit("claims", "table-14")
    assert code == 0
    assert "On the printed numbers: 2 claims: 0 hold, 1 do not, 1 can't be told." in out


def test_one_document(kit: Kit):
    code, out, _ = kit("claims", "--json")
    document = json.loads(out)
    assert (code, document["schema"], document["scale"]) == (0, 1, None)
    assert [one["id"] for one in document["claims"]] == [claim.id for claim in claims_of()]
    assert {one["results"] is None for one in document["claims"]} == {True}
    first = document["claims"][0]["printed"]
    assert set(first["interval"]) == {"low", "high", "confidence"}
    assert (first["verdict"], first["n"], first["of"], first["family_tests"]) == ("holds", 6, "bases", 4)


def test_beside_a_store_both_verdicts_stand(kit: Kit, tmp_path: Path):
    plan, store = plan_tables(["4"], "smoke"), new_store(tmp_path)
    fill(store, plan, answered(0.7, 0.4))
    code, out, _ = kit("claims", "4", "--scale", "smoke")  # the default folder, store
    assert code == 0
    assert "yours" in out
    assert "On your results at scale smoke: 7 claims: " in out
    assert "Other models play the paper's at this scale: these verdicts are about the players." in out
    code, out, _ = kit("claims", "--json", "--scale", "smoke", "--store", "store")
    document = json.loads(out)
    verdicts = {one["id"]: one["results"]["verdict"] for one in document["claims"]}
    assert document["scale"] == "smoke"
    assert verdicts["every-cell-auto-evol-instruct"] == "holds"
    assert verdicts["auto-evol-instruct"] == "cannot tell"


def test_a_store_without_numbers_is_refused_where_it_was_named(kit: Kit, tmp_path: Path):
    store = new_store(tmp_path)
    missing = f"store {store.root}: no number at scale smoke of a table that a claim is about; name the run's --scale"
    code, out, err = kit("claims", "--scale", "smoke")  # ./store, which nobody named
    assert (code, "yours" in out) == (0, False)
    assert err == f"note: {missing}; judged are the printed numbers alone\n"
    other = new_store(tmp_path / "other")
    code, out, err = kit("claims", "--scale", "smoke", "--store", str(other.root))
    assert (code, out, err) == (2, "", f"error: {missing.replace(str(store.root), str(other.root))}\n")


REFUSED = {
    "two forms": (("--json", "--markdown"), "--json and --markdown are two forms of one answer; name one of them"),
    "no store": (
        ("--store", "none"),
        "store {folder}/none: no store there; name the folder that a run wrote with --store",
    ),
    "a table that is not there": (("16",), "no claim is about a table named '16'; there are claims about figure-2, "),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=list(REFUSED))
def test_wrong_requests(words: tuple[str, ...], message: str, kit: Kit, tmp_path: Path):
    code, out, err = kit("claims", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: " + message.format(folder=tmp_path))


def test_the_page_has_what_the_command_prints(kit: Kit):
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition(BEGIN)[2].partition(END)[0]
    code, out, _ = kit("claims", "--markdown")
    assert code == 0
    assert shown == out, "`kit claims --markdown` prints another table: put it between the page's two comments"


def test_the_summary_names_what_a_stricter_correction_takes():
    found = on_printed(claims_of(["table-1"]))
    lines = page.summary(found)
    assert len(lines) == 2
    assert "these become cannot tell: evol-instruct-llama (p = 0." in lines[1]
    assert page.summary([one for one in found if one.family_p is None])[1:] == []


def test_markdown_has_a_table_for_each_family():
    file = read_claims()
    text = page.markdown(on_printed(file.claim, file.claim), file.families)
    assert [line[4:] for line in text.splitlines() if line.startswith("### ")] == [
        file.families[name] for name in dict.fromkeys(claim.family for claim in file.claim)
    ]
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) == len(file.claim)
    assert {line.count(" | ") for line in rows} == {6}
