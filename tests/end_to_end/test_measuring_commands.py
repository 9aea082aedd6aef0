"""`paceline demo` and `paceline bench` on clusters of their own."""

import json
from pathlib import Path

from tests.end_to_end.cluster_process import processes_that_mention
from tests.paceline.cli.command import run


async def test_the_demo_compares_every_answer_and_stops_everything(tmp_path: Path) -> None:
    ended = await run(tmp_path, "demo", "--pair", "tiny", "--max-tokens", "8")
    assert ended.exit_code == 0, ended.stderr
    assert "identical: yes (24 token ids compared)" in ended.stdout
    assert ended.stderr.count("ended with code 0") == 4
    assert processes_that_mention(str(tmp_path)) == []


async def test_a_benchmark_says_what_was_measured_on_what(tmp_path: Path) -> None:
    prompts, output = tmp_path / "mine.toml", tmp_path / "result.json"
    prompts.write_text('[[prompts]]\nname = "one"\ntext = "Count to ten."\n')
    flags = ("--prompts", str(prompts), "--num-draft-tokens", "2,4", "--max-tokens", "8", "--repeats", "2")
    ended = await run(tmp_path, "bench", "--pair", "tiny", *flags, "--sessions", "2", "--output", str(output))
    assert ended.exit_code == 0, ended.stderr
    assert "identical: yes" in ended.stdout
    report = json.loads(output.read_text())
    assert [result["variant"]["num_draft_tokens"] for result in report["results"]] == [0, 2, 4]
    assert all(result["num_completions"] == 4 for result in report["results"])
    assert report["is_identical"] is True
    assert report["models"]["target"]["name"] == "smollm2-135m-instruct"
    assert report["versions"]["openvino"]
    assert report["command"].startswith("paceline bench")
