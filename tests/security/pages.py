"""Reports whose every name and value is hostile, and a browser that tells what they did."""

import html
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FIXED = frozenset(
    {"type", "magnitude", "kind", "status", "at", "metric", "code", "role", "rolled_over", "time"}
)
"""Words of our own that the templates decide by."""


def payload(origin: str) -> str:
    """Text that leaves an attribute, a style, a comment and a script, then runs and fetches."""
    run = f"parent.postMessage('hostile','*');fetch('{origin}/hostile-fetch')"
    return (
        f"=x'\"--></title></style></textarea></svg></script><script>{run}</script>"
        f'<img src="{origin}/hostile-image" onerror="{run}"><svg onload="{run}"></svg>'
        f'<style>@import url("{origin}/hostile-style");</style>'
        f'<iframe src="{origin}/hostile-frame"></iframe>'
        f'<meta http-equiv="refresh" content="0;url={origin}/hostile-refresh">'
        f'<link rel="stylesheet" href="{origin}/hostile-link"><base href="{origin}/">'
        f'{{{{ 7*7 }}}} javascript:{run} " onmouseover="{run}'
    )


def hostile(value: Any, attack: str, place: str = "") -> Any:
    """The same record with the attack behind every name and every text."""
    if isinstance(value, dict):
        renamed = place in {"columns", "rejected_by_rule"}
        return {
            (f"{key}{attack}" if renamed else key): each if key in FIXED else hostile(each, attack, key)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [hostile(each, attack, place) for each in value]
    return f"{value}{attack}" if isinstance(value, str) else value


@dataclass
class Heard:
    """What reached the server, and what the page's scripts told the page around it."""

    origin: str = ""
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Heard]:
    """Record every request that reaches a port of this machine."""
    heard = Heard()

    class Recorder(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.requests.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: the list is the log."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    heard.origin = f"http://127.0.0.1:{server.server_port}"
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def browse(pages: dict[str, str], heard: Heard, folder: Path) -> None:
    """Open every page in a frame of one headless Chromium and note what it tells the page around it."""
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    frames = "".join(f'<iframe src="{name}.html"></iframe>' for name in pages)
    listen = "addEventListener('message', e => { document.title += '|' + e.data })"
    heard.messages = _titles(f"<title></title><script>{listen}</script>{frames}", folder)


def widths(pages: dict[str, str], folder: Path, pixels: int) -> dict[str, int]:
    """Open every page in a frame so many pixels wide; say how wide each of them becomes."""
    shape = f"width:{pixels}px;height:600px;border:0"
    frames = "".join(
        f'<iframe id="{name}" style="{shape}" srcdoc="{html.escape(text)}"></iframe>'
        for name, text in pages.items()
    )
    measure = (
        "onload = () => { document.title = [...document.querySelectorAll('iframe')].map("
        "f => f.id + '=' + f.contentDocument.documentElement.scrollWidth).join('|') }"
    )
    told = _titles(f"<title></title><script>{measure}</script>{frames}", folder)
    return {name: int(width) for name, _, width in (part.partition("=") for part in told)}


def _titles(page: str, folder: Path) -> list[str]:
    """Open a page in Chromium, wait until it is quiet, and give what its title says, cut at each bar.

    Raises RuntimeError where no Chromium is installed: a browser that was not asked proves nothing.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("no chromium on PATH; on Debian: apt-get install --no-install-recommends chromium")
    around = folder / "around.html"
    around.write_text(f"<!doctype html>{page}", encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    quiet = ("--disable-background-networking", "--virtual-time-budget=4000", "--dump-dom")
    profile = f"--user-data-dir={folder / 'profile'}"
    ended = subprocess.run(
        [chromium, *options, *quiet, profile, around.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    title = html.unescape(ended.stdout.partition("<title>")[2].partition("</title>")[0])
    return [part for part in title.split("|") if part]
