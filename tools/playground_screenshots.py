"""Makes the pictures of docs/playground.md from a cluster of real models on this machine.

python tools/playground_screenshots.py                # the reference pair, two targets; takes some minutes
python tools/playground_screenshots.py --pair tiny    # quicker, less to see

Needs prepared models (`paceline models pull`), playwright and Chromium.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from paceline.local.listen_address import free_ports

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
PROGRAM = str(Path(sys.executable).with_name("paceline"))
CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

_WIDE = {"width": 1440, "height": 900}
_NARROW = {"width": 390, "height": 844}
_MARGIN = 24
_PATIENCE_MS = 300_000
_ANSWERED = '.turn:last-child .answer-text[data-status="finished"]'


class Cluster(NamedTuple):
    """A running cluster.

    Attributes:
        url: Of its gateway.
        pids: Of its processes, by name.
    """

    url: str
    pids: dict[str, int]


def main() -> None:
    """Start a cluster, visit the playground, write the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", default="reference", help="models of the cluster")
    parser.add_argument("--directory", type=Path, default=IMAGES, help="where the pictures go")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        sys.exit("error: no Chromium on this machine: install chromium or chromium-headless-shell")
    with running_cluster(options.pair) as cluster, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-background-networking"]
        )
        take_light(browser, cluster, options.directory / "playground-light.png")
        take_narrow(browser, cluster, options.directory / "playground-narrow.png")
        take_dark(browser, cluster, options.directory / "playground-dark.png")
        browser.close()


def take_light(browser: Browser, cluster: Cluster, path: Path) -> None:
    """An answer with code, and the card of one of its tokens."""
    page = opened(browser, cluster, "light", _WIDE)
    page.fill("#temperature", "0.3")
    ask(page, "Write quicksort in C.")
    page.locator("#scroll").evaluate("it => it.scrollTop = 0")
    page.locator('.token[data-origin="recovered"]').nth(3).click()
    page.screenshot(path=path, animations="disabled")


def take_dark(browser: Browser, cluster: Cluster, path: Path) -> None:
    """A conversation with a branch, whose target is killed in the middle of its last answer."""
    page = opened(browser, cluster, "dark", _WIDE)
    ask(page, "What is the difference between TCP and UDP? Answer in one short paragraph.")
    page.locator('.token[data-origin="accepted"]').nth(20).click()
    generate(page, lambda: page.get_by_role("button", name="Fork here").click())
    say(page, "When would you choose UDP? Give three examples.")
    page.wait_for_selector(".turn:last-child .token:nth-child(25)", state="attached")
    os.kill(cluster.pids[busy_target(page)], signal.SIGKILL)
    page.wait_for_selector(_ANSWERED)
    page.locator("#scroll").evaluate("it => it.scrollTop = it.scrollHeight")
    page.wait_for_timeout(6500)  # the notice goes, and the pools are asked again
    page.screenshot(path=path, animations="disabled")


def take_narrow(browser: Browser, cluster: Cluster, path: Path) -> None:
    """Two screens of a phone, side by side: the answer and its rounds."""
    page = opened(browser, cluster, "light", _NARROW)
    ask(page, "Write a Python function that says whether a number is prime.")
    page.locator("#scroll").evaluate("it => it.scrollTop = 0")
    screens = [page.screenshot(animations="disabled")]
    page.locator('.views [data-view="rounds"]').click()
    page.wait_for_timeout(300)
    screens.append(page.screenshot(animations="disabled"))
    side_by_side(browser, screens, path)


def side_by_side(browser: Browser, screens: list[bytes], path: Path) -> None:
    """Write pictures as one."""
    page = browser.new_page(
        viewport={"width": _NARROW["width"] * len(screens) + 24 * (len(screens) + 1), "height": 892}
    )
    page.set_content(
        f"<style>body{{margin:{_MARGIN}px;display:flex;gap:{_MARGIN}px;background:#d5dae0}}"
        "img{border-radius:14px;box-shadow:0 1px 8px rgb(0 0 0/25%)}</style>"
    )
    for screen in screens:
        page.evaluate(
            """async bytes => {
              const image = new Image();
              image.src = URL.createObjectURL(new Blob([new Uint8Array(bytes)], { type: "image/png" }));
              await image.decode();
              document.body.append(image);
            }""",
            list(screen),
        )
    page.screenshot(path=path)


def opened(browser: Browser, cluster: Cluster, scheme: str, size: dict[str, int]) -> Page:
    """The playground in a window of its own."""
    context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB")  # pyright: ignore[reportArgumentType], its types are literals
    page = context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    page.goto(f"{cluster.url}/playground/")
    page.wait_for_selector(".model-target", state="attached")
    page.evaluate("document.getElementById('seed').value = 7")
    return page


def ask(page: Page, text: str) -> None:
    """Say something, and wait for the whole answer."""
    generate(page, lambda: say(page, text))


def say(page: Page, text: str) -> None:
    """Say something."""
    page.fill("#prompt", text)
    page.press("#prompt", "Enter")


def generate(page: Page, act: Callable[[], object]) -> None:
    """Do what makes the page ask for text, and wait until it has all of it."""
    with page.expect_request(lambda request: request.method == "POST"):
        act()
    page.wait_for_timeout(200)
    page.wait_for_selector(_ANSWERED)
    page.wait_for_timeout(500)


def busy_target(page: Page) -> str:
    """The name of the target whose engine has something to do."""
    while True:
        status = page.evaluate("() => fetch('/paceline/v1/status').then(answer => answer.json())")
        for target in status["targets"]:
            if target["replica"].get("progress", {}).get("num_running"):
                return target["replica"]["replica_id"]


@contextmanager
def running_cluster(pair: str) -> Iterator[Cluster]:
    """Run `paceline up` with two targets and a gateway."""
    port, http_port = free_ports(2)
    http_address = f"127.0.0.1:{http_port}"
    command = [PROGRAM, "up", "--json", "--pair", pair, "--target-replicas", "2"]
    command += ["--listen", f"127.0.0.1:{port}", "--http-listen", http_address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                sys.exit("error: the cluster did not start")
            pids = {one["name"]: one["pid"] for one in json.loads(line)["processes"]}
            yield Cluster(f"http://{http_address}", pids)
        finally:
            process.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
