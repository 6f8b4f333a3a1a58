"""Drives Debian's Chromium for the tests of the report's page: widths, schemes, keys, and axe-core's findings."""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

PROGRAMS = ("chromium", "chromedriver")
PATIENCE_S = 60.0
"""Time after which a page that has not come to a state is given up; no verdict depends on it while it comes."""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CURE = "apt-get install chromium chromium-driver; sh requirements/setup.sh --dev"


def lacking() -> str:
    """Return the reason why no browser can be driven here, with the cure; empty where one can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"no {' and no '.join(absent)} on this machine; {CURE}" if absent else ""


class Browser:
    """Shows pages in a Chromium without a screen, and reads what they show."""

    def __init__(self, folder: Path) -> None:
        options = Options()
        options.binary_location = shutil.which("chromium") or ""
        for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
            options.add_argument(word)
        options.add_argument(f"--user-data-dir={folder}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self._axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")

    def close(self) -> None:
        """End the browser and its driver."""
        self.driver.quit()

    def view(self, width: int = 1440, scheme: str = "light", medium: str = "screen", *, scripts: bool = True) -> None:
        """Show pages at a width, in a colour scheme, on a medium, with or without JavaScript, from now on."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self._tell("Emulation.setDeviceMetricsOverride", size)
        self._tell("Emulation.setEmulatedMedia", {"media": medium, "features": features})
        self._tell("Emulation.setScriptExecutionDisabled", {"value": not scripts})

    def open(self, file: Path, route: str = "") -> None:
        """Load a page afresh at a route, and wait until it shows it."""
        self.driver.get("about:blank")
        self.logged()
        self.driver.get(f"{file.as_uri()}{route}")
        self._tell("Page.resetNavigationHistory", {})  # of 50 steps, Chromium's most, it walks back too far
        if route:
            self.await_view()

    def go(self, route: str) -> None:
        """Go to a route of the page that is open, and wait until it is shown."""
        changed = "delete document.getElementById('explorer').dataset.shown; location.hash = arguments[0]"
        self.run(f"if (location.hash !== arguments[0]) {{ {changed} }}", route)
        self.await_view()

    def await_view(self) -> None:
        """Wait until the page has shown what its address names."""
        self.wait(lambda: self.run("return document.getElementById('explorer')?.dataset.shown === location.hash"))

    def wait(self, reached: Callable[[], Any]) -> None:
        """Wait until a state is reached.

        Raises:
            TimeoutError: it was not, for longer than any machine takes.
        """
        end = time.monotonic() + PATIENCE_S
        while not reached():
            if time.monotonic() > end:
                raise TimeoutError(f"the page never came so far; it shows: {self.text('body')[:2000]}")
            time.sleep(0.02)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns in the page."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """Return the text of the first element that a selector names, all of it."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that a selector names."""
        return list(self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector))

    def press(self, *keys: str) -> None:
        """Press keys, each on the element that has the focus."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def focus(self) -> Any:
        """Return the element that has the focus."""
        return self.driver.switch_to.active_element

    def logged(self) -> list[str]:
        """Return what the console got since it was read last, without what the browser says of its own."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "DEBUG"]

    def too_wide(self) -> int:
        """Return how many pixels the page is wider than the window."""
        return int(self.run(f"return {OVERFLOW}"))

    def findings(self, ignored: Sequence[str] = ()) -> list[str]:
        """Return axe-core's findings on the page as it is now, one text each, with the elements."""
        if not self.run("return typeof axe === 'object'"):
            self.run(self._axe)
        rules = {name: {"enabled": False} for name in ignored}
        script = "const end = arguments[1]; axe.run(document, {rules: arguments[0]}).then(r => end(r.violations))"
        found = self.driver.execute_async_script(script, rules)
        return [
            f"{one['id']}: {one['help']}: {json.dumps([node['html'][:200] for node in one['nodes'][:4]])}"
            for one in found
        ]

    def picture(self, file: Path, *, whole: bool = False) -> None:
        """Write a picture of the window, or of the whole page, as PNG."""
        if whole:
            height = self.run("return document.documentElement.scrollHeight")
            width = self.run("return innerWidth")
            size = {"width": width, "height": min(height, 8000), "deviceScaleFactor": 1, "mobile": False}
            self._tell("Emulation.setDeviceMetricsOverride", size)
        self.driver.save_screenshot(str(file))

    def _tell(self, command: str, parameters: Mapping[str, Any]) -> None:
        self.driver.execute_cdp_cmd(command, dict(parameters))
