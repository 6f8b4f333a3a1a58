"""What a page with 20,000 items takes in a browser: until it can be read, until all items are listed, for one search.

    python perf/page.py [--items 20000] [--repeats 3]

The items are made up: 20 sets of answers of some 1,500 characters. Needs Debian's chromium and chromium-driver.
"""

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit.errors import RequestError  # noqa: E402
from kit.page import Contents, Page  # noqa: E402
from kit.page.runs import Runs  # noqa: E402
from kit.page.writing import html  # noqa: E402
from kit.store import Store  # noqa: E402
from perf import speed  # noqa: E402

SETS = 20
PROGRAMS = ("chromium", "chromedriver")
WORDS = (
    "instruction",
    "evolver",
    "seed",
    "pair",
    "answer",
    "model",
    "number",
    "reason",
    "because",
    "therefore",
    "tree",
)
LISTED = "return document.querySelectorAll('#explorer .rows tbody tr').length > 0"
SEARCH = """
const box = document.querySelector('#explorer input[type="search"]');
const began = performance.now();
box.value = arguments[0];
box.dispatchEvent(new Event('input', { bubbles: true }));
return [performance.now() - began, document.querySelector('#explorer [role="status"]').textContent];
"""


def text(dice: random.Random) -> str:
    """Return a made-up answer."""
    return " ".join(dice.choices(WORDS, k=220)) + f" {dice.random():.6f}"


def made_page(items: int, store: Path) -> Page:
    """Return a page with so many items in some sets that share their problems."""
    dice = random.Random(1)
    each = items // SETS
    ids = [f"problem/{number}" for number in range(each)]
    prompts = {id: {"turns": [{"role": "user", "content": text(dice)}], "problem": "{}"} for id in ids}
    blocks = {"p": json.dumps({"prompts": prompts}).encode(), "jobs": b'{"jobs":{}}'}
    sets: list[dict[str, Any]] = []
    for number in range(SETS):
        rows = [{"id": id, "text": text(dice), "state": dice.choice(("right", "wrong")), "answer": "7"} for id in ids]
        blocks[f"b{number}"] = json.dumps({"items": rows}).encode()
        sets.append({"id": f"s{number}", "kind": "items", "title": f"set {number}", "job": "", "count": each})
        sets[-1] |= {"benchmark": "made-up", "block": f"b{number}", "prompts": "p"}
    head = {"schema": 1, "served": False, "scale": "smoke", "sets": sets}
    contents = Contents(scale="smoke", store=Store.open(store), grids=[])
    return Page(contents=contents, tables=[], runs=Runs(), head=head, blocks=blocks)


def open_browser() -> Any:
    """Return a Chromium without a screen."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(shutil.which(PROGRAMS[0]))
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(word)
    return webdriver.Chrome(options=options, service=Service(shutil.which(PROGRAMS[1])))


def timed(driver: Any, file: Path) -> tuple[float, float, float]:
    """Return the seconds until the page can be read, until all items are listed after that, and of a search."""
    driver.get("about:blank")
    driver.get(file.as_uri())
    ready = driver.execute_script("return performance.timing.loadEventEnd - performance.timing.navigationStart") / 1000
    began = time.perf_counter()
    driver.execute_script("location.hash = 'set=all'")
    while not driver.execute_script(LISTED):
        time.sleep(0.01)
    listed = time.perf_counter() - began
    took, found = driver.execute_script(SEARCH, "0.5")
    print(f"   ready {ready:.2f} s, listed {listed:.2f} s, searched {took / 1000:.3f} s: {found}")
    return ready, listed, took / 1000


def main() -> None:
    """Make the page, open it some times, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if absent := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise RequestError(f"no {' and no '.join(absent)} here; install them: apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory(prefix="kit-page-") as name:
        file = Path(name) / "report.html"
        file.write_text(html(made_page(options.items, Path(name) / "store")), encoding="utf-8")
        size = file.stat().st_size / 2**20
        driver = open_browser()
        try:
            found = [timed(driver, file) for _ in range(options.repeats)]
        finally:
            driver.quit()
    ready, listed, searched = (statistics.median(some) for some in zip(*found, strict=True))
    times = f"can be read after {ready:.2f} s, lists all after {listed:.2f} s more, searches in {searched:.3f} s"
    here = f"{size:.1f} MiB; {times}"
    print(here)
    speed.add_row(speed.Row(what=f"a page with {options.items:,} items in Chromium, `perf/page.py`", here=here))


if __name__ == "__main__":
    speed.run(main)
