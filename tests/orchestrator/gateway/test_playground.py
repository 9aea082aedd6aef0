"""The playground's files are served with headers that keep everything else out."""

import pytest

from orchestrator.gateway import playground
from tests.orchestrator.gateway.gateway_rig import error_of, serving_http
from tests.orchestrator.rig import target


@pytest.fixture
def files(tmp_path, monkeypatch):
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "playground.js").write_text("let a;")
    monkeypatch.setattr(playground, "DIRECTORY", tmp_path)
    return tmp_path


async def test_its_files_are_served_strictly_and_the_root_leads_there(redis, files):
    (files.parent / "secret").write_text("x")
    async with serving_http(redis.url, [target()]) as rig:
        root = await rig.http.get("/")
        page = await rig.http.get("/playground/")
        script = await rig.http.get("/playground/playground.js")
        again = await rig.http.get(
            "/playground/playground.js", headers={"if-none-match": script.headers["etag"]}
        )
        outside = [await rig.http.get(f"/playground/{way}secret") for way in ("../", "%2e%2e/", "..%2f", "/")]
        missing = await rig.http.get("/playground/nothing.js")
    assert (root.status_code, root.headers["location"]) == (307, "/playground/")
    assert page.headers["content-type"].startswith("text/html")
    for answer in (page, script):
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert again.status_code == 304
    assert {error_of(answer)[2] for answer in (*outside, missing)} == {"NO_SUCH_PAGE"}


async def test_it_can_be_switched_off(redis):
    async with serving_http(redis.url, [target()], http_playground="off") as rig:
        for path in ("/", "/playground", "/playground/"):
            assert error_of(await rig.http.get(path))[2] == "NO_SUCH_PAGE"
