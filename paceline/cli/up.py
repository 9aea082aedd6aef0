"""`paceline up`: a cluster on this machine until Ctrl-C."""

import asyncio
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from paceline.cli.cluster_lines import ClusterLines
from paceline.cli.cluster_options import (
    AsJson,
    Cores,
    DraftWeights,
    ModelOptions,
    PairName,
    TargetWeights,
    assign_cores,
    set_up_models,
)
from paceline.cli.failure import FAILURE_EXIT_CODE
from paceline.cli.model_setup import DRAFT_WEIGHTS, TARGET_WEIGHTS
from paceline.local.cluster import LocalCluster
from paceline.local.cluster_record import write_record
from paceline.local.listen_address import free_address
from paceline.local.plan import ClusterConfig
from paceline.local.stop_signals import StoppedError
from paceline.local.supervisor import run_in_cluster

_HTTP_ADDRESS = "127.0.0.1:8000"
_NO_HTTP = "off"

app = typer.Typer(add_completion=False)


@app.command()
def up(
    pair: PairName = "reference",
    target: Annotated[
        str | None, typer.Option(help="Target model, with --draft: a name, GGUF file, directory or hub id.")
    ] = None,
    draft: Annotated[str | None, typer.Option(help="Draft model, with --target.")] = None,
    target_weights: TargetWeights = TARGET_WEIGHTS,
    draft_weights: DraftWeights = DRAFT_WEIGHTS,
    target_replicas: Annotated[int, typer.Option(min=1, max=64, help="Processes that host the target.")] = 1,
    draft_replicas: Annotated[
        int, typer.Option(min=0, max=64, help="Processes that host the draft; 0: the target decodes alone.")
    ] = 1,
    cores: Cores = None,
    num_draft_tokens: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Draft tokens a round; the orchestrator's own if not given."),
    ] = None,
    kv_cache_mib: Annotated[
        int | None,
        typer.Option(min=1, help="KV cache of each model process, MiB; the services' own if not given."),
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="Redis to keep sessions in; an embedded one if not given.")
    ] = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT of the orchestrator.")] = "127.0.0.1:7000",
    http_listen: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of OpenAI's HTTP API and the playground; off: neither.  [default: 127.0.0.1:8000, or "
            "another port where that is taken]",
            show_default=False,
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65000,
            help="Serve Prometheus metrics: the orchestrator's at this port, those of targets from the next one on, "
            "those of drafts from 101 above.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run Redis, targets, drafts and an orchestrator as processes of their own, until Ctrl-C."""
    assignment = assign_cores(cores)
    options = ModelOptions(pair, target_weights, draft_weights, target, draft)
    config = replace(
        set_up_models(options),
        num_target_replicas=target_replicas,
        num_draft_replicas=draft_replicas,
        cores=assignment,
        listen=listen,
        http_listen=_http_address(http_listen),
        redis_url=redis_url,
        num_draft_tokens=num_draft_tokens,
        kv_cache_mib=kv_cache_mib,
        metrics_port=metrics_port,
    )
    asyncio.run(_Up(config, as_json=as_json).run())


def _http_address(wanted: str | None) -> str | None:
    """Return where HTTP is served; None where it is not."""
    if wanted is None:
        return free_address(_HTTP_ADDRESS)
    return None if wanted == _NO_HTTP else wanted


class _Up:
    """One run of the command."""

    def __init__(self, config: ClusterConfig, *, as_json: bool) -> None:
        self._config = config
        self._as_json = as_json
        self._lines = ClusterLines()
        self._was_ready = False

    async def run(self) -> None:
        self._lines.say(f"cores: {self._config.cores.describe() or 'not pinned'}")
        try:
            await run_in_cluster(self._config, self._stay, self._lines.show_ready, self._lines.show_end)
        except StoppedError:
            # Once it is ready, being stopped is how it ends well.
            if not self._was_ready:
                raise
        if not self._lines.all_ended_well:
            raise typer.Exit(FAILURE_EXIT_CODE)

    async def _stay(self, cluster: LocalCluster, directory: Path) -> None:
        target, draft = self._config.target.name, self._config.draft.name
        write_record(directory, cluster.address, target, draft)
        self._was_ready = True
        if self._as_json:
            print(json.dumps(self._describe(cluster, directory)), flush=True)
        else:
            self._lines.say(f"logs: {directory}")
            if self._config.http_listen is not None:
                self._lines.say(f"playground: http://{self._config.http_listen}/")
                self._lines.say(f"OpenAI's API: http://{self._config.http_listen}/v1")
            print('ready: paceline generate "Write quicksort in C." --show-drafts', flush=True)
        await asyncio.Event().wait()

    def _describe(self, cluster: LocalCluster, directory: Path) -> dict[str, object]:
        return {
            "address": cluster.address,
            "http_address": self._config.http_listen,
            "target": self._config.target.name,
            "draft": self._config.draft.name,
            "cores": self._config.cores.describe(),
            "directory": str(directory),
            "processes": [asdict(status) for status in self._lines.ready],
        }
