"""A headless Chromium, told what to do by its DevTools protocol over two pipes."""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import zlib

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATH = next(filter(None, map(shutil.which, NAMES)), None)
# Chromium reads commands from its file 3 and writes answers to its file 4.
START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowUp": 38, "ArrowDown": 40, "Home": 36, "End": 35, "Tab": 9, "w": 87}


class Chromium:
    """A page in a browser of its own: what it logged, which addresses it asked for, and ways to use it."""

    def __init__(self, path=PATH, width=1280, height=1000):
        self.numbers, self.left = itertools.count(1), b""
        self.errors, self.requests, self.folder = [], [], tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        ends = [*os.pipe(), *os.pipe()]
        read, self.write, self.read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
        command = [
            sys.executable,
            "-c",
            START,
            str(read),
            str(write),
            path,
            *FLAGS,
            f"--user-data-dir={self.folder.name}",
        ]
        # What tests/sanitized.sh loads into Python would keep the browser from starting.
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        self.process = subprocess.Popen(
            [*command, f"--window-size={width},{height}"],
            pass_fds=(read, write),
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        for end in (*ends, read, write):
            os.close(end)
        self.session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, TimeoutError):
            self.session = None
            self.send("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.write)
        os.close(self.read)
        self.folder.cleanup()

    def send(self, method, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def receive(self, seconds=60):
        while b"\0" not in self.left:
            if not select.select([self.read], [], [], seconds)[0]:
                raise TimeoutError("Chromium does not answer")
            some = os.read(self.read, 1 << 16)
            if not some:
                raise OSError("Chromium has ended")
            self.left += some
        first, self.left = self.left.split(b"\0", 1)
        message = json.loads(first)
        self.note(message.get("method"), message.get("params", {}))
        return message

    def note(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"].get("exception", {}).get("description", str(params)))
        if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(str(params["args"]))
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def evaluate(self, expression):
        """What an expression comes to, as JSON has it."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, address, ready="document.documentElement?.dataset.drawn === 'yes'", seconds=30):
        """The page, once its script says that it is drawn."""
        self.send("Page.navigate", url="about:blank")  # else another #token of the same page would not load it anew
        self.errors, self.requests = [], []
        self.send("Page.navigate", url=address)
        end = time.monotonic() + seconds
        while not self.evaluate(ready):
            assert time.monotonic() < end, f"not drawn: {self.errors}"
            time.sleep(0.02)

    def press(self, key):
        how = {"key": key, "windowsVirtualKeyCode": KEYS[key]}
        how |= {"text": key} if len(key) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **how)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=KEYS[key])

    def point_at(self, selector):
        """Moves the pointer to the middle of an element that is seen."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y, width, height = self.evaluate(f"(({{ x, y, width, height }}) => [x, y, width, height])({box})")
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x + width / 2, y=y + height / 2)

    def screenshot(self):
        """A picture of what is seen, as PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])


def pixels(png):
    """The bytes of a PNG of 8 bits, without the filters of its lines, and its bytes of a line."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, channels = int.from_bytes(png[16:20], "big"), {2: 3, 6: 4}[png[25]]
    at, packed = 8, b""
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        packed += png[at + 8 : at + 8 + size] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += size + 12
    return zlib.decompress(packed), width * channels + 1
