"""The manifests say what the programs understand: each probe, port, variable, flag, metric and grace period."""

import importlib.util
import re
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from k8s import policy, prometheus_rules, schemas
from k8s.check import build_all, policy_problems, schema_problems, stale_files
from k8s.manifests import (
    COMPONENTS,
    OVERLAYS,
    ROOT,
    Manifest,
    containers,
    kustomize_program,
    name_of,
    pod_template,
    read,
    selects,
)
from orchestrator.config import OrchestratorConfig
from paceline.cli.models import app as models_command
from paceline.models.catalog import MODELS
from paceline.models.prepared import WEIGHT_FORMATS
from paceline.security.peer_names import is_allowed
from paceline.serving.config import ModelServiceConfig, ServiceConfig
from paceline.telemetry.catalogue import CATALOGUE, Kind
from paceline.v1 import draft_service_pb2, orchestrator_service_pb2, target_service_pb2
from tests.k8s.cert_manager import seconds_of
from tests.k8s.overlay import (
    CONFIGS,
    SECURED,
    built,
    config_of,
    mounted_secrets,
    named,
    serving_container,
    variables_of,
    written,
)
from tests.monitoring.promql import parse

REPOSITORY = ROOT.parent
BASE = ROOT / "base"
SERVED = {
    "target": target_service_pb2.DESCRIPTOR.services_by_name["TargetService"].full_name,
    "draft": draft_service_pb2.DESCRIPTOR.services_by_name["DraftService"].full_name,
    "orchestrator": orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"].full_name,
}
# What a replica of the reference pair holds beside its KV cache, MiB: docs/decisions/053, "Who shares which memory".
MODEL_MIB = {"target": 1747 + 1560, "draft": 885}
# What a GPU is called as a resource, in the overlays whose targets compute on one.
ACCELERATORS = {"intel-gpu": "gpu.intel.com/i915", "nvidia": "nvidia.com/gpu"}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# What cert-manager writes into a Secret.
CERTIFICATE_FILES = {"tls.crt", "tls.key", "ca.crt"}
# What a process may need after its grace period is over: closing the socket, the interpreter's end.
MARGIN_SECONDS = 5


def require_schemas() -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip(
            "kubernetes-validate, which carries the schemas, is not installed: make manifests-check does it"
        )


def settings(program: str) -> dict[str, str]:
    """Setting by the name of its variable."""
    config = CONFIGS[program]
    prefix = str(config.model_config.get("env_prefix", ""))
    return {f"{prefix}{field}".upper(): field for field in config.model_fields}


def env_file(name: str) -> dict[str, str]:
    lines = (BASE / f"{name}.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def kustomizations() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in sorted(ROOT.glob("*/*/kustomization.yaml")):
        yield f"{path.parent.parent.name}/{path.parent.name}", read(path)


def literals(kustomization: Mapping[str, Any], name: str) -> dict[str, str]:
    """What an overlay or a component sets in a ConfigMap."""
    generators = [one for one in kustomization.get("configMapGenerator", ()) if one["name"] == name]
    return dict(line.split("=", 1) for one in generators for line in one.get("literals", ()))


def patched_values(kustomization: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Path and value of each change that a kustomization makes to objects."""
    for patch in kustomization.get("patches", ()):
        for operation in yaml.safe_load(patch["patch"]):
            yield operation["path"], operation.get("value")


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def mib_of(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # pyright: ignore[reportOptionalMemberAccess]
    return int(number) * (1024 if unit == "Gi" else 1)


class TestVariables:
    @pytest.mark.parametrize("program", CONFIGS)
    def test_every_variable_of_the_base_is_a_setting(self, program: str) -> None:
        container = serving_container(program, written(BASE)).spec
        names = {*env_file(program), *(variable["name"] for variable in container["env"])}
        assert names - settings(program).keys() == set()

    @pytest.mark.parametrize("program", CONFIGS)
    def test_every_variable_that_overlays_and_components_set_is_a_setting(self, program: str) -> None:
        for name, kustomization in kustomizations():
            assert (
                literals(kustomization, f"paceline-{program}").keys() - settings(program).keys() == set()
            ), name

    def test_variables_that_are_patched_in_are_settings(self) -> None:
        known = {name for program in CONFIGS for name in settings(program)}
        added = [
            value["name"]
            for _, kustomization in kustomizations()
            for path, value in patched_values(kustomization)
            if path.endswith("/env/-")
        ]
        assert "PACELINE_ORCHESTRATOR_REDIS_URL" in added
        assert set(added) <= known

    @pytest.mark.parametrize("overlay", OVERLAYS)
    @pytest.mark.parametrize("program", CONFIGS)
    def test_each_program_accepts_the_configuration_of_each_overlay(
        self, overlay: str, program: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert config_of(built(overlay), program, monkeypatch).program in {program, f"{program}_service"}

    @pytest.mark.parametrize("program", ["target", "draft"])
    def test_threads_are_as_many_as_the_containers_own_cores(self, program: str) -> None:
        container = serving_container(program, written(BASE)).spec
        variable = f"PACELINE_{program.upper()}_NUM_THREADS"
        source = next(one["valueFrom"] for one in container["env"] if one["name"] == variable)
        assert source["resourceFieldRef"] == {"containerName": container["name"], "resource": "limits.cpu"}

    def test_models_are_catalogued_and_weights_are_formats(self) -> None:
        models = [
            *(env_file(f"{pool}-model") for pool in ("target", "draft")),
            *(
                literals(one, f"paceline-{pool}-model")
                for _, one in kustomizations()
                for pool in ("target", "draft")
            ),
        ]
        for values in models:
            for key, value in values.items():
                assert value in (WEIGHT_FORMATS if key.endswith("WEIGHTS") else MODELS), key

    def test_the_job_uses_a_command_and_flags_that_exist(self) -> None:
        command = typer.main.get_command(models_command)
        prepare = command.commands["prepare"]  # pyright: ignore[reportAttributeAccessIssue]
        flags = {flag for parameter in prepare.params for flag in parameter.opts}
        for container in containers(named(written(BASE), "Job/paceline-models")):
            subcommand, source, flag, weights = container.spec["args"]
            assert subcommand == "prepare"
            assert flag in flags
            assert (source, weights) == ("$(MODEL)", "$(WEIGHTS)")
            (variables,) = container.spec["envFrom"]
            pool = container.spec["name"]
            assert variables["configMapRef"]["name"] == f"paceline-{pool}-model"
            assert env_file(f"{pool}-model").keys() == {"MODEL", "WEIGHTS"}


class TestProbesAndPorts:
    @pytest.mark.parametrize("program", CONFIGS)
    def test_probes_ask_for_the_service_that_the_program_reports_on_at_the_port_that_it_listens_at(
        self, program: str
    ) -> None:
        container = serving_container(program, written(BASE)).spec
        port = port_of(env_file(program)[f"PACELINE_{program.upper()}_LISTEN"])
        for probe in ("startupProbe", "readinessProbe"):
            assert container[probe]["grpc"] == {"port": port, "service": SERVED[program]}
        # The health of the whole process, which has no name.
        assert container["livenessProbe"]["grpc"] == {"port": port}

    @pytest.mark.parametrize("program", CONFIGS)
    def test_container_ports_are_those_that_the_program_listens_at(self, program: str) -> None:
        container = serving_container(program, written(BASE)).spec
        env, prefix = env_file(program), f"PACELINE_{program.upper()}_"
        assert {one["name"]: one["containerPort"] for one in container["ports"]} == listening(env, prefix)

    @pytest.mark.parametrize("program", CONFIGS)
    def test_a_service_leads_to_the_pods_and_their_port(self, program: str) -> None:
        service = named(written(BASE), f"Service/paceline-{program}")
        template = pod_template(named(written(BASE), f"Deployment/paceline-{program}"))
        assert template is not None
        assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        called = listening(env_file(program), f"PACELINE_{program.upper()}_")
        del called["metrics"]  # Prometheus asks each pod
        assert {one["targetPort"]: one["port"] for one in service["spec"]["ports"]} == called
        assert all(one["name"] == one["targetPort"] for one in service["spec"]["ports"])

    @pytest.mark.parametrize("pool", ["target", "draft"])
    def test_orchestrators_follow_the_headless_service_of_a_pool(self, pool: str) -> None:
        service = named(written(BASE), f"Service/paceline-{pool}")
        assert service["spec"]["clusterIP"] == "None"
        # Orchestrators judge replicas by their pulse, not by the probes.
        assert service["spec"]["publishNotReadyAddresses"] is True
        address = env_file("orchestrator")[f"PACELINE_ORCHESTRATOR_{pool.upper()}_ADDRESSES"]
        assert address == f"dns:{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"

    def test_network_policies_open_ports_that_somebody_listens_at(self) -> None:
        manifests = [*written(BASE), *(m for name in COMPONENTS for m in written(ROOT / "components" / name))]
        pods = [template for manifest in manifests if (template := pod_template(manifest)) is not None]
        for manifest in manifests:
            if manifest["kind"] != "NetworkPolicy":
                continue
            for rule in manifest["spec"].get("ingress", ()):
                served = [
                    pod for pod in pods if selects(manifest["spec"]["podSelector"], pod["metadata"]["labels"])
                ]
                assert served, name_of(manifest)
                for pod in served:
                    names = {
                        port["name"] for container in pod["spec"]["containers"] for port in container["ports"]
                    }
                    assert {port["port"] for port in rule["ports"]} <= names, name_of(manifest)

    def test_the_way_from_the_orchestrator_to_each_pool_is_open_at_both_ends(self) -> None:
        egress = named(written(BASE), "NetworkPolicy/paceline-orchestrator")["spec"]["egress"]
        for pool in ("target", "draft"):
            labels = {"app.kubernetes.io/name": f"paceline-{pool}"}
            ways = [
                rule
                for rule in egress
                if any(selects(to.get("podSelector", {}), labels) for to in rule["to"])
            ]
            port = port_of(env_file(pool)[f"PACELINE_{pool.upper()}_LISTEN"])
            assert [[one["port"] for one in rule["ports"]] for rule in ways] == [[port]]

    @pytest.mark.parametrize("overlay", OVERLAYS)
    @pytest.mark.parametrize("pool", ["target", "draft"])
    def test_a_pool_may_begin_no_connection(self, overlay: str, pool: str) -> None:
        labels = pod_labels(built(overlay), pool)
        policies = [one["spec"] for one in built(overlay) if one["kind"] == "NetworkPolicy"]
        ways_out = [
            one["egress"] for one in policies if "egress" in one and selects(one["podSelector"], labels)
        ]
        assert ways_out == []
        assert any(one["podSelector"] == {} and "Egress" in one["policyTypes"] for one in policies)


def pod_labels(manifests: list[Manifest], program: str) -> Mapping[str, str]:
    template = pod_template(named(manifests, f"Deployment/paceline-{program}"))
    assert template is not None
    return template["metadata"]["labels"]


class TestSecrets:
    """Certificates and tenants, in the overlays that have them."""

    @pytest.mark.parametrize("overlay", SECURED)
    @pytest.mark.parametrize("program", CONFIGS)
    def test_files_that_a_program_reads_are_files_of_secrets_that_its_pod_mounts(
        self, overlay: str, program: str
    ) -> None:
        manifests = built(overlay)
        certificates = secrets_of_certificates(manifests)
        named_files = {
            name: value
            for name, value in variables_of(manifests, program).items()
            if name.endswith("_FILE") and not name.endswith("_TOKEN_KEY_FILE")
        }
        assert len(named_files) == (4 if program == "orchestrator" else 3)
        folders = mounted_secrets(manifests, program)
        for name, value in named_files.items():
            folder, _, file = value.rpartition("/")
            secret = folders[folder]
            # cert-manager writes these; what people make is in the docs.
            assert file in (CERTIFICATE_FILES if secret in certificates else {"tenants.yaml"}), name
            assert secret in certificates | {"paceline-tenants"}

    def test_secrets_that_nobody_issues_are_made_as_the_pages_say(self) -> None:
        manifests = built("production")
        wanted = {name for program in CONFIGS for name in mounted_secrets(manifests, program).values()}
        made_by_hand = wanted - secrets_of_certificates(manifests)
        assert made_by_hand == {"paceline-redis", "paceline-tenants"}
        pages = "".join((REPOSITORY / f"docs/{page}.md").read_text() for page in ("deploy", "tenants"))
        for secret in made_by_hand:
            assert f"kubectl -n paceline create secret generic {secret} " in pages
        # The authority of Redis' certificate, at the place at which the URL in the docs names it.
        assert mounted_secrets(manifests, "orchestrator")["/redis"] == "paceline-redis"
        assert "ssl_ca_certs=/redis/ca.crt" in pages
        assert "--from-file=ca.crt" in pages

    @pytest.mark.parametrize("overlay", SECURED)
    @pytest.mark.parametrize("program", CONFIGS)
    def test_a_pods_user_can_read_them_and_nobody_else(self, overlay: str, program: str) -> None:
        template = pod_template(named(built(overlay), f"Deployment/paceline-{program}"))
        assert template is not None
        context = template["spec"]["securityContext"]
        assert context["fsGroup"] == context["runAsGroup"]
        for volume in template["spec"]["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440
        mounts = serving_container(program, built(overlay)).spec["volumeMounts"]
        assert all(one.get("readOnly") for one in mounts if one["mountPath"] != "/tmp")

    @pytest.mark.parametrize("overlay", SECURED)
    @pytest.mark.parametrize("program", CONFIGS)
    def test_probes_ask_at_the_port_that_serves_the_health_alone(self, overlay: str, program: str) -> None:
        manifests = built(overlay)
        container = serving_container(program, manifests).spec
        variables, prefix = variables_of(manifests, program), f"PACELINE_{program.upper()}_"
        port = port_of(variables[f"{prefix}HEALTH_LISTEN"])
        assert [container[probe]["grpc"]["port"] for probe in PROBES] == [port] * len(PROBES)
        assert {one["name"]: one["containerPort"] for one in container["ports"]} == {
            **listening(variables, prefix),
            "health": port,
        }

    @pytest.mark.parametrize("overlay", SECURED)
    def test_probes_come_from_the_node_so_that_no_policy_opens_their_port(self, overlay: str) -> None:
        policies = [one["spec"] for one in built(overlay) if one["kind"] == "NetworkPolicy"]
        opened = {
            port["port"] for one in policies for rule in one.get("ingress", ()) for port in rule["ports"]
        }
        assert "grpc" in opened
        assert opened.isdisjoint({"health", 7010})

    def test_certificates_have_the_names_that_are_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        manifests = built("production")
        names = {program: certificate_of(manifests, program)["dnsNames"] for program in CONFIGS}
        orchestrator = config_of(manifests, "orchestrator", monkeypatch)
        assert isinstance(orchestrator, OrchestratorConfig)
        assert orchestrator.target_tls_name in names["target"]
        assert orchestrator.draft_tls_name in names["draft"]
        for program in CONFIGS:
            # By what clients and operators call it.
            service = named(manifests, f"Service/paceline-{program}")["metadata"]
            for host in ("", f".{service['namespace']}", f".{service['namespace']}.svc"):
                assert f"{service['name']}{host}" in names[program]

    @pytest.mark.parametrize("pool", ["target", "draft"])
    def test_of_all_certificates_the_orchestrators_alone_opens_a_pool(
        self, pool: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifests = built("production")
        config = config_of(manifests, pool, monkeypatch)
        assert config.tls_clients == "require"
        for program in CONFIGS:
            certificate = certificate_of(manifests, program)
            opens = is_allowed(certificate["dnsNames"], config.tls_peer_names)
            assert opens == (program == "orchestrator")
            assert ("client auth" in certificate["usages"]) == opens
            assert "server auth" in certificate["usages"]

    def test_certificates_are_renewed_in_time_and_with_new_keys(self) -> None:
        for certificate in written(ROOT / "components/tls"):
            if certificate["kind"] != "Certificate":
                continue
            spec = certificate["spec"]
            duration, margin = (seconds_of(spec[name]) for name in ("duration", "renewBefore"))
            # What cert-manager takes, and a day to notice that it has stopped.
            assert duration >= 3600
            assert 24 * 3600 <= margin < duration
            is_authority = spec.get("isCA", False)
            assert spec["privateKey"]["rotationPolicy"] == ("Never" if is_authority else "Always")
            assert is_authority or duration <= 7 * 24 * 3600
        authority, *_ = [one["spec"] for one in written(ROOT / "components/tls") if one["spec"].get("isCA")]
        longest = max(
            seconds_of(one["spec"]["duration"])
            for one in written(ROOT / "components/tls")
            if "dnsNames" in one["spec"]
        )
        assert seconds_of(authority["renewBefore"]) > longest, "nothing outlives the authority"

    def test_issuers_are_there_and_nobody_mounts_the_authoritys_key(self) -> None:
        manifests = built("production")
        issuers = {one["metadata"]["name"]: one["spec"] for one in manifests if one["kind"] == "Issuer"}
        certificates = [one["spec"] for one in manifests if one["kind"] == "Certificate"]
        assert {one["issuerRef"]["name"] for one in certificates} == issuers.keys()
        (authority,) = [one for one in certificates if one.get("isCA")]
        assert issuers[authority["issuerRef"]["name"]] == {"selfSigned": {}}
        others = {one["issuerRef"]["name"] for one in certificates if one is not authority}
        assert [issuers[name] for name in others] == [{"ca": {"secretName": authority["secretName"]}}]
        mounted = {secret for program in CONFIGS for secret in mounted_secrets(manifests, program).values()}
        assert authority["secretName"] not in mounted

    def test_a_service_says_that_it_speaks_tls_where_it_does(self) -> None:
        for overlay in OVERLAYS:
            ports = named(built(overlay), "Service/paceline-orchestrator")["spec"]["ports"]
            plain = ["kubernetes.io/h2c", "http"]
            spoken = ["https"] * 2 if overlay in SECURED else plain
            assert [port["appProtocol"] for port in ports] == spoken

    @pytest.mark.parametrize("program", CONFIGS)
    def test_a_cluster_on_a_desk_stays_plain(self, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
        config = config_of(built("local"), program, monkeypatch)
        assert config.certificate_files is None
        assert mounted_secrets(built("local"), program) == {}
        assert not isinstance(config, OrchestratorConfig) or config.tenants_file is None


def secrets_of_certificates(manifests: list[Manifest]) -> set[str]:
    return {one["spec"]["secretName"] for one in manifests if one["kind"] == "Certificate"}


def certificate_of(manifests: list[Manifest], program: str) -> Mapping[str, Any]:
    return named(manifests, f"Certificate/paceline-{program}")["spec"]


class TestGracePeriods:
    def grace_periods_fit(self, manifests: list[Manifest], program: str, config: ServiceConfig) -> None:
        template = pod_template(named(manifests, f"Deployment/paceline-{program}"))
        assert template is not None
        hook = serving_container(program, manifests).spec.get("lifecycle", {}).get("preStop", {})
        waited = hook.get("sleep", {}).get("seconds", 0)
        needed = waited + config.grace_seconds + MARGIN_SECONDS
        assert template["spec"]["terminationGracePeriodSeconds"] >= needed
        if isinstance(config, OrchestratorConfig):
            # What is handed over must get an answer within what is left.
            assert config.handover_seconds + 5 <= config.grace_seconds - config.closing_seconds

    @pytest.mark.parametrize("program", CONFIGS)
    def test_the_base_gives_a_process_its_grace_period_and_its_hook(
        self, program: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in env_file(program).items():
            monkeypatch.setenv(name, value)
        needed = {"model": "tiny", "redis_url": "redis://redis:6379", "target_addresses": ("target:7001",)}
        config_class = CONFIGS[program]
        given = {name: value for name, value in needed.items() if name in config_class.model_fields}
        self.grace_periods_fit(written(BASE), program, config_class(**given))  # pyright: ignore[reportArgumentType]

    @pytest.mark.parametrize("overlay", OVERLAYS)
    @pytest.mark.parametrize("program", CONFIGS)
    def test_so_does_every_overlay(self, overlay: str, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
        manifests = built(overlay)
        self.grace_periods_fit(manifests, program, config_of(manifests, program, monkeypatch))

    def test_a_pool_shrinks_more_slowly_than_a_pod_ends(self) -> None:
        objects = {
            name_of(one): one for name in ("keda", "hpa") for one in written(ROOT / "components" / name)
        }
        for pool in ("target", "draft"):
            template = pod_template(named(written(BASE), f"Deployment/paceline-{pool}"))
            assert template is not None
            scaled, scaler = (
                objects[f"{kind}/paceline-{pool}"] for kind in ("ScaledObject", "HorizontalPodAutoscaler")
            )
            behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
            assert behavior == scaler["spec"]["behavior"]
            for rule in behavior["scaleDown"]["policies"]:
                assert (rule["type"], rule["value"]) == ("Pods", 1)
                assert rule["periodSeconds"] > template["spec"]["terminationGracePeriodSeconds"]


class TestResources:
    def test_every_container_that_is_written_has_requests_and_a_memory_limit(self) -> None:
        folders = [BASE, *(ROOT / "components" / name for name in COMPONENTS)]
        found = [one for folder in folders for manifest in written(folder) for one in containers(manifest)]
        assert len(found) > 8
        broken = [message for one in found for message in policy.CONTAINER_RULES["resources"](one)]
        assert broken == []

    def test_no_patch_leaves_a_container_without_them(self) -> None:
        for name, kustomization in kustomizations():
            for path, value in patched_values(kustomization):
                if path.endswith("/resources"):
                    assert value["requests"].keys() >= {"cpu", "memory"}, name
                    assert "memory" in value["limits"], name

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_so_it_is_in_every_overlay(self, overlay: str) -> None:
        found = [one for manifest in built(overlay) for one in containers(manifest)]
        assert [message for one in found for message in policy.CONTAINER_RULES["resources"](one)] == []

    @pytest.mark.parametrize("overlay", OVERLAYS)
    @pytest.mark.parametrize("pool", ["target", "draft"])
    def test_pods_of_the_pools_may_have_cores_of_their_own(self, overlay: str, pool: str) -> None:
        found = list(containers(named(built(overlay), f"Deployment/paceline-{pool}")))
        for container in found:
            assert container.spec["resources"]["requests"] == container.spec["resources"]["limits"]
        assert found[-1].spec["resources"]["limits"]["cpu"].isdecimal()

    @pytest.mark.parametrize("pool", MODEL_MIB)
    def test_the_reference_model_and_its_kv_cache_fit_in_the_memory_limit(self, pool: str) -> None:
        container = serving_container(pool, written(BASE)).spec
        kv_mib = int(env_file(pool)[f"PACELINE_{pool.upper()}_KV_CACHE_MIB"])
        assert kv_mib + MODEL_MIB[pool] + 512 <= mib_of(container["resources"]["limits"]["memory"])


class TestMetrics:
    @pytest.mark.parametrize("name", ["keda", "hpa"])
    def test_what_scaling_asks_prometheus_exists(self, name: str) -> None:
        series = dict(exposed_series())
        for query in queries(name).values():
            for metric, labels in parse(query).labels_by_metric.items():
                assert metric in series
                assert labels <= series[metric] | {"job"}

    @pytest.mark.parametrize("name", ["keda", "hpa"])
    def test_the_values_of_labels_that_it_asks_for_are_known(self, name: str) -> None:
        jobs = {
            manifest["metadata"]["name"] for manifest in written(BASE) if manifest["kind"] == "Deployment"
        }
        known = {value for info in CATALOGUE for value in info.known} | {"preempted"} | jobs
        asked = {value for query in queries(name).values() for value in re.findall(r'"([^"]*)"', query)}
        assert asked <= known
        assert {"DRAFT_LATE", "paceline-target", "paceline-draft"} <= asked

    def test_both_ways_of_scaling_ask_the_same_and_mean_the_same_by_it(self) -> None:
        assert queries("keda") == queries("hpa")
        assert thresholds_of_scaled_objects() == thresholds_of_autoscalers()

    def test_nothing_scales_on_processor_time(self) -> None:
        for scaler in written(ROOT / "components/hpa"):
            assert {metric["type"] for metric in scaler["spec"]["metrics"]} == {"External"}
        for scaled in written(ROOT / "components/keda"):
            assert {trigger["type"] for trigger in scaled["spec"]["triggers"]} == {"prometheus"}

    def test_the_jobs_of_the_pod_monitor_are_those_of_rules_and_queries(self) -> None:
        monitor = named(written(ROOT / "components/monitoring"), "PodMonitor/paceline")["spec"]
        (endpoint,) = monitor["podMetricsEndpoints"]
        for program in CONFIGS:
            template = pod_template(named(written(BASE), f"Deployment/paceline-{program}"))
            assert template is not None
            labels = {**template["metadata"]["labels"], "app.kubernetes.io/part-of": "paceline"}
            assert selects(monitor["selector"], labels)
            assert labels[monitor["jobLabel"]] == f"paceline-{program}"
            ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
            assert endpoint["port"] in ports

    def test_the_rules_are_those_of_the_monitoring_folder(self) -> None:
        assert prometheus_rules.PATH.read_text(encoding="utf-8") == prometheus_rules.text()


def listening(variables: Mapping[str, str], prefix: str) -> dict[str, int]:
    """The ports of a program by name, as its settings have them; HTTP is the orchestrator's alone."""
    names = {"grpc": "LISTEN", "http": "HTTP_LISTEN", "metrics": "METRICS_LISTEN"}
    return {
        port: port_of(variables[prefix + name]) for port, name in names.items() if prefix + name in variables
    }


def exposed_series() -> Iterator[tuple[str, set[str]]]:
    """The series that Prometheus sees, with their labels."""
    suffixes = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
    for info in CATALOGUE:
        labels = {label.replace(".", "_") for label in info.labels}
        for suffix in suffixes[info.kind]:
            yield info.prometheus_name + suffix, labels | ({"le"} if suffix == "_bucket" else set())


def queries(component: str) -> dict[str, str]:
    """The questions of a component, by pool and name."""
    if component == "keda":
        return {
            f"{scaled['metadata']['name'].replace('-', '_')}_{trigger['name']}": trigger["metadata"]["query"]
            for scaled in written(ROOT / "components/keda")
            for trigger in scaled["spec"]["triggers"]
        }
    rules = read(ROOT / "components/hpa/adapter-rules.yaml")["externalRules"]
    return {rule["name"]["as"]: rule["metricsQuery"] for rule in rules}


def thresholds_of_scaled_objects() -> dict[str, tuple[str, float]]:
    return {
        f"{scaled['metadata']['name'].replace('-', '_')}_{trigger['name']}": (
            trigger["metricType"],
            float(trigger["metadata"]["threshold"]),
        )
        for scaled in written(ROOT / "components/keda")
        for trigger in scaled["spec"]["triggers"]
    }


def thresholds_of_autoscalers() -> dict[str, tuple[str, float]]:
    metrics = [
        metric["external"] for one in written(ROOT / "components/hpa") for metric in one["spec"]["metrics"]
    ]
    return {
        metric["metric"]["name"]: (metric["target"]["type"], number_of(metric["target"]))
        for metric in metrics
    }


def number_of(target: Mapping[str, str]) -> float:
    quantity = target.get("value") or target["averageValue"]
    return float(quantity.removesuffix("m")) / (1000 if quantity.endswith("m") else 1)


class TestImages:
    def test_they_have_the_version_of_the_project(self) -> None:
        version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
        dockerfile = (ROOT / "images/Dockerfile").read_text()
        assert f"ARG VERSION={version}\n" in dockerfile
        images = {one.spec["image"] for manifest in written(BASE) for one in containers(manifest)}
        assert images == {f"paceline-{name}:{version}" for name in (*CONFIGS, "models")}

    def test_their_programs_ports_and_user_are_those_of_the_manifests(self) -> None:
        dockerfile = (ROOT / "images/Dockerfile").read_text()
        for program, config in CONFIGS.items():
            stage = re.split(rf"^FROM runtime AS {program}$", dockerfile, flags=re.MULTILINE)[1].split(
                "\nFROM "
            )[0]
            module = config.program
            assert f'ENTRYPOINT ["python", "-m", "{module}"]' in stage
            assert importlib.util.find_spec(module) is not None
            container = serving_container(program, written(BASE)).spec
            exposed = " ".join(str(port["containerPort"]) for port in container["ports"])
            assert f"EXPOSE {exposed}\n" in stage
        users = set(re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE))
        pods = [pod for manifest in written(BASE) if (pod := pod_template(manifest)) is not None]
        assert {str(pod["spec"]["securityContext"]["runAsUser"]) for pod in pods} == users

    def test_the_base_is_pinned_by_digest_and_everything_installed_by_hash(self) -> None:
        dockerfile = (ROOT / "images/Dockerfile").read_text()
        assert re.search(r"^ARG PYTHON_IMAGE=\S+@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)
        stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
        assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) - stages == {"${PYTHON_IMAGE}"}
        for lock in re.findall(r" install .*-r requirements/(\S+)", dockerfile):
            lines = [line for line in dockerfile.splitlines() if f"-r requirements/{lock}" in line]
            assert all("--require-hashes --no-deps --only-binary :all:" in line for line in lines)
        build = (ROOT / "images/build.txt").read_text()
        backend = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["build-system"]["requires"]
        assert all(f"{requirement} " in build for requirement in backend)

    def test_their_context_holds_what_is_copied(self) -> None:
        dockerfile = (ROOT / "images/Dockerfile").read_text()
        allowed = set(re.findall(r"^!(\S+)$", (REPOSITORY / ".dockerignore").read_text(), re.MULTILINE))
        copied = {
            source
            for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
            for source in line.split()[:-1]
        }
        assert copied == allowed
        assert all((REPOSITORY / source).exists() for source in copied)


class TestAccelerators:
    """Targets on GPUs, in the overlays that have them."""

    @pytest.mark.parametrize("overlay", ACCELERATORS)
    def test_a_target_has_one_a_node_that_has_it_and_the_image_that_can_use_it(self, overlay: str) -> None:
        resource = ACCELERATORS[overlay]
        container = serving_container("target", built(overlay)).spec
        assert container["resources"]["limits"][resource] == "1"
        template = pod_template(named(built(overlay), "Deployment/paceline-target"))
        assert template is not None
        assert {one["key"] for one in template["spec"]["tolerations"]} == {resource}
        places = template["spec"]["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        keys = [one["key"] for term in places["nodeSelectorTerms"] for one in term["matchExpressions"]]
        assert len(keys) == 2, "the pool that it is for, and the accelerator"
        name = container["image"].rpartition("/")[2].partition(":")[0]
        assert f" AS {name.removeprefix('paceline-')}\n" in (ROOT / "images/Dockerfile").read_text()

    @pytest.mark.parametrize("overlay", ACCELERATORS)
    @pytest.mark.parametrize("program", ["draft", "orchestrator"])
    def test_nothing_else_takes_one(self, overlay: str, program: str) -> None:
        container = serving_container(program, built(overlay)).spec
        assert ACCELERATORS[overlay] not in container["resources"].get("limits", {})
        template = pod_template(named(built(overlay), f"Deployment/paceline-{program}"))
        assert template is not None
        assert "tolerations" not in template["spec"]

    def test_on_nvidia_the_target_computes_with_torch_and_the_draft_does_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = {pool: config_of(built("nvidia"), pool, monkeypatch) for pool in ("target", "draft")}
        engines = {
            pool: (one.engine, one.device)
            for pool, one in found.items()
            if isinstance(one, ModelServiceConfig)
        }
        assert engines == {"target": ("torch", "cuda"), "draft": ("openvino", "auto")}

    def test_the_image_has_the_torch_that_the_project_pins(self) -> None:
        extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][
            "optional-dependencies"
        ]
        (pinned,) = [one for one in extras["accelerator"] if one.startswith("torch==")]
        dockerfile = (ROOT / "images/Dockerfile").read_text()
        assert f"ARG TORCH_VERSION={pinned.removeprefix('torch==')}\n" in dockerfile


class TestPolicy:
    """The rules find what they are for; the base stands in for an overlay."""

    def test_the_base_breaks_no_rule_but_those_with_a_written_exception(self) -> None:
        found = policy.findings(written(BASE))
        assert policy.unexcused(found, policy.exceptions(), "base") == []

    @pytest.mark.parametrize(
        ("rule", "path", "value"),
        [
            ("confined", ("containers", 0, "securityContext", "allowPrivilegeEscalation"), True),
            ("confined", ("containers", 0, "securityContext", "capabilities"), {"add": ["NET_ADMIN"]}),
            ("confined", ("initContainers", 0, "securityContext", "runAsUser"), 0),
            ("read-only-root", ("containers", 0, "securityContext", "readOnlyRootFilesystem"), False),
            ("resources", ("containers", 0, "resources", "limits"), {"cpu": "2"}),
            ("probes", ("containers", 0, "livenessProbe"), None),
            ("image-version", ("containers", 0, "image"), "registry.example.com:5000/paceline-draft"),
            ("image-version", ("containers", 0, "image"), "paceline-draft:latest"),
            ("host-port", ("containers", 0, "ports", 0, "hostPort"), 7002),
            (
                "secret-in-environment",
                ("containers", 0, "env", 0, "valueFrom"),
                {"secretKeyRef": {"name": "a", "key": "b"}},
            ),
            (
                "secret-in-environment",
                ("containers", 0, "envFrom", 0),
                {"secretRef": {"name": "a"}},
            ),
            ("renewed-files", ("containers", 0, "volumeMounts", 0, "subPath"), "ca.crt"),
            ("restricted-pod", ("securityContext", "runAsNonRoot"), None),
            ("restricted-pod", ("securityContext", "seccompProfile"), {"type": "Unconfined"}),
            ("restricted-pod", ("hostNetwork",), True),
            ("restricted-pod", ("volumes", 0), {"name": "models", "hostPath": {"path": "/models"}}),
            ("token", ("automountServiceAccountToken",), None),
            ("service-links", ("enableServiceLinks",), True),
            ("priority", ("priorityClassName",), "system-node-critical"),
        ],
    )
    def test_a_broken_rule_is_found(self, rule: str, path: tuple[str | int, ...], value: object) -> None:
        manifests = written(BASE)
        place: Any = named(manifests, "Deployment/paceline-draft")["spec"]["template"]["spec"]
        for step in path[:-1]:
            place = place[step]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        found = policy.unexcused(policy.findings(manifests), policy.exceptions(), "base")
        assert {finding.rule for finding in found} == {rule}

    @pytest.mark.parametrize(
        ("rule", "name"),
        [
            ("disruption-budget", "PodDisruptionBudget/paceline-draft"),
            ("network-policy", "NetworkPolicy/paceline-draft"),
            ("network-policy", "NetworkPolicy/paceline-deny-all"),
            ("priority", "PriorityClass/paceline-draft"),
        ],
    )
    def test_a_missing_object_is_found(self, rule: str, name: str) -> None:
        manifests = [manifest for manifest in written(BASE) if name_of(manifest) != name]
        found = policy.unexcused(policy.findings(manifests), policy.exceptions(), "base")
        assert {finding.rule for finding in found} == {rule}

    def test_an_exception_that_nothing_needs_is_found(self) -> None:
        spare = policy.PolicyException("probes", "Deployment/paceline-draft container draft", "none")
        assert policy.unused({"base": policy.findings(written(BASE))}, [spare]) == [spare]

    def test_an_exception_holds_in_its_places_and_has_to_be_needed_in_each(self) -> None:
        found = policy.findings(written(BASE))
        excuses = policy.exceptions()
        rules = {finding.rule for finding in policy.unexcused(found, excuses, "overlays/production")}
        assert rules == {"encrypted", "authenticated"}
        plain = [one for one in excuses if one.places == ("base", "overlays/local")]
        places = {"base with components/hpa": found, "overlays/local": found}
        assert policy.unused(places, plain) == []
        assert policy.unused({"overlays/local": found}, plain) == plain

    @pytest.mark.parametrize(
        ("rule", "program", "variable"),
        [
            ("encrypted", "target", "PACELINE_TARGET_TLS_CA_FILE"),
            ("encrypted", "orchestrator", "PACELINE_ORCHESTRATOR_TLS_KEY_FILE"),
            ("authenticated", "draft", "PACELINE_DRAFT_TLS_PEER_NAMES"),
            ("authenticated", "orchestrator", "PACELINE_ORCHESTRATOR_TENANTS_FILE"),
        ],
    )
    def test_production_without_one_of_its_locks_is_found(
        self, rule: str, program: str, variable: str
    ) -> None:
        unlocked = [
            {**one, "data": {name: value for name, value in one["data"].items() if name != variable}}
            if one["kind"] == "ConfigMap"
            else one
            for one in built("production")
        ]
        found = policy.unexcused(policy.findings(unlocked), policy.exceptions(), "overlays/production")
        assert {(one.rule, one.subject) for one in found} == {(rule, f"Deployment/paceline-{program}")}

    def test_a_key_that_comes_with_the_image_is_no_secret(self) -> None:
        manifests = deepcopy(built("production"))
        pod: Any = pod_template(named(manifests, "Deployment/paceline-target"))
        (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "tls"]
        volume["configMap"] = {"name": volume.pop("secret")["secretName"]}
        found = policy.unexcused(policy.findings(manifests), policy.exceptions(), "overlays/production")
        assert [one.rule for one in found] == ["encrypted"] * 3

    def test_a_secret_that_is_written_down_is_found(self) -> None:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "data": {}}
        found = policy.findings([*written(BASE), secret])
        (finding,) = policy.unexcused(found, policy.exceptions(), "base")
        assert (finding.rule, finding.subject) == ("written-secret", "Secret/key")


class TestCheck:
    def test_every_overlay_passes_the_schemas_and_the_policy(self) -> None:
        if kustomize_program() is None:
            pytest.skip("neither kubectl nor kustomize is installed: make manifests-check brings kubectl")
        require_schemas()
        everything = build_all()
        assert everything.keys() >= {f"overlays/{name}" for name in OVERLAYS}
        assert [*schema_problems(everything), *policy_problems(everything), *stale_files()] == []

    @pytest.mark.parametrize("version", schemas.VERSIONS)
    def test_a_field_that_does_not_exist_is_found(self, version: str) -> None:
        require_schemas()
        manifests = written(BASE)
        template = pod_template(named(manifests, "Deployment/paceline-draft"))
        assert template is not None
        template["spec"]["containers"][0]["startupProbe"]["grpc"]["services"] = "paceline.v1.DraftService"
        (error,) = schemas.errors_of(named(manifests, "Deployment/paceline-draft"), version)
        assert "startupProbe.grpc" in error

    @pytest.mark.parametrize(
        ("component", "name", "field"),
        [
            ("keda", "ScaledObject/paceline-draft", "minReplicas"),
            ("tls", "Certificate/paceline-draft", "rotationPolicy"),
            ("tls", "Issuer/paceline-ca", "secretName"),
        ],
    )
    def test_so_it_is_in_a_custom_resource(self, component: str, name: str, field: str) -> None:
        custom = named(written(ROOT / "components" / component), name)
        wrong = {**custom, "spec": {**custom["spec"], field: 2}}
        assert list(schemas.errors_of(custom, schemas.VERSIONS[0])) == []
        assert field in next(schemas.errors_of(wrong, schemas.VERSIONS[0]))


class TestWaiting:
    def test_a_pod_waits_until_its_model_is_prepared(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spec = importlib.util.spec_from_file_location("wait_for_model", BASE / "wait_for_model.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        directory = tmp_path / "prepared"

        def prepare(_: float) -> None:
            directory.mkdir()
            (directory / "paceline.json").touch()

        monkeypatch.setattr(module.time, "sleep", prepare)
        monkeypatch.setenv("MODEL", str(directory))
        monkeypatch.setenv("WEIGHTS", "int8")
        module.main()
        first, last = capsys.readouterr().out.splitlines()
        assert first.startswith("waiting for the job paceline-models: ")
        assert last == str(directory)
