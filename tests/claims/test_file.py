"""manifests/claims.toml covers the paper, and what is wrong in such a file is said before anything is judged."""

import re
from pathlib import Path

import pytest

from kit.catalogue import paper
from kit.catalogue.claims import Claim, read_claims, scalars_of
from kit.claims import claims_of
from kit.errors import RequestError

CLAIMS = claims_of()
SETTINGS = {"table-6", "table-7"}
"""Tables that print how models were trained: `kit verify` compares them, and no finding is in them."""
DRAWN = {"figure-1": "table 10", "figure-3": "table 11"}
"""Figures that draw a table, whose numbers decide the claims on both."""


def test_every_printed_table_and_figure_decides_a_claim():
    read = {table for claim in CLAIMS for table in claim.tables()}
    missing = [name for name in paper.names() if name not in read | SETTINGS | set(DRAWN)]
    assert missing == []
    for figure, table in DRAWN.items():
        assert any(f"{table}, {figure.replace('-', ' ')}" in claim.where for claim in CLAIMS)
    assert all(paper.table(name).prints_settings for name in SETTINGS)


def test_every_number_of_the_text_is_in_a_claim():
    assert {id for claim in CLAIMS for id in scalars_of(claim)} == set(paper.scalars())


def test_every_figure_whose_sentence_is_known_is_a_claim_of_its_own():
    stated = {name for name in paper.names() if paper.table(name).claim}
    assert stated == {"figure-4", "figure-5"}
    assert {claim.tables()[0] for claim in CLAIMS if claim.tables()[:1] and claim.tables()[0] in stated} == stated


def test_every_family_has_a_claim_and_every_sentence_stands_alone():
    file = read_claims()
    assert {claim.family for claim in file.claim} == set(file.families)
    assert [claim.says for claim in CLAIMS if not re.match(r"[A-Z].*\.$", claim.says)] == []
    assert [claim.says for claim in CLAIMS if re.match(r"(It|They|This|These|The same)\b", claim.says)] == []
    assert len({claim.says for claim in CLAIMS}) == len(CLAIMS)


TABLES: dict[str, tuple[list[str], set[str]]] = {
    # the joint claim on three scenarios comes along
    "one": (
        ["table-4"],
        {
            "auto-evol-instruct",
            "three-scenarios",
            "every-base-auto-evol-instruct",
            "every-cell-auto-evol-instruct",
            "auto-evol-following",
            "auto-evol-mathematics",
            "auto-evol-code",
        },
    ),
    "of curves": (["figure-4"], {"diversity-distance"}),
    "none": (["table-6"], set()),
}


@pytest.mark.parametrize("tables, ids", TABLES.values(), ids=list(TABLES))
def test_claims_of_some_tables(tables: list[str], ids: set[str]):
    assert {claim.id for claim in claims_of(tables)} == ids


HEAD = 'schema = 1\n[families]\na = "Is it so?"\n'
ONE = '[[claim]]\nid = "x"\nsays = "It is so."\nwhere = "1"\nknown_from = "text"\nfamily = "a"\n'
SIDE = '{ table = "table-1", better = { evolver = "e" }, worse = { evolver = "f" } }'
AVERAGE = f'average = {{ of = [{SIDE}], over = ["base"] }}\n'
NOT_PRINTED = 'not_printed = { reason = "none" }\n'
KINDS = "average, everywhere, outcomes, rises, same_order, quoted, counts, all_of, not_printed"

WRONG: dict[str, tuple[str, str]] = {
    "a claim without a check": (ONE, f"claims.toml: claim[0]: wanted one of {KINDS}; found none"),
    "two checks": (
        ONE + AVERAGE + NOT_PRINTED,
        f"claims.toml: claim[0]: wanted one of {KINDS}; found average and not_printed",
    ),
    "an id twice": (
        ONE + NOT_PRINTED + ONE + NOT_PRINTED,
        "claims.toml: claim[1].id: 'x' stands twice; ids must differ",
    ),
    "a family": (
        ONE.replace('family = "a"', 'family = "b"') + NOT_PRINTED,
        "claims.toml: claim[0].family: no family named 'b'; known: a",
    ),
    "a table": (
        ONE + AVERAGE.replace("table-1", "tabel-1"),
        "claims.toml: claim[0]: x: no table named 'tabel-1'; did you mean 'table-1'?",
    ),
    "a number": (
        ONE + 'quoted = { scalar = "autoif_training_item", product = [420.0, 16.0] }\n',
        "claims.toml: claim[0]: x: no number of scalars.toml named 'autoif_training_item'; did you mean "
        "'autoif_training_items'?",
    ),
    "a part": (
        ONE + NOT_PRINTED + ONE.replace('"x"', '"y"') + 'all_of = ["x", "xx"]\n',
        "claims.toml: claim[1].all_of: no claim named 'xx'; did you mean 'x'?",
    ),
    "parts of parts": (
        "".join(
            [
                ONE + NOT_PRINTED,
                ONE.replace('"x"', '"y"') + NOT_PRINTED,
                ONE.replace('"x"', '"z"') + 'all_of = ["x", "y"]\n',
                ONE.replace('"x"', '"w"') + 'all_of = ["x", "z"]\n',
            ]
        ),
        "claims.toml: claim[3].all_of: 'z' is made of claims itself; name those",
    ),
    "one side": (
        ONE + AVERAGE.replace(', worse = { evolver = "f" }', ""),
        "claims.toml: claim[0].average.of[0]: wanted 'worse', 'against' or both: else every cell is compared with "
        "itself",
    ),
    "replicates of nothing": (
        ONE + AVERAGE.replace(', over = ["base"]', ""),
        "claims.toml: claim[0].average: replicates = 'sample' needs 'over', the axes that tell them apart; or say "
        "'whole'",
    ),
    "two ways to a number": (
        ONE + 'quoted = { value = 1.0, product = [1.0], setting = { table = "table-8", field = "n_items.alpaca" } }\n',
        "claims.toml: claim[0].quoted: wanted one of share, gap, product and setting",
    ),
    "no number": (
        ONE + "quoted = { product = [1.0] }\n",
        "claims.toml: claim[0].quoted: wanted one of scalar and value",
    ),
    "a step of nothing": (
        ONE + 'counts = { more = "autoif_constraints_slm", fewer = "autoif_constraints_llm", step = "join" }\n',
        "claims.toml: claim[0].counts: 'of' and 'step' belong together",
    ),
}


@pytest.mark.parametrize("text, message", WRONG.values(), ids=list(WRONG))
def test_a_wrong_file_is_refused(text: str, message: str, tmp_path: Path):
    path = tmp_path / "claims.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(RequestError) as refused:
        read_claims(path)
    assert str(refused.value) == message


def test_a_claim_of_another_file_is_read(tmp_path: Path):
    path = tmp_path / "claims.toml"
    path.write_text(HEAD + ONE + AVERAGE, encoding="utf-8")
    (claim,) = read_claims(path).claim
    assert (claim.kind, claim.tables(), claim.columns()) == ("average", ["table-1"], None)
    assert isinstance(claim, Claim)
