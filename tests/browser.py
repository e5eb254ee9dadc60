"""Debian's Chromium, driven through the pipe of its DevTools protocol; nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGE = "Chromium is missing: install the package chromium (apt-get install chromium), which this test drives"
QUIET = (
    "--headless",
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
)
PATIENCE_S = 60.0
"""Seconds to wait for an answer."""


class Browser:
    """One tab; ``events``: whatever the browser reported, as (method, parameters)."""

    def __init__(self, profile: Path) -> None:
        """Start Chromium with an empty profile; the test fails if it is not installed."""
        path = next((found for name in NAMES if (found := shutil.which(name))), None)
        if path is None:
            pytest.fail(PACKAGE)
        there, self.write_end = os.pipe()
        self.read_end, back = os.pipe()
        command = f'exec "$@" 3<&{there} 4>&{back}'
        arguments = [path, *QUIET, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", command, "bash", *arguments],
            pass_fds=(there, back),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there)
        os.close(back)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.number, self.rest, self.session = 0, b"", ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Performance.enable", timeDomain="threadTicks")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer to a command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            found = self._receive()
            if found.get("id") == self.number:
                assert "error" not in found, f"{method}: {found['error']}"
                return dict(found["result"])

    def _receive(self) -> dict[str, Any]:
        """Return the next message; events are kept too."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read_end], [], [], PATIENCE_S)
            chunk = os.read(self.read_end, 1 << 20) if ready else b""
            assert chunk, "Chromium does not answer"
            self.rest += chunk
        text, _, self.rest = self.rest.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        if "method" in found:
            self.events.append((found["method"], found["params"]))
        return found

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        """Set the size of the window in CSS pixels, as a phone's if it is narrow, and the preferred colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> float:
        """Open an address and return the processor seconds that its main thread took until all was drawn.

        Of processor time: on a busy machine a clock measures the others.
        """
        self.events.clear()
        self.call("Page.navigate", url="about:blank")
        self._await("Page.loadEventFired")
        self.events.clear()
        self.call("Page.navigate", url=url)
        self._await("Page.loadEventFired")
        self.call("Page.captureScreenshot", format="jpeg", quality=1)  # waits until it is drawn
        measured = {one["name"]: one["value"] for one in self.call("Performance.getMetrics")["metrics"]}
        return float(measured["TaskDuration"])

    def _await(self, method: str) -> None:
        while all(name != method for name, _ in self.events):
            self._receive()

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page; an exception in it fails the test."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def scripts(self, allowed: bool) -> None:
        """Switch JavaScript on or off for pages that are opened next."""
        self.call("Emulation.setScriptExecutionDisabled", value=not allowed)

    def picture(self, path: Path) -> None:
        """Save what is seen as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self) -> list[str]:
        """Return errors and warnings of the console, and uncaught exceptions."""
        found = [str(p) for name, p in self.events if name == "Runtime.exceptionThrown"]
        found += [
            str(p) for name, p in self.events if name == "Runtime.consoleAPICalled" and p["type"] in {"error", "warning"}
        ]
        return found + [str(p["entry"]) for name, p in self.events if name == "Log.entryAdded"]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for, without embedded ones."""
        found = [str(p["request"]["url"]) for name, p in self.events if name == "Network.requestWillBeSent"]
        return [url for url in found if not url.startswith("data:")]

    def close(self) -> None:
        """End the browser that was started."""
        os.close(self.write_end)
        os.close(self.read_end)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
