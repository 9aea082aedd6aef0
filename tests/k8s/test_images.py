"""Images are built from locks alone, say what they are made of, and run as the manifests declare."""

import asyncio
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from k8s.images import build, checking
from k8s.images.archive import ImageConfig, OutsideFolderError, read_config, unpack
from k8s.images.engine import ENGINES, Engine, EngineError, ImageBuild, find_engine
from k8s.images.pip_settings import settings_for_builds
from k8s.images.sbom import bill_of_materials
from k8s.manifests import kustomize_program
from paceline.cli.benchmark.trial import TARGET_ONLY, bench_request
from paceline.client.orchestrator import connect
from tests.end_to_end.cluster_process import running_cluster
from tests.k8s.image_trial import MAX_TOKENS, PROGRAMS, prompts
from tests.k8s.pod_network import refusal
from tests.k8s.pod_spec import SECCOMP_PROFILE

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
DOCKERFILE = build.DOCKERFILE.read_text(encoding="utf-8")
LABEL = "org.opencontainers.image."


def labels(**changes: str) -> dict[str, str]:
    """Labels as they should be, but for some."""
    right = {"base_digest": DIGEST, "title": "paceline-draft", "created": "2026-01-02T03:04:05Z"} | changes
    return {LABEL + name: right.get(name.replace(".", "_"), "some") for name in checking.LABELS}


IMAGE = ImageConfig(
    image_id=DIGEST.removeprefix("sha256:"),
    user=checking.USER,
    entrypoint=("python", "-m", "draft_service"),
    environment={"PATH": "/opt/paceline/bin:/usr/bin", "PYTHON_VERSION": "3.11.14"},
    labels=labels(),
    working_directory="/tmp",
    history=("RUN pip install --require-hashes -r requirements/serve.txt",),
)
LOCKED = {"numpy": {"2.4.6"}, "rich": {"15.0.0"}}


def install(root: Path, name: str, version: str, *metadata: str) -> Path:
    """Lay a package's metadata where a wheel's would lie in an image."""
    folder = root / f"opt/paceline/lib/python3.11/site-packages/{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    lines = ("Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *metadata, "")
    (folder / "METADATA").write_text("\n".join(lines))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of a small image."""
    root = tmp_path / "root"
    install(root, "paceline", "0.1.0", "License-Expression: Apache-2.0", "Requires-Dist: numpy>=2")
    install(root, "numpy", "2.4.6", "Classifier: License :: OSI Approved :: BSD License")
    install(root, "rich", "15.0.0", "License: MIT", "Requires-Dist: torch; extra == 'all'")
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(
        "Package: libc6\nStatus: install ok installed\nMaintainer: Some Body <some@example.org>\n"
        "Architecture: amd64\nVersion: 1:2.36-9+deb12u13\nDescription: C library\n Version: of a line\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    )
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    return root


class TestDockerfile:
    def test_it_and_the_program_that_builds_give_an_image_all_its_labels(self) -> None:
        written = set(re.findall(rf"{re.escape(LABEL)}([\w.]+)=", DOCKERFILE))
        passed = {name.removeprefix(LABEL) for name in build.origin_of(build.pinned_base(), "").labels}
        assert written | passed == set(checking.LABELS)

    def test_it_has_every_argument_that_is_passed(self) -> None:
        passed = build.origin_of(build.pinned_base(), "").arguments
        assert passed.keys() == set(
            re.findall(r"^ARG (PYTHON_IMAGE|VERSION|REVISION|SOURCE)=", DOCKERFILE, re.MULTILINE)
        )

    def test_what_reads_an_index_has_the_builders_settings_as_secrets_and_no_image_has_them(self) -> None:
        instructions = DOCKERFILE.replace("\\\n", "").splitlines()
        reading = [line for line in instructions if "--require-hashes" in line]
        assert reading
        for line in reading:
            assert "--mount=type=secret,id=pip.conf " in line
            assert "--mount=type=secret,id=ca.pem " in line
        runtime = DOCKERFILE[DOCKERFILE.index(" AS runtime\n") :]
        assert "PIP_" not in runtime
        assert "secret" not in runtime

    def test_its_user_is_the_one_that_is_checked(self) -> None:
        runtime = DOCKERFILE[DOCKERFILE.index(" AS runtime\n") :]
        assert re.findall(r"^USER (\S+)$", runtime, re.MULTILINE)[-1] == checking.USER


class TestOrigin:
    @pytest.mark.parametrize("base", ["docker.io/library/python:3.11-slim", "python@sha256:123"])
    def test_a_base_without_a_digest_is_refused(self, base: str) -> None:
        with pytest.raises(EngineError, match="not pinned"):
            build.origin_of(base, "")

    def test_an_image_names_its_base_and_the_digest_of_it_apart(self) -> None:
        given = build.origin_of(f"python:3.11@{DIGEST}", "").labels
        assert (given[f"{LABEL}base.name"], given[f"{LABEL}base.digest"]) == ("python:3.11", DIGEST)

    def test_the_same_commit_says_the_same(self) -> None:
        assert build.origin_of(build.pinned_base(), "s") == build.origin_of(build.pinned_base(), "s")


class TestEngine:
    @pytest.fixture
    def called(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
        """Programs with the engines' names that write down how they are called."""
        for name in ENGINES:
            program = tmp_path / name
            program.write_text(
                f'#!/bin/sh\n[ "$1" = info ] || (echo {name}; printf "%s\\n" "$@") >>{tmp_path}/calls\n'
            )
            program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return lambda: (tmp_path / "calls").read_text().splitlines()  # pyright: ignore[reportReturnType]

    @pytest.mark.parametrize("name", ENGINES)
    def test_all_are_called_with_the_same_flags(self, name: str, called: Callable[[], list[str]]) -> None:
        one = ImageBuild(
            Path("Dockerfile"),
            "draft",
            "paceline-draft:1",
            {"VERSION": "1"},
            {"title": "a b"},
            ["id=x,src=y"],
        )
        find_engine(name).build(one, Path())
        program, verb, *flags = called()
        assert (program, verb, flags[-1]) == (name, "build", ".")
        assert {
            "--file=Dockerfile",
            "--target=draft",
            "--tag=paceline-draft:1",
            "--build-arg=VERSION=1",
            "--label=title=a b",
            "--secret=id=x,src=y",
        } <= set(flags)

    def test_without_a_wish_the_first_that_works_is_taken(
        self, called: Callable[[], list[str]], tmp_path: Path
    ) -> None:
        # A client without its daemon.
        (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
        assert find_engine() == Engine("podman")
        with pytest.raises(EngineError, match="docker works here"):
            find_engine("docker")

    def test_a_build_that_fails_is_an_error(self, called: Callable[[], list[str]], tmp_path: Path) -> None:
        (tmp_path / "podman").write_text('#!/bin/sh\n[ "$1" = info ]\n')
        with pytest.raises(EngineError, match="podman build failed"):
            find_engine("podman").build(ImageBuild(Path("Dockerfile"), "draft", "draft"), Path())


class TestPipSettings:
    def test_the_environment_comes_before_files_and_folders_of_this_machine_stay_here(self) -> None:
        listing = (
            ":env:.index-url='https://mirror.example/simple'\n"
            "global.cert='/etc/ca.pem'\n"
            "global.constraint='/etc/constraints.txt'\n"
            "global.extra-index-url='file:///srv/simple https://more.example/simple'\n"
            "global.index-url='https://elsewhere.example/simple'\n"
        )
        assert settings_for_builds(listing, {"REQUESTS_CA_BUNDLE": "/other.pem"}) == {
            "cert": "/etc/ca.pem",
            "extra-index-url": "https://more.example/simple",
            "index-url": "https://mirror.example/simple",
        }

    def test_certificates_of_the_environment_are_taken_where_pip_names_none(self) -> None:
        assert settings_for_builds("", {"REQUESTS_CA_BUNDLE": "/other.pem"}) == {"cert": "/other.pem"}


def layer(*entries: tuple[str, str | None]) -> bytes:
    """A layer of files with their text, of links (`-> TARGET`), and of folders (None)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            member.mode, member.uid, member.gid = 0o755, os.getuid(), os.getgid()
            if content is None:
                member.type = tarfile.DIRTYPE
            elif content.startswith("-> "):
                member.type, member.linkname = tarfile.SYMTYPE, content[3:]
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO((content or "").encode()))
    return data.getvalue()


def write_archive(path: Path, *layers: bytes) -> None:
    config = {
        "config": {
            "User": "65532:65532",
            "Env": ["A=b=c"],
            "Entrypoint": ["python"],
            "Labels": {"title": "t"},
        },
        "history": [{"created_by": "RUN true"}],
    }
    names = [f"{number}.tar" for number in range(len(layers))]
    files = {
        "manifest.json": json.dumps([{"Config": "abc.json", "Layers": names}]).encode(),
        "abc.json": json.dumps(config).encode(),
        **dict(zip(names, layers, strict=True)),
    }
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


class TestArchive:
    def test_an_image_is_its_layers_one_over_the_other(self, tmp_path: Path) -> None:
        write_archive(
            tmp_path / "image.tar",
            layer(
                ("a", None),
                ("a/kept", "1"),
                ("a/gone", "1"),
                ("b", None),
                ("b/old", "1"),
                ("link", "-> a/kept"),
            ),
            layer(("a/.wh.gone", ""), ("b/new", "2"), ("b/.wh..wh..opq", ""), ("link", "3")),
        )
        unpack(tmp_path / "image.tar", tmp_path / "root")
        found = {
            str(path.relative_to(tmp_path / "root")): path.read_text()
            for path in (tmp_path / "root").rglob("*")
            if path.is_file()
        }
        # What replaces a link does not write through it.
        assert found == {"a/kept": "1", "b/new": "2", "link": "3"}

    @pytest.mark.parametrize("name", ["out/stolen", "out/.wh.precious"])
    def test_no_link_of_an_image_leads_out_of_the_folder(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "precious").write_text("mine")
        write_archive(tmp_path / "image.tar", layer(("out", f"-> {tmp_path}")), layer((name, "theirs")))
        with pytest.raises(OutsideFolderError):
            unpack(tmp_path / "image.tar", tmp_path / "root")
        assert (tmp_path / "precious").read_text() == "mine"
        assert not (tmp_path / "stolen").exists()

    def test_its_configuration_is_read(self, tmp_path: Path) -> None:
        write_archive(tmp_path / "image.tar", layer())
        assert read_config(tmp_path / "image.tar") == ImageConfig(
            "abc", "65532:65532", ("python",), {"A": "b=c"}, {"title": "t"}, "/", ("RUN true",)
        )


class TestBillOfMaterials:
    def test_it_lists_packages_of_python_and_of_the_base_with_their_licences(self, root: Path) -> None:
        bill = bill_of_materials("paceline-draft", IMAGE, root)
        licences = {one["bom-ref"]: one.get("licenses") for one in bill["components"]}
        assert licences == {
            "debian-12": None,
            "pkg:deb/debian/libc6@1:2.36-9%2Bdeb12u13?arch=amd64&distro=debian-12": None,
            "pkg:generic/python@3.11.14": [{"license": {"id": "PSF-2.0"}}],
            "pkg:pypi/numpy@2.4.6": [{"license": {"name": "BSD License"}}],
            "pkg:pypi/paceline@0.1.0": [{"expression": "Apache-2.0"}],
            "pkg:pypi/rich@15.0.0": [{"license": {"name": "MIT"}}],
        }

    def test_it_says_which_package_requires_which(self, root: Path) -> None:
        bill = bill_of_materials("paceline-draft", IMAGE, root)
        required = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
        assert required["pkg:pypi/paceline@0.1.0"] == ["pkg:pypi/numpy@2.4.6"]
        assert required["pkg:pypi/rich@15.0.0"] == []
        assert required["paceline-draft"] == [one["bom-ref"] for one in bill["components"]]

    def test_the_same_image_gives_the_same_document(self, root: Path) -> None:
        assert bill_of_materials("paceline-draft", IMAGE, root) == bill_of_materials(
            "paceline-draft", IMAGE, root
        )

    def test_it_is_valid_by_the_schema_of_cyclonedx(self, root: Path) -> None:
        assert schema_errors(bill_of_materials("paceline-draft", IMAGE, root)) == []

    def test_the_schema_finds_what_is_wrong(self, root: Path) -> None:
        bill = bill_of_materials("paceline-draft", IMAGE, root)
        del bill["components"][0]["name"]
        assert schema_errors(bill) != []


def schema_errors(bill: dict[str, Any]) -> list[str]:
    """What CycloneDX's own schema says against a document; skips where no package brings it."""
    spec = find_spec("cyclonedx")
    if spec is None or spec.origin is None:
        pytest.skip(
            "cyclonedx-python-lib, which carries the schemas, is not installed: make manifests-check does it"
        )
    folder = Path(spec.origin).parent / "schema/_res"
    names = [f"{name}.SNAPSHOT.schema.json" for name in ("bom-1.6", "spdx", "jsf-0.82")]
    schemas = {name: json.loads((folder / name).read_text()) for name in names}
    # They refer to each other by the names of their files.
    registry = Registry().with_resources(
        (urljoin(schemas[names[0]]["$id"], name), Resource.from_contents(one))
        for name, one in schemas.items()
    )
    validator = Draft7Validator(schemas[names[0]], registry=registry)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(bill)]


class TestChecking:
    def test_an_image_as_it_should_be_passes(self, root: Path) -> None:
        assert checking.problems("paceline-draft", IMAGE, root, LOCKED) == []

    @pytest.mark.parametrize(
        ("changes", "found"),
        [
            ({"user": ""}, "runs as root"),
            (
                {"labels": labels(revision="")},
                "no label org.opencontainers.image.revision",
            ),
            ({"labels": labels(title="paceline-target")}, "is called 'paceline-target'"),
            ({"labels": labels(base_digest="latest")}, "which is no digest"),
            ({"environment": {"PIP_INDEX_URL": "https://mirror.example"}}, "the variable PIP_INDEX_URL"),
            ({"environment": {"https_proxy": "http://proxy.example"}}, "the variable https_proxy"),
            ({"history": ("RUN pip install --index-url https://mirror.example rich",)}, "in its history"),
        ],
    )
    def test_a_wrong_configuration_is_found(self, root: Path, changes: dict[str, Any], found: str) -> None:
        (problem,) = checking.problems("paceline-draft", replace(IMAGE, **changes), root, LOCKED)
        assert found in problem

    @pytest.mark.parametrize(
        ("name", "version", "found"),
        [
            ("torch", "2.13.0", "torch, which serving does not need"),
            ("httpx", "0.28.1", "httpx 0.28.1, which is not locked"),
        ],
    )
    def test_a_package_that_does_not_belong_there_is_found(
        self, root: Path, name: str, version: str, found: str
    ) -> None:
        install(root, name, version)
        (problem,) = checking.problems("paceline-draft", IMAGE, root, LOCKED)
        assert found in problem

    def test_another_version_than_the_locked_one_is_found(self, root: Path) -> None:
        (problem,) = checking.problems("paceline-draft", IMAGE, root, LOCKED | {"rich": {"14.0.0"}})
        assert "rich 15.0.0, which is not locked" in problem

    def test_a_secret_that_stayed_is_found(self, root: Path) -> None:
        (root / "run/secrets").mkdir(parents=True)
        assert checking.problems("paceline-draft", IMAGE, root, LOCKED) == []
        (root / "run/secrets/pip.conf").touch()
        (problem,) = checking.problems("paceline-draft", IMAGE, root, LOCKED)
        assert "run/secrets" in problem

    def test_a_file_that_its_user_could_change_is_found(self, root: Path) -> None:
        (root / "opt/paceline/lib").chmod(0o777)
        (problem,) = checking.problems("paceline-draft", IMAGE, root, LOCKED)
        assert "write to /opt/paceline/lib" in problem

    def test_of_a_lock_every_version_is_known(self, tmp_path: Path) -> None:
        lock = tmp_path / "lock.txt"
        lock.write_text('one==1 ; python_version < "3.12" \\\n    --hash=sha256:a\none==2 \\\nTwo.x==3\n')
        assert checking.locked_versions(lock) == {"one": {"1", "2"}, "two-x": {"3"}}


@pytest.fixture(scope="module")
def images() -> Iterator[Path]:
    """A folder with the four images, built here: NAME.tar, NAME unpacked, and its bill of materials in `bills`."""
    missing = [
        one for one in ("buildah", "mmdebstrap", "runc", "unshare", "nsenter") if shutil.which(one) is None
    ]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"images are built and run by root with Debian's {', '.join(missing) or 'buildah and runc'}"
        )
    if kustomize_program() is None:
        pytest.skip("neither kubectl nor kustomize is installed: make manifests-check brings kubectl")
    if not SECCOMP_PROFILE.is_file():
        pytest.skip(f"no profile {SECCOMP_PROFILE}: Debian's golang-github-containers-common has it")
    if reason := refusal():
        pytest.skip(reason)
    with (
        tempfile.TemporaryDirectory(prefix="paceline-images-", ignore_cleanup_errors=True) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)
        patch.setenv("CONTAINERS_STORAGE_CONF", str(storage(folder)))
        patch.setenv("BUILDAH_ISOLATION", "chroot")
        base = said_last([str(build.DOCKERFILE.parent / "local-base"), "localhost/paceline-base:local"])
        command = [sys.executable, "-m", "k8s.images.build", "--engine", "buildah", "--base", base]
        said_last([*command, "--source", "https://git.example.org/paceline", "--out", str(folder / "bills")])
        for image in build.IMAGES:
            archive = folder / f"{image}.tar"
            Engine("buildah").save(f"paceline-{image}:{build.origin_of(base, '').version}", archive)
            unpack(archive, folder / image)
        yield folder


def storage(folder: Path) -> Path:
    """Write where buildah keeps its layers; as whole copies of all files where there can be no overlay."""
    path = folder / "storage.conf"
    for driver in ("overlay", "vfs"):
        path.write_text(
            f'[storage]\ndriver = "{driver}"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/storage"\n'
        )
        tried = subprocess.run(
            ["buildah", "info"],
            env=os.environ | {"CONTAINERS_STORAGE_CONF": str(path)},
            capture_output=True,
            check=False,
        )
        if tried.returncode == 0:
            break
    return path


def said_last(command: list[str]) -> str:
    """Run a command that must succeed; returns the last line that it printed."""
    done = subprocess.run(command, cwd=build.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[tuple[int, ...], str]]:
    """Ids and text of each prompt of the trial, by the same models from this checkout, the target alone."""

    async def complete_all(address: str) -> dict[str, tuple[tuple[int, ...], str]]:
        async with connect(address) as orchestrator:
            completions = {
                prompt.name: await orchestrator.complete(bench_request(prompt, TARGET_ONLY, MAX_TOKENS))
                for prompt in prompts()
            }
        return {name: (one.token_ids, one.text) for name, one in completions.items()}

    with running_cluster(tmp_path_factory.mktemp("up"), "--pair", "tiny") as cluster:
        return asyncio.run(complete_all(cluster.address))


@pytest.fixture(scope="module")
def report(images: Path, expected: dict[str, tuple[tuple[int, ...], str]]) -> dict[str, Any]:
    """What a trial of the images found."""
    from paceline.models.cache import default_cache_dir  # noqa: PLC0415

    volume = images / "volume"
    # The job finds the file that `expected` has needed too, so that it does not download it.
    shutil.copytree(
        default_cache_dir() / "models/smollm2-135m-instruct", volume / "models/smollm2-135m-instruct"
    )
    for path in (volume, *volume.rglob("*")):
        os.chown(path, 65532, 65532)
    command = ["unshare", "--net", sys.executable, "-m", "tests.k8s.image_trial", str(images)]
    subprocess.run(command, cwd=build.ROOT, check=True)
    return json.loads((images / "report.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(5400)
class TestBuiltImages:
    @pytest.mark.parametrize("name", build.IMAGES)
    def test_each_is_what_its_configuration_and_its_bill_say(self, images: Path, name: str) -> None:
        config = read_config(images / f"{name}.tar")
        lock = checking.locked_versions(build.ROOT / "locks/serve.txt")
        assert checking.problems(f"paceline-{name}", config, images / name, lock) == []
        assert config.labels[f"{LABEL}source"] == "https://git.example.org/paceline"
        (path,) = (images / "bills").glob(f"paceline-{name}-*.cdx.json")
        bill = json.loads(path.read_text())
        assert bill == bill_of_materials(f"paceline-{name}", config, images / name)
        assert schema_errors(bill) == []

    def test_the_job_prepares_the_models(self, report: dict[str, Any]) -> None:
        assert report["job_exit_codes"] == {"target": 0, "draft": 0}

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_a_pod_is_confined_as_its_manifest_says(self, report: dict[str, Any], name: str) -> None:
        confinement = report["pods"][name]["confinement"]
        assert confinement["user_ids"] == [65532]
        assert confinement["capabilities"] == 0
        assert confinement["no_new_privileges"] == [1]
        assert confinement["seccomp_modes"] == [2]
        assert "ro" in confinement["root_options"]

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_a_pod_can_write_to_its_scratch_volume_only(self, report: dict[str, Any], name: str) -> None:
        writes = report["pods"][name]["writes"]
        assert writes.pop("/tmp") == "written"
        assert set(writes.values()) == {"EROFS"}
        assert report["pods"][name]["changed_files"] == []

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_probes_wait_until_a_pod_serves(self, report: dict[str, Any], name: str) -> None:
        answers = report["pods"][name]["probe_answers"]
        assert answers[-1] == "SERVING"
        assert "NOT_SERVING" in answers
        assert report["liveness"][name] == "SERVING"
        assert set(report["pods"][name]["init_exit_codes"].values()) == {0}

    def test_the_ids_and_texts_are_those_of_this_checkout(
        self, report: dict[str, Any], expected: dict[str, tuple[tuple[int, ...], str]]
    ) -> None:
        answers = {one["prompt"]: (tuple(one["token_ids"]), one["text"]) for one in report["answers"]}
        assert answers == expected
        assert sum(one["num_accepted"] for one in report["answers"]) > 0

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_sigterm_ends_a_pod_before_its_grace_period_does(self, report: dict[str, Any], name: str) -> None:
        # It would have been killed then.
        assert report["pods"][name]["stopped"]["exit_code"] == 0
