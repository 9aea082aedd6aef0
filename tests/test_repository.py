"""The repository's own promises: locks, docs and tracked files agree with each other."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TEXT_SUFFIXES = {
    ".cfg",
    ".in",
    ".json",
    ".md",
    ".proto",
    ".py",
    ".pyi",
    ".sh",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
    "",
}
LOCK_EXTRAS = {
    "serve": {"local"},
    "dev": {"local", "dev"},
    "reference": {"local", "dev", "prepare", "accelerator"},
    "bench": {"local", "prepare", "bench"},
    "accelerator": {"local", "accelerator"},
}
IMAGE_EXTRAS = {"draft", "target", "orchestrator"}  # `local` is made of these


def tracked_files() -> list[Path]:
    """What git tracks and the work tree still has."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git work tree")
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def tracked_texts() -> list[tuple[Path, str]]:
    return [
        (path, path.read_text(encoding="utf-8")) for path in tracked_files() if path.suffix in TEXT_SUFFIXES
    ]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(extras: set[str]) -> list[Requirement]:
    """The base dependencies and those of `extras`, without references to our own extras."""
    groups = [
        project()["dependencies"],
        *(project()["optional-dependencies"][extra] for extra in sorted(extras)),
    ]
    parsed = [Requirement(line) for group in groups for line in group]
    return [requirement for requirement in parsed if requirement.name != "paceline"]


def locked_versions(lock: str) -> dict[str, set[str]]:
    """Version by package; a package may have several, for different Python versions."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / f"locks/{lock}.txt").read_text(), re.MULTILINE
    ):
        versions.setdefault(canonicalize_name(name), set()).add(version)
    return versions


class TestDependencies:
    def test_the_page_names_each_direct_dependency_once_under_its_extra(self) -> None:
        page = (ROOT / "docs/dependencies.md").read_text()
        documented: dict[str, set[str]] = {}
        for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
            heading, _, body = section.partition("\n")
            rows = re.findall(r"^\| `([a-z0-9-]+)` \| \S", body, re.MULTILINE)
            assert len(rows) == len(set(rows)), heading
            for extra in re.findall(r"`([a-z]+)`", heading) or ["base"]:
                documented[extra] = set(rows)

        declared = {"base": {requirement.name for requirement in requirements(set())}}
        for extra, lines in project()["optional-dependencies"].items():
            declared[extra] = {Requirement(line).name for line in lines} - {"paceline"}
        assert documented == declared

    @pytest.mark.parametrize("lock", sorted(LOCK_EXTRAS))
    def test_a_lock_satisfies_every_requirement_it_is_made_from(self, lock: str) -> None:
        versions = locked_versions(lock)
        for requirement in requirements(LOCK_EXTRAS[lock] | IMAGE_EXTRAS):
            if requirement.name == "torch":
                assert "torch" not in versions, "torch is installed on its own, as a CPU build"
                continue
            locked = versions.get(canonicalize_name(requirement.name))
            assert locked, f"{requirement.name} is missing: run `make lock`"
            assert all(requirement.specifier.contains(version) for version in locked), (
                f"{requirement}: `make lock`"
            )

    def test_each_lock_extends_the_one_before(self) -> None:
        serve, dev, reference, *others = (
            locked_versions(lock) for lock in ("serve", "dev", "reference", "bench", "accelerator")
        )
        assert serve.items() <= dev.items() <= reference.items()
        for other in others:
            assert serve.items() <= other.items()
            assert all(reference[name] == other[name] for name in reference.keys() & other.keys())

    @pytest.mark.parametrize("lock", sorted(LOCK_EXTRAS))
    def test_a_lock_names_no_index_and_hashes_every_package(self, lock: str) -> None:
        text = (ROOT / f"locks/{lock}.txt").read_text()
        assert not re.search(r"://|^--(extra-)?index-url|^--find-links|^#", text, re.MULTILINE)
        packages = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
        assert packages
        assert all("--hash=sha256:" in package for package in packages)

    def test_serving_installs_neither_torch_nor_transformers_nor_an_exporter(self) -> None:
        forbidden = re.compile(r"torch|transformers|optimum|nncf|nvidia|cuda|triton")
        assert [name for name in locked_versions("serve") if forbidden.match(name)] == []


class TestTrackedFiles:
    def test_no_file_holds_a_machines_path_a_private_host_or_a_credential(self) -> None:
        # Spelt in pieces, so that this file does not hold them itself.
        forbidden = re.compile(
            "|".join(
                (
                    r"(?<![\w./-])/(?:home|root|Users|work" + r"space)/[\w.-]+",
                    r"\b10(?:\.\d{1,3}){3}\b|\b192\.168(?:\.\d{1,3}){2}\b",
                    r"\bhttps?://[\w.-]+\.(?:internal|corp|local|lan)\b",
                    r"\b(?:AKIA[0-9A-Z]{16}|ghp_[A-Za-z0-9]{36}|hf_[A-Za-z0-9]{30,})",
                    r"-----BEGIN (?:[A-Z]+ )?PRIVATE" + r" KEY-----",
                )
            )
        )
        hits = [
            f"{path.relative_to(ROOT)}: {match.group()}"
            for path, text in tracked_texts()
            for match in forbidden.finditer(text)
        ]
        assert hits == []

    def test_no_file_holds_a_conflict_or_a_note_to_self(self) -> None:
        forbidden = re.compile(r"^(?:<{7}|>{7}) |\b(?:FIX" + r"ME|XX" + r"X|TO" + r"DO)\b", re.MULTILINE)
        hits = [
            f"{path.relative_to(ROOT)}: {match.group()}"
            for path, text in tracked_texts()
            if path.name != "tokenizer.json"  # a vocabulary has whatever words a model knows
            for match in forbidden.finditer(text)
        ]
        assert hits == []

    def test_no_tracked_file_is_large_but_those_of_shipped_drafts(self) -> None:
        large = [path for path in tracked_files() if path.stat().st_size > 1_000_000]
        assert [path for path in large if not path.is_relative_to(ROOT / "paceline/models/drafts")] == []

    def test_programs_are_executable_and_nothing_else_is(self) -> None:
        for path in tracked_files():
            has_interpreter_line = path.read_bytes()[:2] == b"#!"
            assert bool(path.stat().st_mode & 0o111) == has_interpreter_line, path.relative_to(ROOT)


def prose(markdown: str) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)


def headings(markdown: str) -> list[str]:
    """The headings, `#` marks first."""
    return re.findall(r"^#{1,6} .+", prose(markdown), re.MULTILINE)


def commands(markdown: str) -> list[str]:
    """The lines of shell blocks without comments: those may be translated."""
    blocks = re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"(?:^|\s+)#.*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def anchors(markdown: str) -> set[str]:
    """The fragments by which the headings of a page are linked to."""
    titles = [re.sub(r"^#+ ", "", heading).strip().lower() for heading in headings(markdown)]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


class TestPages:
    def test_both_readmes_have_the_same_outline_and_the_same_commands(self) -> None:
        english, japanese = ROOT / "README.md", ROOT / "README.ja.md"
        if not (english.exists() and japanese.exists()):
            pytest.skip("README.md or README.ja.md is not there yet")
        texts = [page.read_text(encoding="utf-8") for page in (english, japanese)]
        outlines = [[heading.split(" ")[0] for heading in headings(text)] for text in texts]
        assert outlines[0] == outlines[1]
        assert commands(texts[0]) == commands(texts[1])

    def test_every_make_target_that_a_page_names_exists(self) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        named = {
            (path.name, target)
            for path, text in tracked_texts()
            if path.suffix == ".md"
            for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)
        }
        assert {(page, target) for page, target in named if target not in targets} == set()

    def test_every_relative_link_resolves(self) -> None:
        broken: list[str] = []
        for page, text in tracked_texts():
            if page.suffix != ".md":
                continue
            for link in re.findall(r"\]\(([^()\s]+)\)", prose(text)):
                if re.match(r"[a-z]+:", link):
                    continue
                name, _, fragment = link.partition("#")
                target = (page.parent / name).resolve() if name else page
                resolves = target.exists() and (
                    not fragment
                    or target.suffix != ".md"
                    or fragment in anchors(target.read_text(encoding="utf-8"))
                )
                if not resolves:
                    broken.append(f"{page.relative_to(ROOT)}: {link}")
        assert broken == []
