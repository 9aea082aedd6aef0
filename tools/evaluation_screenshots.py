"""Makes the pictures of docs/evaluate.md from what an evaluation found.

python tools/evaluation_screenshots.py paceline-evaluation/evaluation.json

Writes evaluation-LANGUAGE-verdict.png, -speed.png, -phone.png and the rest, English in light and Japanese in dark.
Needs playwright and Chromium.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright
from pydantic import TypeAdapter

from paceline.cli.evaluation.findings import Evaluation
from paceline.cli.evaluation.report.language import Language
from paceline.cli.evaluation.report.page import page

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

Scheme = Literal["light", "dark"]
_SCHEMES: dict[Language, Scheme] = {Language.EN: "light", Language.JA: "dark"}
_WIDTH, _HEIGHT = 1180, 900
_PHONE_WIDTH, _PHONE_HEIGHT = 390, 844
_SECTIONS = ("speed", "latency", "acceptance", "memory", "formats")


def main() -> None:
    """Render both languages, write the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("evaluation", type=Path, help="an evaluation.json")
    parser.add_argument("--directory", type=Path, default=IMAGES, help="where the pictures go")
    options = parser.parse_args()
    evaluation = TypeAdapter(Evaluation).validate_json(options.evaluation.read_bytes())
    options.directory.mkdir(parents=True, exist_ok=True)
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        sys.exit("error: no Chromium on this machine: install chromium or chromium-headless-shell")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(prefix="paceline-") as directory:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-background-networking"]
        )
        for language, scheme in _SCHEMES.items():
            report = Path(directory) / f"{language}.html"
            report.write_text(page(evaluation, language), encoding="utf-8")
            take(browser, report, scheme, options.directory / f"evaluation-{language}")
        browser.close()


def take(browser: Browser, report: Path, scheme: Scheme, start: Path) -> None:
    """Take the top of a report, its sections, and the top on a phone."""
    wide = opened(browser, report, scheme, _WIDTH, _HEIGHT)
    wide.screenshot(path=f"{start}-verdict.png", animations="disabled")
    for section in _SECTIONS:
        wide.locator(f"#{section}").screenshot(path=f"{start}-{section}.png", animations="disabled")
    phone = opened(browser, report, scheme, _PHONE_WIDTH, _PHONE_HEIGHT)
    phone.screenshot(path=f"{start}-phone.png", animations="disabled")


def opened(browser: Browser, report: Path, scheme: Scheme, width: int, height: int) -> Page:
    """A report in a window of its own."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    window = context.new_page()
    window.goto(report.as_uri())
    return window


if __name__ == "__main__":
    main()
