"""Downloads from a Hugging Face hub, which go on where they stopped."""

import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx

from paceline.models.catalog import HubFile
from paceline.models.errors import SourceUnavailableError
from paceline.models.progress import Progress

DEFAULT_HUB = "https://huggingface.co"
CONNECT_SECONDS: Final = 3.0
# Bounds the whole probe, because name resolution has no timeout of its own.
PROBE_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
MAX_FAILURES_WITHOUT_PROGRESS: Final = 4
FIRST_RETRY_SECONDS: Final = 0.5

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


def hub_url(file: HubFile, hub: str = DEFAULT_HUB) -> str:
    """Return the address of a file on a hub or a mirror of it."""
    return f"{hub.rstrip('/')}/{file.repository}/resolve/{file.revision}/{file.name}"


def require_hub(url: str) -> None:
    """Return if a hub offers the file, else raise SourceUnavailableError within a few seconds."""
    problems: list[str] = []
    answered = threading.Event()

    def probe() -> None:
        problems.extend(_probe(url))
        answered.set()

    # A thread, because a stuck name resolution can only be left behind, not interrupted.
    threading.Thread(target=probe, daemon=True).start()
    if not answered.wait(PROBE_SECONDS):
        raise SourceUnavailableError(_host(url), f"no answer within {PROBE_SECONDS:.0f} s")
    if problems:
        raise SourceUnavailableError(_host(url), problems[0])


def _probe(url: str) -> list[str]:
    try:
        status = httpx.head(url, timeout=CONNECT_SECONDS).status_code
    except httpx.HTTPError as error:
        return [f"cannot be reached: {error}"]
    return [f"answered {status}"] if status >= 400 and status not in RETRIED_STATUSES else []


@dataclass(frozen=True)
class HubDownload:
    """One file on its way from `url` into `part`, which may hold its first bytes already."""

    url: str
    part: Path
    num_bytes: int
    progress: Progress

    def run(self) -> None:
        """Download until `part` is complete; broken connections are retried while they bring it forward.

        Raises SourceUnavailableError; `part` then holds what arrived.
        """
        if self.num_bytes_done > self.num_bytes:
            self.part.unlink()
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        headers = {"Accept-Encoding": "identity"}
        with httpx.Client(follow_redirects=True, timeout=timeout, headers=headers) as client:
            most_bytes, num_failures = self.num_bytes_done, 0
            while problem := self._attempt(client):
                num_failures = 0 if self.num_bytes_done > most_bytes else num_failures + 1
                most_bytes = max(most_bytes, self.num_bytes_done)
                if num_failures >= MAX_FAILURES_WITHOUT_PROGRESS:
                    raise SourceUnavailableError(_host(self.url), problem)
                time.sleep(FIRST_RETRY_SECONDS * 2**num_failures)

    @property
    def num_bytes_done(self) -> int:
        """How many bytes have arrived, in this run or an earlier one."""
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self, client: httpx.Client) -> str:
        """Fetch what is missing; return what went wrong, or nothing when the file is complete."""
        done = self.num_bytes_done
        if done == self.num_bytes:
            return ""
        try:
            with client.stream("GET", self.url, headers={"Range": f"bytes={done}-"}) as response:
                return self._take(response)
        except httpx.TransportError as error:
            return f"the connection broke: {error or type(error).__name__}"

    def _take(self, response: httpx.Response) -> str:
        if response.status_code in RETRIED_STATUSES:
            return f"answered {response.status_code}"
        if response.is_error:
            raise SourceUnavailableError(_host(self.url), f"answered {response.status_code}")
        self._require_size(response)
        # A server that knows no ranges answers 200 and starts again.
        is_continued = response.status_code == HTTPStatus.PARTIAL_CONTENT
        with self.part.open("ab" if is_continued else "wb") as file:
            # Chunks as they arrive: a fixed size would lose the last, unfilled one when a connection breaks.
            for chunk in response.iter_raw():
                file.write(chunk)
                self.progress(min(file.tell(), self.num_bytes), self.num_bytes)
        return "" if self.num_bytes_done == self.num_bytes else "the answer ended early"

    def _require_size(self, response: httpx.Response) -> None:
        """Refuse before the transfer what cannot be the file, such as the page of a captive portal."""
        _, _, stated = response.headers.get("Content-Range", "").rpartition("/")
        total = stated or response.headers.get("Content-Length", "")
        if total.isdecimal() and int(total) != self.num_bytes:
            detail = f"offers {total} bytes where the catalogued file has {self.num_bytes}"
            raise SourceUnavailableError(_host(self.url), detail)


def _host(url: str) -> str:
    return httpx.URL(url).host
