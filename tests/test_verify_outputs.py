"""JUnit XML read back by a parser, GitHub's lines, exit codes of `kit verify`, and requests that are wrong."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kit.check import recorded
from kit.check.findings import Checked, Finding
from kit.check.junit import annotation, annotations, junit, xml_text
from kit.check.settings import Setting
from kit.cli import main
from kit.errors import RequestError
from kit.plan.planning import plan_tables
from kit.store import Store
from tests.test_verify_recorded import fill

Run = Callable[..., tuple[int, str, str]]


def finding(check: str, verdict: str = "", *, passed: bool = True, detail: str = "why", what: str = "t, a") -> Finding:
    return Finding(check=check, table="t", what=what, passed=passed, detail=detail, verdict=verdict)


SETTING = Setting(what="table-6, epochs", passed=False, detail="3 and 2", verdict="off", ours=(3,), paper=2)
KINDS: dict[str, tuple[Checked, str, str | None]] = {
    "a check that passes": (finding("stored"), "system-out", None),
    "a check that fails": (finding("alive", passed=False), "failure", "failed"),
    "a recorded number that is off": (finding("expected", "off", passed=False), "failure", "off"),
    "a number that is missing": (finding("cell", "missing", passed=False), "failure", "missing"),
    "nothing recorded": (finding("expected", "cannot tell", passed=False), "error", "cannot tell"),
    "a match": (finding("cell", "match"), "system-out", None),
    "off in a table that is judged as a whole": (finding("cell", "off"), "skipped", "off"),
    "cannot tell in such a table": (finding("cell", "cannot tell"), "skipped", "cannot tell"),
    "a whole table": (finding("paper", "cannot tell", passed=False), "error", "cannot tell"),
    "a printed setting": (SETTING, "failure", "off"),
}


@pytest.mark.parametrize("one, kind, type_", KINDS.values(), ids=list(KINDS))
def test_junits_element_for_a_finding(one: Checked, kind: str, type_: str | None):
    (case,) = ElementTree.fromstring(junit([one])).iter("testcase")
    (element,) = case
    assert (element.tag, element.get("type"), element.text) == (kind, type_, one.detail)
    assert element.get("message") == (None if kind == "system-out" else one.detail)
    assert case.get("name") == f"{one.check}: {one.what}"


def test_a_suite_for_each_table_with_its_counts():
    root = ElementTree.fromstring(junit([one for one, _, _ in KINDS.values()]))
    names = ("name", "tests", "failures", "errors", "skipped")
    assert [[suite.get(name) for name in names] for suite in (root, *root.iter("testsuite"))] == [
        ["kit verify", "10", "4", "2", "2"],
        ["t", "9", "3", "2", "2"],
        ["table-6", "1", "1", "0", "0"],
    ]
    assert {case.get("classname") for case in root.iter("testcase")} == {"kit.verify.t", "kit.verify.table-6"}
    assert [element.get("tests") for element in ElementTree.fromstring(junit([])).iter()] == ["0"]


ODD = {
    "what XML escapes": ("a < b & \"c\" > 'd'", "a < b & \"c\" > 'd'"),
    "a terminal's escape": ("a\x1b[31mb", "a\\x1b[31mb"),
    "zero, and a bell": ("\x00\x07", "\\x00\\x07"),
    "half of a surrogate pair": ("a\ud800b", "a\\ud800b"),
    "no character": ("a\ufffeb\uffffc", "a\\ufffeb\\uffffc"),
    "text that turns": ("a\u202eb", "a\\u202eb"),
    "a line break, a blank that keeps": ("a\nb\u00a0c", "a\nb\u00a0c"),
    "letters": ("Ω 語 𝄞", "Ω 語 𝄞"),
    "the end of a section": ("]]>", "]]>"),
}


@pytest.mark.parametrize("text, wanted", ODD.values(), ids=list(ODD))
def test_text_comes_back_from_a_parser(text: str, wanted: str):
    one = finding("expected", "off", passed=False, detail=text, what=f"t, {text}")
    (case,) = ElementTree.fromstring(junit([one]).encode("utf-8")).iter("testcase")
    assert (case[0].text, case.get("name")) == (wanted, f"expected: t, {wanted}")
    assert xml_text(text) == wanted


def test_every_character_comes_back():
    text = "".join(map(chr, [*range(0x300), 0x2028, 0xD7FF, 0xE000, 0xFDD0, 0xFFFD, 0x10FFFF]))
    one = finding("expected", "off", passed=False, detail=text)
    (case,) = ElementTree.fromstring(junit([one]).encode("utf-8")).iter("testcase")
    assert case[0].text == xml_text(text)


LINES = {
    "percent, and breaks": (("error", "t", "100 %\r\nb"), "::error title=t::100 %25\\x0d%0Ab"),
    "a title": (("warning", "a: b, c%", "d: e, f"), "::warning title=a%3A b%2C c%25::d: e, f"),
    "a command within": (("notice", "t", "a\n::set-output name=b::c"), "::notice title=t::a%0A::set-output name=b::c"),
    "a terminal's escape": (("notice", "t", "\x1b[2J"), "::notice title=t::\\x1b[2J"),
}


@pytest.mark.parametrize("words, line", LINES.values(), ids=list(LINES))
def test_a_line_for_github(words: tuple[str, str, str], line: str):
    # the carriage return is written out before it could be escaped
    assert annotation(*words).replace("\\r", "\\x0d") == line


def test_whole_tables_stand_in_front_of_their_cells():
    found = [
        finding("stored"),
        finding("expected", "match"),
        finding("expected", "off", passed=False),
        finding("cell", "off"),
        finding("expected", "cannot tell", passed=False),
        finding("alive", passed=False),
    ]
    assert list(annotations(found)) == [
        "::notice title=kit verify%3A t::t: 1 match, 2 off, 1 cannot tell, 0 missing",
        "::error title=kit verify%3A failed::alive: t, a: why",
        "::error title=kit verify%3A off::expected: t, a: why",
        "::warning title=kit verify%3A cannot tell::expected: t, a: why",
    ]


# the command, with a store of made-up results


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with Table 2 at smoke, every number 3 of 12; no test changes it."""
    return fill(tmp_path_factory.mktemp("verified") / "store", "smoke", lambda key, metric: (0.25, 12))


@pytest.fixture
def run(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return the function that runs `kit verify 2` at smoke, with the store's numbers recorded."""
    monkeypatch.setattr(recorded, "expected_path", lambda grid: tmp_path / "expected" / f"{grid.name}.toml")
    recorded.record(plan_tables(["2"], "smoke"), store)

    def verify(*words: str) -> tuple[int, str, str]:
        argv = ["kit", "verify", "2", "--scale", "smoke", "--store", str(store.root), *words]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return verify


def move(tmp_path: Path, percent: str) -> None:
    """Write another value for the first recorded number; 25.0000 is in the file."""
    path = tmp_path / "expected" / "table-2.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("percent = 25.0000", f"percent = {percent}", 1), "utf-8")


MOVED = {
    "the recorded values": ("25.0000", 0, "32 match, 0 off"),
    # one unit of twelve is 8.3333 points: one may turn
    "one unit away": ("33.3333", 0, "32 match, 0 off"),
    "two units away": ("41.6667", 1, "31 match, 1 off"),
    "two units below": ("8.3333", 1, "31 match, 1 off"),
}


@pytest.mark.parametrize("percent, code, counts", MOVED.values(), ids=list(MOVED))
def test_green_as_recorded_and_red_beyond_the_tolerance(percent: str, code: int, counts: str, run: Run, tmp_path: Path):
    move(tmp_path, percent)
    done = run("--junit", str(tmp_path / "checks.xml"))
    assert (done[0], f"table-2: {counts}" in done[1], done[2]) == (code, True, "")
    root = ElementTree.parse(tmp_path / "checks.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("42", str(code), "0")
    assert len(list(root.iter("failure"))) == code


def test_nothing_recorded_ends_with_3(run: Run, tmp_path: Path):
    # it was green
    (tmp_path / "expected" / "table-2.toml").unlink()
    code, out, _ = run("--annotations")
    assert code == 3
    assert "::warning title=kit verify%3A cannot tell::expected: table-2, " in out
    code, out, _ = run("--json")
    document = json.loads(out)
    assert (code, document["outcome"], document["exit_code"], document["passed"]) == (3, "cannot tell", 3, False)
    assert "--record" in document["findings"][-1]["detail"]


def test_what_is_missing_ends_with_1_and_is_named_cell_by_cell(run: Run, tmp_path: Path):
    code, out, _ = run("figure-1", "--json")
    counts = json.loads(out)["counts"]
    assert (code, counts["table-2"]) == (1, {"match": 32, "off": 0, "cannot tell": 0, "missing": 0})
    assert counts["figure-1"]["missing"] > 0


def test_json_has_the_numbers_of_each_cell(run: Run, tmp_path: Path):
    move(tmp_path, "41.6667")
    first = next(one for one in json.loads(run("--json")[1])["findings"] if one["check"] == "expected")
    assert (first["verdict"], first["outcome"], first["table"]) == ("off", "no", "table-2")
    assert first["detail"] == "25.00, recorded 41.67: 2 of 12 units apart, 1 allowed"
    numbers = {name: pytest.approx(value, abs=1e-3) if value else value for name, value in first["numbers"].items()}
    assert numbers == {
        "against": "recorded",
        "unit": "percent",
        "ours": 25.0,
        "wanted": 41.6667,
        "n": 12,
        "stderr": 12.5,
        "runs": 1,
        "interval": [-25.0, -8.3333],
        "smallest": 16.6667,
        "allowed": 8.3333,
    }


def test_a_manifest_whose_margins_are_wrong_ends_with_2(run: Run, monkeypatch: pytest.MonkeyPatch):
    def refuse() -> None:
        raise RequestError("margins.toml: x")

    monkeypatch.setattr("kit.check.verify.read_margins", refuse)
    monkeypatch.setattr("kit.check.verify.compares_with_paper", lambda grid: True)
    assert run()[::2] == (2, "error: margins.toml: x\n")


WRONG = {
    "one document": (
        ("--json", "--annotations"),
        "--json: prints one document; leave out --annotations, or print them in a second call",
    ),
    "to record and to compare": (
        ("--record", "--json"),
        "--record: compares nothing; leave out --json, --junit and --annotations",
    ),
    "no folder": (("--junit", "nowhere/checks.xml"), "--junit nowhere/checks.xml: no folder nowhere"),
    "a folder": (("--junit", "."), "--junit .: a folder; name a file"),
}


@pytest.mark.parametrize("words, message", WRONG.values(), ids=list(WRONG))
def test_a_wrong_request_ends_with_2_before_anything_is_read(
    words: tuple[str, ...], message: str, run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kit.plan.planning.plan_tables", lambda *_: pytest.fail("a table was planned"))
    assert run(*words) == (2, "", f"error: {message}\n")


def test_help_has_the_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["kit", "verify", "--help"])
    with pytest.raises(SystemExit):
        main()
    text = " ".join(capsys.readouterr().out.split())
    assert "Exit codes: 0 all is as it should be; 1 it is not" in text
    assert "3 it can't be told" in text
