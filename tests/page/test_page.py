"""The page as a file: the numbers of every other form, texts that stay texts, nothing from elsewhere."""

import base64
import csv
import gzip
import hashlib
import io
import json
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kit.cli import pages
from kit.errors import RequestError
from kit.page import Contents, make_page
from kit.page.serving import make_server
from kit.page.texts import clean, clean_all
from kit.page.writing import json_in_html, packed
from kit.plan import Plan
from kit.report import Grid, make_grid, terminal
from kit.report.formats import as_csv, as_json, markdown
from kit.store import Store
from tests.conftest import Kit
from tests.page.made_run import COMMIT, HOSTILE, IMAGE

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*\u00a0±\d[\d,.]*")


class Read(HTMLParser):
    """Reads the texts, links, ids and scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.styles = 0
        self.handlers: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._script: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"]] if found.get("id") else []  # type: ignore[list-item]
        self.links += [str(found["href"])] if "href" in found else []
        self.sources += [str(found["src"])] if "src" in found else []
        self.styles += "style" in found
        self.handlers += [name for name in found if name.startswith("on")]
        if tag == "script":
            self._script = found
            self.scripts.append((found, ""))

    def handle_endtag(self, tag: str) -> None:
        self._script = None if tag == "script" else self._script

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[-1] = (self._script, self.scripts[-1][1] + data)
        else:
            self.words.append(data)


@pytest.fixture(scope="module")
def text(page_file: Path) -> str:
    return page_file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read(text: str) -> Read:
    return Read(text)


@pytest.fixture(scope="module")
def grids(made_store: Store, page_plan: Plan) -> list[Grid]:
    return [make_grid(name, page_plan, made_store) for name in page_plan.tables]


def head_of(read: Read) -> dict[str, Any]:
    (found,) = [content for attributes, content in read.scripts if attributes.get("id") == "report"]
    return json.loads(found)


def blocks_of(read: Read) -> dict[str, Any]:
    return {
        str(attributes["id"]).removeprefix("block-"): json.loads(gzip.decompress(base64.b64decode(content)))
        for attributes, content in read.scripts
        if attributes.get("class") == "block"
    }


def test_the_same_numbers_stand_in_every_form(grids: list[Grid], read: Read):
    page = NUMBER.findall("\n".join(read.words))
    wide, printed = io.StringIO(), []
    for grid in grids:
        Console(file=wide, width=400, no_color=True).print(terminal.grid_table(grid, 400))
        printed += NUMBER.findall(markdown(grid))
    shown = NUMBER.findall(wide.getvalue())
    assert len(printed) > 50
    assert sorted(page) == sorted(printed) == sorted(shown)
    cells = [cell for table in as_json(grids)["tables"] for cell in table["cells"] if cell["value"] is not None]
    rows = [row for row in csv.DictReader(io.StringIO(as_csv(grids))) if row["value"]]
    assert [float(row["value"]) for row in rows] == [cell["value"] for cell in cells]
    assert [row["paper"] for row in rows] == ["" if cell["paper"] is None else str(cell["paper"]) for cell in cells]
    by_form = {round(cell["value"], 1) for cell in cells}
    assert {round(float(number.split("\u00a0")[0].replace(",", "")), 1) for number in page} == by_form


def test_nothing_is_loaded_from_elsewhere_and_only_the_pages_own_script_may_run(text: str, read: Read):
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe" not in policy
    own = [content for attributes, content in read.scripts if not attributes]
    assert len(own) == 1
    assert base64.b64encode(hashlib.sha256(own[0].encode()).digest()).decode() in policy
    assert all(source.startswith("data:image/svg+xml;base64,") for source in read.sources)
    assert all(link.startswith("#") for link in read.links)
    assert (read.styles, read.handlers) == (0, [])


def test_every_link_leads_somewhere(read: Read):
    sets = {one["id"] for one in head_of(read)["sets"]}
    anchors = {link for link in read.links if "=" not in link}
    assert {link[1:] for link in anchors} <= {*read.ids}
    assert {link.removeprefix("#set=") for link in read.links if link.startswith("#set=")} <= {*sets, "all"}
    assert len(read.ids) == len(set(read.ids))


def test_a_set_holds_what_its_number_was_counted_from(read: Read, made_store: Store):
    head, blocks = head_of(read), blocks_of(read)
    graded = next(one for one in head["sets"] if one.get("benchmark") == "gsm8k")
    items = blocks[graded["block"]]["items"]
    assert len(items) == graded["count"] == made_store.get(graded["job"]).rows
    assert {item["id"] for item in items} == set(blocks[graded["prompts"]]["prompts"])
    asked = blocks[graded["prompts"]]["prompts"][items[0]["id"]]
    assert asked["turns"][0]["content"] and '"answer"' in asked["problem"]
    assert {item["state"] for item in items} == {"right", "wrong"}
    assert all(item.get("reason") for item in items if item["state"] == "wrong")
    pairs = next(one for one in head["sets"] if one["id"] == graded["trained_on"])
    (first, *_) = blocks[pairs["block"]]["rows"]
    assert [step["label"] for step in first["texts"]] == ["seed instruction", "round 1, deepen", "response"]
    assert first["texts"][1]["by"].startswith("smollm2")
    jobs = blocks["jobs"]["jobs"]
    facts = dict(jobs[graded["job"]]["facts"])
    assert (facts["commit"], facts["image"]) == (COMMIT, IMAGE)
    assert all(key in jobs for job in jobs.values() for key in job["inputs"].values())


def test_hostile_texts_are_there_as_text(text: str, read: Read):
    blocks = json.dumps(blocks_of(read), ensure_ascii=False)
    for hostile in HOSTILE:
        assert json.dumps(clean(hostile), ensure_ascii=False)[1:-1] in blocks
    assert "\u202e" not in text + blocks
    assert "\x1b" not in text + blocks
    assert "<img src=x" not in text
    assert re.findall(r"window\.hacked", text) == []


def test_texts_are_cleaned_through_and_through():
    assert clean("a\tb\n\u202e\x00\ud800") == "a\tb\n\\u202e\\x00\\ud800"
    assert clean_all({"\x07": ["\u200f", 1, None, ("x",)]}) == {"\\x07": ["\\u200f", 1, None, ["x"]]}
    assert json_in_html({"a": "</script><!--&"}) == '{"a":"\\u003c/script\\u003e\\u003c!--\\u0026"}'
    assert gzip.decompress(base64.b64decode(packed(b"same"))) == b"same"
    assert packed(b"same") == packed(b"same")


def test_the_same_store_gives_the_same_bytes(page_file: Path, made_store: Store, tmp_path: Path):
    from tests.page.conftest import TABLES

    pages.write_page(TABLES, "smoke", made_store.root, [], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page_file.read_bytes()


def test_rows_of_another_store_stand_beside(made_store: Store, page_plan: Plan, grids: list[Grid]):
    page = make_page(Contents(scale="smoke", store=made_store, grids=grids, beside={"other/run": made_store}))
    own = {one["id"] for one in page.head["sets"] if "store" not in one}
    other = {one["id"] for one in page.head["sets"] if one.get("store") == "other/run"}
    assert own and other and not own & other


def test_rows_that_were_given_back_are_told(made_store: Store, page_plan: Plan, grids: list[Grid]):
    page = make_page(Contents(scale="smoke", store=made_store, grids=grids[:1]))
    graded = next(one for one in page.head["sets"] if one.get("benchmark") == "gsm8k")
    answers = made_store.get(graded["job"]).job.inputs["completions"]
    path = made_store.root / "artifacts" / answers / "completions.jsonl"
    kept = path.read_bytes()
    try:
        path.write_bytes(kept.replace(b"An answer", b"A  answer", 1))
        page = make_page(Contents(scale="smoke", store=made_store, grids=grids[:1]))
        (changed,) = [one for one in page.head["sets"] if one["job"] == graded["job"]]
        assert changed["note"].startswith("Its rows can't be shown: ")
        assert "sha256 differs from the head's" in changed["note"]
        assert (changed["count"], changed.get("block")) == (0, None)
    finally:
        path.write_bytes(kept)


@pytest.fixture
def address(made_store: Store, grids: list[Grid]) -> Iterator[str]:
    page = make_page(Contents(scale="smoke", store=made_store, grids=grids[:1]), served=True)
    with make_server(page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def asked(address: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as reply:
            return reply.status, dict(reply.headers), reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_a_served_page_sends_rows_when_they_are_asked_for(address: str):
    status, headers, body = asked(f"{address}/")
    page = gzip.decompress(body).decode()
    assert (status, headers["X-Content-Type-Options"], headers["Cache-Control"]) == (200, "nosniff", "no-store")
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    read = Read(page)
    assert (head_of(read)["served"], blocks_of(read)) == (True, {})
    block = head_of(read)["sets"][0]["block"]
    status, headers, body = asked(f"{address}/blocks/{block}.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(gzip.decompress(body))["rows"]


@pytest.mark.parametrize("path", ["/blocks/../../etc/passwd", "/blocks/nothing.json", "/store", "/%2e%2e/"])
def test_a_served_page_has_nothing_else(address: str, path: str):
    assert asked(f"{address}{path}")[0] == 404


def test_another_hosts_name_is_refused(address: str):
    status, _, body = asked(f"{address}/", Host="evil.example")
    assert (status, body) == (403, b"this page is for this machine's own browsers\n")


def test_a_port_that_is_taken_is_told(address: str, made_store: Store):
    page = make_page(Contents(scale="smoke", store=made_store, grids=[]), served=True)
    port = int(address.rpartition(":")[2])
    with pytest.raises(RequestError, match=f"--port {port}: Address already in use; name another, or leave it out"):
        make_server(page, port)


def test_a_page_is_served_until_it_is_stopped(made_store: Store):
    # a shell that starts tests in the background has them ignore SIGINT, and what they start too
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from kit.cli import main; main()"
    words = ["report", "13", "--serve", "--scale", "smoke", "--store", str(made_store.root)]
    command = [sys.executable, "-u", "-c", code, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/ shows 1 tables and figures; stop with Ctrl-C\n", line)
        assert found, line
        assert asked(f"{found[1]}/")[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "it is shown no longer\n")
    assert process.returncode == 0


REFUSED = {
    "no file": (["2", "--html"], "--html: wanted a file for the page: --out report.html"),
    "two forms": (["2", "--html", "--format", "csv", "--out", "r"], "--format csv: is another form than --html;"),
    "both": (["2", "--html", "--serve", "--out", "r"], "--serve: shows the page without a file; leave out --html,"),
    "a file that is served": (["2", "--serve", "--out", "r"], "--out r: --serve writes no file; leave one of them out"),
    "a port of a file": (["2", "--html", "--port", "80", "--out", "r"], "--port: goes with --serve"),
    "a port of a table": (["2", "--port", "80"], "--beside and --port: go with --html or --serve"),
    "no tables": ([], "no tables are named: 2, or all; --html and --serve take all that the store has"),
    "a folder": (["2", "--html", "--out", "."], "--out .: a folder; name a file, for instance ./report.html"),
    "no folder": (["2", "--html", "--out", "a/b/r.html"], "--out a/b/r.html: no folder "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_request_is_told_before_anything_is_read(name: str, kit: Kit):
    words, message = REFUSED[name]
    code, out, err = kit("report", *words, "--scale", "smoke")
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


def test_the_command_says_what_it_wrote(kit: Kit, made_store: Store, tmp_path: Path):
    words = ["report", "2", "6", "--html", "--scale", "smoke", "--store", str(made_store.root), "--out", "r.html"]
    code, out, err = kit(*words)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"wrote r\.html: 1 tables and figures, [\d,]+ rows, \d+\.\d MiB\n", out)
    written = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Printed settings" in written and "table-6, " in written
    assert not (tmp_path / ".r.html.partial").exists()
