"""A real headless Chromium for the viewer's tests, and the proof of where its requests went.

    with Browser.start(width=1280) as browser:
        browser.open("http://127.0.0.1:7860/")
        browser.wait_for("#trace video")
        assert browser.foreign_requests() == []

Debian's chromium and chromium-driver, driven through selenium. Where there is none the tests skip and say why;
`make browser` installs it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import JavascriptException, StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses its sandbox to root, as in containers
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    "--autoplay-policy=no-user-gesture-required",
    "--enable-precise-memory-info",
    # Its own traffic (updates, lists, field trials), which is no request of the page.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
)


def find_browser() -> tuple[str, str]:
    """Chromium and its driver. Skips the test, with the reason, where one is missing."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        missing = "chromium" if chromium is None else "chromedriver"
        pytest.skip(f"no {missing} on this machine: run `make browser` (Debian, root) to run the viewer's tests")
    return chromium, driver


@dataclass
class Browser:
    """One window. `console` and `requests` keep what the logs said so far, since reading a log empties it."""

    driver: webdriver.Chrome
    console: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def start(cls, *, width: int = 1280, height: int = 900) -> Iterator[Self]:
        """A fresh profile; closed at the end, whatever happened."""
        chromium, chromedriver = find_browser()
        options = Options()
        for flag in (*_FLAGS, f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.binary_location = chromium
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        service = Service(chromedriver, log_output=os.devnull)
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.set_script_timeout(20)
            yield cls(driver)
        finally:
            driver.quit()

    def resize(self, width: int, height: int) -> None:
        """The page's own size, also below the 500 pixels that a window has at least."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def open(self, url: str) -> None:
        """Load a page and wait until the viewer has shown what the address names."""
        self.driver.get(url)
        self.wait_until(lambda: self.script("return document.body.dataset.shown !== undefined"))

    def script(self, code: str, *values: Any) -> Any:
        """Run JavaScript in the page."""
        return self.driver.execute_script(code, *values)

    def find(self, selector: str) -> WebElement:
        """The first element. Raises selenium's NoSuchElementException."""
        return self.driver.find_element("css selector", selector)

    def find_all(self, selector: str) -> list[WebElement]:
        """Every element, perhaps none."""
        return self.driver.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        """What a person reads there, "" when it is not there."""
        return self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def wait_until(self, holds: Callable[[], Any], *, timeout_s: float = 15.0) -> Any:
        """The first true value of `holds`. Fails the test when none comes in time."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                if value := holds():
                    return value
            except (StaleElementReferenceException, JavascriptException):
                pass  # the page was being redrawn: look again
            if time.monotonic() > deadline_s:
                pytest.fail(f"not within {timeout_s} s; the page says:\n{self.text('body')[:2000]}")
            time.sleep(0.02)

    def wait_for(self, selector: str) -> WebElement:
        """The first visible element."""
        return self.wait_until(lambda: next((found for found in self.find_all(selector) if found.is_displayed()), None))

    def wait_for_text(self, selector: str, words: str) -> str:
        """The text there as soon as it holds `words`."""
        return self.wait_until(lambda: words in (text := self.text(selector)) and text)

    def press(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def click(self, selector: str) -> None:
        """Click the first visible element, also one that is scrolled away."""
        found = self.wait_for(selector)
        self.script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def type_into(self, selector: str, text: str) -> None:
        """Replace a field's text and press Enter."""
        found = self.wait_for(selector)
        found.send_keys(Keys.CONTROL, "a")
        found.send_keys(text, Keys.ENTER)

    @property
    def address(self) -> str:
        """The address bar."""
        return self.driver.current_url

    def read_logs(self) -> None:
        """Take over what the console and the network said since the last time."""
        self.console += self.driver.get_log("browser")
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                self.requests.append(message["params"]["url"])

    def foreign_requests(self) -> list[str]:
        """Every request so far that went, or would have gone, beyond this machine."""
        self.read_logs()
        inside = ("data", "blob")  # an address that carries or names bytes of the page itself
        pages = [url for url in self.requests if urlsplit(url).scheme not in (*inside, "chrome", "about")]
        return [url for url in pages if urlsplit(url).hostname not in LOOPBACK]

    def console_errors(self) -> list[str]:
        """What the console showed in red."""
        self.read_logs()
        return [entry["message"] for entry in self.console if entry["level"] == "SEVERE"]

    def heap_mb(self) -> float:
        """The page's JavaScript heap after a collection."""
        self.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        return self.script("return performance.memory.usedJSHeapSize") / 1e6

    def screenshot(self, path: Path, *, whole_page: bool = False) -> None:
        """A PNG of the window, or of all that scrolling would show."""
        if not whole_page:
            self.driver.save_screenshot(str(path))
            return
        from base64 import b64decode

        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(b64decode(shot["data"]))
