"""Hub ids and Hugging Face directories: found, fetched from a hub that is a real server, or refused with advice."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from paceline.models.hub_directory import find_hub_directory

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed (`make setup` installs it)")

HUB_ID = "some-org/some-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHARDS = {"a.weight": "model-00001-of-00002.safetensors", "b.weight": "model-00002-of-00002.safetensors"}
WANTED = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "modeling_own.py": b"raise AssertionError",
    "model.safetensors.index.json": json.dumps({"weight_map": SHARDS}).encode(),
    **dict.fromkeys(SHARDS.values(), b"weights"),
}
UNWANTED = {
    "README.md": b"read me",
    "pytorch_model.bin": b"pickles",
    "consolidated.safetensors": b"the same weights",
    "original/params.json": b"{}",
}
# Prints what is found, or the error's reason and message. Torch is not imported for it.
PROGRAM = """
import sys
from paceline.errors import PacelineError
from paceline.models.hub_directory import find_hub_directory
try:
    print(find_hub_directory(sys.argv[1], allow_download=sys.argv[2] == "True"))
except PacelineError as error:
    print(f"{error.reason}: {error}")
assert "torch" not in sys.modules
"""


@dataclass
class Hub:
    """A local hub with one model, how it misbehaves, and what it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=lambda: WANTED | UNWANTED)
    is_known: bool = True
    is_gated: bool = False
    num_requests: int = 0
    sent: set[str] = field(default_factory=set)


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            state.num_requests += 1
            _, _, name = self.path.partition(f"/{HUB_ID}/resolve/{COMMIT}/")
            if not state.is_known:
                self.reply(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif not name:
                siblings = [{"rfilename": one} for one in state.files]
                self.reply(200, json.dumps({"id": HUB_ID, "sha": COMMIT, "siblings": siblings}).encode(), {})
            elif state.is_gated:
                self.reply(403, b"", {"X-Error-Code": "GatedRepo"})
            else:
                content = state.files[name]
                state.sent.add(name)
                self.reply(
                    200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
                )

        def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for header, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

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


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where huggingface_hub keeps everything, in place of the user's own."""
    return tmp_path / "huggingface"


def find(
    home: Path, hub_url: str, *, allow_download: bool = True, model: str = HUB_ID, offline: bool = False
) -> str:
    """Look for a model in a process of its own: huggingface_hub reads the environment once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": hub_url, "HF_HUB_OFFLINE": "1" if offline else "0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, model, str(allow_download)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def cache(home: Path, files: dict[str, bytes]) -> Path:
    """Put a snapshot into the cache as huggingface_hub lays it out."""
    repository = home / "hub" / "models--some-org--some-model"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name, content in files.items():
        (snapshot / name).write_bytes(content)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return snapshot


class TestDirectories:
    def test_a_hugging_face_directory_is_itself(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{}")
        assert find_hub_directory(str(tmp_path), allow_download=False) == tmp_path

    def test_a_prepared_directory_is_none(self, tmp_path: Path) -> None:
        for name in ("config.json", "paceline.json"):
            (tmp_path / name).write_text("{}")
        assert find_hub_directory(str(tmp_path), allow_download=False) is None

    def test_other_files_and_folders_are_none(self, tmp_path: Path) -> None:
        file = tmp_path / "model.gguf"
        file.touch()
        assert find_hub_directory(str(tmp_path), allow_download=False) is None
        assert find_hub_directory(str(file), allow_download=False) is None

    @pytest.mark.parametrize("model", ["smollm2-135m-instruct", "a/b/c", "/no/where", "-a/b", "a/b c", ""])
    def test_what_is_no_hub_id_is_none(
        self, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert find_hub_directory(model, allow_download=True) is None

    def test_a_directory_is_preferred_to_the_hub(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory = tmp_path / HUB_ID
        directory.mkdir(parents=True)
        (directory / "config.json").write_text("{}")
        monkeypatch.chdir(tmp_path)
        assert find_hub_directory(HUB_ID, allow_download=True) == Path(HUB_ID)


class TestHubIds:
    def test_what_a_model_needs_is_fetched_and_nothing_else(self, hub: Hub, home: Path) -> None:
        snapshot = Path(find(home, hub.url))
        assert {one.name: one.read_bytes() for one in snapshot.iterdir()} == WANTED
        assert hub.sent == set(WANTED)

    def test_a_whole_snapshot_is_taken_without_asking_the_hub(self, hub: Hub, home: Path) -> None:
        snapshot = cache(home, WANTED)
        assert find(home, hub.url) == str(snapshot)
        assert find(home, hub.url, allow_download=False) == str(snapshot)
        assert hub.num_requests == 0

    def test_what_a_snapshot_lacks_is_fetched(self, hub: Hub, home: Path) -> None:
        snapshot = cache(home, {"config.json": b"{}"})
        assert find(home, hub.url) == str(snapshot)
        assert {one.name for one in snapshot.iterdir()} == set(WANTED)

    def test_nothing_is_fetched_unless_allowed(self, hub: Hub, home: Path) -> None:
        cache(home, {name: content for name, content in WANTED.items() if name not in SHARDS.values()})
        assert f"run: hf download {HUB_ID}" in find(home, hub.url, allow_download=False)
        assert hub.num_requests == 0

    @pytest.mark.parametrize(
        ("state", "advice"),
        [
            ({"is_known": False}, "the hub has no such model"),
            ({"is_gated": True}, "accept the conditions on its page"),
            (
                {"files": {"config.json": b"{}", "tokenizer.json": b"{}"}},
                "model.safetensors can be had neither",
            ),
            ({"files": WANTED | {"model.safetensors.index.json": b"{}"}}, "cannot be read as an index"),
        ],
    )
    def test_what_cannot_be_had_is_said_with_what_to_do(
        self, hub: Hub, home: Path, state: dict[str, object], advice: str
    ) -> None:
        for name, value in state.items():
            setattr(hub, name, value)
        assert advice in find(home, hub.url)

    def test_a_hub_that_does_not_answer_is_said_with_what_to_do(self, home: Path) -> None:
        assert "check the network" in find(home, "http://127.0.0.1:9")

    def test_offline_means_offline(self, hub: Hub, home: Path) -> None:
        assert "HF_HUB_OFFLINE" in find(home, hub.url, offline=True)
        assert hub.num_requests == 0

    def test_a_part_of_a_snapshot_is_no_model_where_the_hub_does_not_answer(self, home: Path) -> None:
        cache(home, {"config.json": b"{}", "tokenizer.json": b"{}"})
        answer = find(home, "http://127.0.0.1:9")
        assert answer.startswith(
            "SOURCE_UNAVAILABLE: some-org/some-model: model.safetensors can be had neither"
        )
