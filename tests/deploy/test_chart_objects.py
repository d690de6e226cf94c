"""Promises of the rendered objects."""

import re
from urllib.parse import urlsplit

import msgspec
import pytest

from bus.settings import ENV_PREFIX, BusSettings
from converter.settings import ConverterSettings
from dispatcher.settings import DispatcherSettings
from logsink.settings import LogsinkSettings
from tests.deploy.rendering import CASES, EVERYTHING, Case, Chart, Object, Release
from tests.deploy.tools import ROOT, need, succeed
from worker.settings import WorkerSettings

SETTINGS: dict[str, tuple[str, type[BusSettings]]] = {
    "dispatcher": ("Deployment", DispatcherSettings),
    "worker": ("Deployment", WorkerSettings),
    "logsink": ("StatefulSet", LogsinkSettings),
    "converter": ("Deployment", ConverterSettings),
}


@pytest.mark.parametrize("name", CASES)
def test_no_container_can_do_more_than_it_must(any_chart: Chart, name: str) -> None:
    for pod, spec in any_chart.render(CASES[name]).pods():
        assert spec["automountServiceAccountToken"] is False, pod
        assert spec["securityContext"]["runAsNonRoot"] is True, pod
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, pod
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            security = container.get("securityContext", {})
            if container["name"] == "prom-exporter":
                continue  # the official chart's own, and off by default
            assert security["allowPrivilegeEscalation"] is False, (pod, container["name"])
            assert security["readOnlyRootFilesystem"] is True, (pod, container["name"])
            assert security["capabilities"] == {"drop": ["ALL"]}, (pod, container["name"])


@pytest.mark.parametrize("name", CASES)
def test_every_container_of_labelbus_is_bounded_and_watched(chart: Chart, name: str) -> None:
    for component, pod in pods(chart.render(CASES[name])):
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), component
            assert "memory" in container["resources"]["limits"], component
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), component
            assert ":latest" not in container["image"]


@pytest.mark.parametrize("name", CASES)
def test_every_variable_is_a_setting_of_the_component_and_its_value_fits(chart: Chart, name: str) -> None:
    release = chart.render(CASES[name])
    for component, pod in pods(release):
        _, settings = SETTINGS[component]
        values = {
            name.removeprefix(ENV_PREFIX).lower(): value
            for name, value in environment(release, pod["containers"][0]).items()
            if name.startswith(ENV_PREFIX)
        }
        fields = {field.name for field in msgspec.structs.fields(settings)}
        assert values.keys() <= fields, f"{component} does not know {sorted(values.keys() - fields)}"
        settings_given = {field: value for field, value in values.items() if value is not None}
        # Strings as the command line gives them; a path and the pod's own name have nothing to check.
        msgspec.convert(settings_given, settings, strict=False, dec_hook=lambda kind, value: kind(value))


@pytest.mark.parametrize("name", CASES)
def test_a_pod_is_given_longer_to_end_than_its_drain_takes(chart: Chart, name: str) -> None:
    release = chart.render(CASES[name])
    for component, pod in pods(release):
        variables = environment(release, pod["containers"][0])
        drain_s = float(variables.get("LABELBUS_DRAIN_S") or variables.get("LABELBUS_DRAIN_TIMEOUT_S") or 10)
        assert pod["terminationGracePeriodSeconds"] >= drain_s + 10, component


def test_a_longer_drain_gives_a_longer_grace_period(chart: Chart) -> None:
    release = chart.render(Case(values={"worker": {"settings": {"drain_s": 600.5}}}))
    assert template(release, "worker")["spec"]["terminationGracePeriodSeconds"] >= 611


@pytest.mark.parametrize(
    ("values", "rolled"),
    [
        ({"worker": {"settings": {"slots": 2}}}, {"worker"}),
        ({"dispatcher": {"settings": {"policy": "random"}}}, {"dispatcher"}),
        ({"logsink": {"settings": {"keep_days": 3}}}, {"logsink"}),
        ({"converter": {"settings": {"max_concurrent": 2}}}, {"converter"}),
        ({"bus": {"settings": {"log_level": "DEBUG"}}}, set(SETTINGS)),
        ({"nats": {"auth": {"password": "another-password"}}}, set(SETTINGS)),
        ({"dispatcher": {"service": {"port": 80}}}, set()),
    ],
)
def test_pods_roll_when_their_settings_change_and_only_then(chart: Chart, values: Object, rolled: set[str]) -> None:
    before, after = chart.render(Case()), chart.render(Case(values=values))
    assert {name for name in SETTINGS if template(before, name) != template(after, name)} == rolled


def test_nats_rolls_when_its_password_changes_and_only_then(any_chart: Chart) -> None:
    def nats(**values: Object) -> Object:
        found = any_chart.render(Case(values=dict(values))).of_kind("StatefulSet")
        (template,) = (each["spec"]["template"] for each in found if each["metadata"]["name"] == "rel-nats")
        return dict(template)

    assert nats() == nats(dispatcher={"replicas": 3})
    assert nats() != nats(nats={"auth": {"password": "another-password"}})


def test_triton_starts_before_its_worker_and_ends_after_it(chart: Chart) -> None:
    pod = template(chart.render(Case()), "worker")["spec"]
    (triton,) = pod["initContainers"]
    assert triton["restartPolicy"] == "Always"
    assert triton["startupProbe"]["httpGet"]["path"] == "/v2/health/live"
    assert "--model-control-mode=explicit" in triton["args"]
    assert "--grpc-address=127.0.0.1" in triton["args"]


def test_worker_and_triton_read_the_models_that_the_converter_writes(chart: Chart) -> None:
    release = chart.render(Case())
    mounts = {
        container["name"]: next(mount for mount in container["volumeMounts"] if mount["name"] == "models")
        for component in ("worker", "converter")
        for container in containers(template(release, component)["spec"])
    }
    assert {name: mount.get("readOnly", False) for name, mount in mounts.items()} == {
        "worker": True,
        "triton": True,
        "converter": False,
    }
    assert {mount["mountPath"] for mount in mounts.values()} == {"/models"}


def test_without_triton_there_is_no_sidecar_and_no_gpu(chart: Chart) -> None:
    release = chart.render(CASES["onnx in the worker"])
    pod = template(release, "worker")["spec"]
    assert "initContainers" not in pod
    assert "LABELBUS_TRITON_URL" not in environment(release, pod["containers"][0])


def test_gpus_go_to_triton_and_the_pod_goes_where_they_are(chart: Chart) -> None:
    pod = template(chart.render(CASES["eks with gpus"]), "worker")["spec"]
    assert pod["initContainers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in pod["containers"][0]["resources"]["limits"]
    assert pod["nodeSelector"] == {"labelbus/nodes": "gpu"}
    assert [each["key"] for each in pod["tolerations"]] == ["nvidia.com/gpu"]
    assert "cpu" in pod["initContainers"][0]["resources"]["requests"]


def test_the_flag_for_gpus_alone_sends_workers_where_they_are_and_nobody_else(chart: Chart) -> None:
    release = chart.render(CASES["gpus by the flag"])
    pod = template(release, "worker")["spec"]
    assert pod["initContainers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["nodeSelector"] == {"kubernetes.io/arch": "amd64", "pool": "gpu"}
    assert [each["key"] for each in pod["tolerations"]] == ["spot", "nvidia.com/gpu"]
    assert "tolerations" not in template(release, "dispatcher")["spec"]
    assert "tolerations" not in template(chart.render(CASES["defaults"]), "worker")["spec"]


def test_kind_opens_the_published_port(chart: Chart) -> None:
    service = chart.render(CASES["kind"]).one("Service", "dispatcher")["spec"]
    assert (service["type"], service["ports"][0]["nodePort"]) == ("NodePort", 30080)


def test_nats_elsewhere_is_entered_with_what_was_given(chart: Chart) -> None:
    release = chart.render(CASES["nats elsewhere"])
    container = template(release, "worker")["spec"]["containers"][0]
    variables = {each["name"]: each for each in container["env"]}
    assert variables["LABELBUS_NATS_URL"]["value"] == "nats://nats.messaging:4333"
    assert variables["LABELBUS_NATS_PASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "nats-login", "key": "password"}
    assert release.of_kind("Secret") == []
    egress = release.one("NetworkPolicy", "worker")["spec"]["egress"]
    assert egress[1] == {"ports": [{"port": 4333, "protocol": "TCP"}]}


def test_labelbus_and_its_nats_take_the_password_from_one_secret(any_chart: Chart) -> None:
    release = any_chart.render(Case())
    (secret,) = release.of_kind("Secret")
    wanted = {
        (container["name"], variable["valueFrom"]["secretKeyRef"]["name"])
        for _, pod in release.pods()
        for container in containers(pod)
        for variable in container.get("env", [])
        if variable["name"] == "LABELBUS_NATS_PASSWORD"
    }
    assert wanted == {
        (name, secret["metadata"]["name"]) for name in ("nats", "dispatcher", "worker", "logsink", "converter")
    }


def test_only_the_right_parts_talk(any_chart: Chart) -> None:
    release = any_chart.render(Case(values={**EVERYTHING, "serviceMonitor": {"enabled": False}}))
    policies = {name: release.one("NetworkPolicy", name)["spec"] for name in [*SETTINGS, "nats"]}
    assert policies["logsink"]["ingress"] == policies["converter"]["ingress"] == []
    assert [each["ports"] for each in policies["worker"]["ingress"]] == [
        [{"port": "triton-metrics", "protocol": "TCP"}]
    ]
    to_nats = {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for peer in policies["nats"]["ingress"][0]["from"]
    }
    assert to_nats == set(SETTINGS)
    ports = {name: {p["port"] for rule in policies[name]["egress"] for p in rule["ports"]} for name in SETTINGS}
    assert ports == {
        "dispatcher": {53, 4222},
        "worker": {53, 4222},
        "logsink": {53, 4222},
        "converter": {53, 4222, 443},
    }
    gateway = policies["dispatcher"]["ingress"][0]["from"]
    assert {"namespaceSelector": {}} in gateway
    assert any(
        peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/component") == "test"
        for peer in gateway
    ), "helm test must get through"
    assert EVERYTHING["networkPolicy"]["metricsFrom"][0] in gateway, "so must Prometheus and KEDA"


def test_autoscalers_and_replica_counts_do_not_fight(chart: Chart) -> None:
    release = chart.render(CASES["everything"])
    assert "replicas" not in release.one("Deployment", "dispatcher")["spec"]
    assert "replicas" not in release.one("Deployment", "worker")["spec"]
    hpa = release.one("HorizontalPodAutoscaler", "dispatcher")["spec"]
    assert hpa["scaleTargetRef"]["name"] == release.one("Deployment", "dispatcher")["metadata"]["name"]
    scaled = release.one("ScaledObject", "worker")["spec"]
    assert scaled["scaleTargetRef"]["name"] == release.one("Deployment", "worker")["metadata"]["name"]


def test_keda_asks_every_dispatcher_at_its_own_port_what_it_publishes(chart: Chart) -> None:
    release = chart.render(Case(values={"worker": {"keda": {"enabled": True}, "settings": {"slots": 3}}}))
    waiting, busy = release.one("ScaledObject", "worker")["spec"]["triggers"]
    service = release.one("Service", "dispatcher")
    (container,) = template(release, "dispatcher")["spec"]["containers"]
    for trigger in (waiting, busy):
        assert trigger["type"] == "metrics-api"
        assert trigger["metadata"]["format"] == "prometheus"
        assert trigger["metadata"]["aggregateFromKubeServiceEndpoints"] == "true"
        assert trigger["metadata"]["valueLocation"] in published()
        url = urlsplit(trigger["metadata"]["url"])
        assert str(url.hostname).split(".")[:2] == [service["metadata"]["name"], "default"]
        assert (url.port, url.path) == (container["ports"][0]["containerPort"], "/metrics")
    # Each has tasks of its own, and all see the same workers.
    assert (waiting["metadata"]["aggregationType"], waiting["metadata"]["targetValue"]) == ("sum", "8")
    assert (busy["metadata"]["aggregationType"], busy["metadata"]["targetValue"]) == ("max", "3")


def test_keda_may_ask_prometheus_instead(chart: Chart) -> None:
    keda = {"enabled": True, "prometheusUrl": "http://prometheus:9090"}
    for queries in ({}, {"query": "my_waiting", "busyQuery": "my_busy"}):
        release = chart.render(Case(values={"worker": {"keda": {**keda, **queries}}}))
        waiting, busy = (each["metadata"] for each in release.one("ScaledObject", "worker")["spec"]["triggers"])
        assert waiting["serverAddress"] == busy["serverAddress"] == "http://prometheus:9090"
        if queries:
            assert (waiting["query"], busy["query"]) == ("my_waiting", "my_busy")
        else:
            series = '{namespace="default",service="rel-labelbus-dispatcher"}'
            assert waiting["query"] == f"sum(labelbus_tasks_waiting{series})"
            assert busy["query"] == f"max(labelbus_slots_busy{series})"


def test_prometheus_finds_the_dispatchers_and_the_tritons(chart: Chart) -> None:
    for case, ports in (
        (CASES["everything"], {"dispatcher": "http", "worker": "triton-metrics"}),
        (Case(values={"worker": {"runtime": "onnx"}, "serviceMonitor": {"enabled": True}}), {"dispatcher": "http"}),
    ):
        release = chart.render(case)
        assert len(release.of_kind("ServiceMonitor")) == len(ports)
        for component, port in ports.items():
            monitor = release.one("ServiceMonitor", component)
            assert [(each["port"], each["path"]) for each in monitor["spec"]["endpoints"]] == [(port, "/metrics")]
            wanted = monitor["spec"]["selector"]["matchLabels"]
            services = [
                each for each in release.of_kind("Service") if wanted.items() <= each["metadata"]["labels"].items()
            ]
            assert [[named["name"] for named in each["spec"]["ports"]] for each in services] == [[port]]


def test_every_question_to_prometheus_can_be_read_and_is_about_what_is_published(chart: Chart) -> None:
    keda = {"worker": {"keda": {"enabled": True, "prometheusUrl": "http://prometheus:9090"}}}
    release = chart.render(Case(values={**keda, "prometheusRule": {"enabled": True, "labels": {"release": "p"}}}))
    rule = release.one("PrometheusRule", "dispatcher")
    assert rule["metadata"]["labels"]["release"] == "p"
    questions = [each["expr"] for each in rule["spec"]["groups"][0]["rules"]]
    questions += [each["metadata"]["query"] for each in release.one("ScaledObject", "worker")["spec"]["triggers"]]
    page = (ROOT / "docs" / "deployment.md").read_text()
    questions += re.findall(r"^(?:sum|histogram_quantile)\(.*labelbus_.*$", page, re.MULTILINE)
    assert len(questions) == 9
    assert set(re.findall(r"labelbus_[a-z_]+", " ".join(questions))) <= published()
    program = "import promql_parser, sys; [promql_parser.parse(question) for question in sys.argv[1:]]"
    succeed(need("kubernetes-validate").with_name("python"), "-c", program, *questions)


def published() -> set[str]:
    """Return the names of the dispatcher's series."""
    families = set(re.findall(r'"(labelbus_[a-z_]+)"', (ROOT / "dispatcher" / "metrics.py").read_text()))
    return families | {f"{family}_{suffix}" for family in families for suffix in ("total", "info", "bucket", "count")}


def test_the_models_outlive_the_release(chart: Chart) -> None:
    claim = chart.render(Case()).one("PersistentVolumeClaim", "models")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_high_availability_has_three_nats_servers_and_two_dispatchers(any_chart: Chart) -> None:
    release = any_chart.render(Case(files=("ha",)))
    nats = next(each for each in release.of_kind("StatefulSet") if each["metadata"]["name"].endswith("nats"))
    assert nats["spec"]["replicas"] == 3
    assert release.one("HorizontalPodAutoscaler", "dispatcher")["spec"]["minReplicas"] == 2
    for component in ("dispatcher", "worker"):
        for constraint in template(release, component)["spec"]["topologySpreadConstraints"]:
            assert constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == component


def pods(release: Release) -> list[tuple[str, Object]]:
    """Return component and pod spec of each rendered component."""
    components = {
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["template"]["spec"]
        for kind in ("Deployment", "StatefulSet")
        for each in release.of_kind(kind)
    }
    return [(name, components[name]) for name in SETTINGS if name in components]


def template(release: Release, component: str) -> Object:
    kind, _ = SETTINGS[component]
    found: Object = release.one(kind, component)["spec"]["template"]
    return found


def containers(pod: Object) -> list[Object]:
    return [*pod["containers"], *pod.get("initContainers", [])]


def environment(release: Release, container: Object) -> dict[str, str | None]:
    """Return the variables with their values; those from the pod or from a secret have a plausible name as value."""
    variables: dict[str, str | None] = {}
    for source in container.get("envFrom", []):
        name = source["configMapRef"]["name"]
        variables |= next(each for each in release.of_kind("ConfigMap") if each["metadata"]["name"] == name)["data"]
    for each in container["env"]:
        value = each.get("value")
        variables[each["name"]] = "some-pod" if value is None or value == "$(POD_NAME)" else value
    return variables
