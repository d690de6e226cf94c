"""Invalid and contradictory values are refused with a message that says what to do."""

import pytest

from tests.deploy.rendering import Case, Chart, Object

REFUSED: dict[str, tuple[Object, str]] = {
    # what takes two values to see
    "no nats at all": ({"nats": {"enabled": False}}, "set nats.url"),
    "two nats": ({"nats": {"url": "nats://elsewhere:4222"}}, "set nats.enabled=false"),
    "credentials for the nats installed here": (
        {"nats": {"auth": {"credsSecret": "creds"}}},
        "with accounts elsewhere",
    ),
    "a password made up for a nats elsewhere": (
        {"nats": {"enabled": False, "url": "nats://elsewhere:4222"}},
        "cannot know a password made here",
    ),
    "nats without jetstream": ({"nats": {"config": {"jetstream": {"enabled": False}}}}, "need JetStream"),
    "two nats servers": ({"nats": {"config": {"cluster": {"enabled": True, "replicas": 2}}}}, "needs a majority"),
    "an ingress for no host": ({"dispatcher": {"ingress": {"enabled": True}}}, "set dispatcher.ingress.hosts"),
    "a node port without node ports": ({"dispatcher": {"service": {"nodePort": 30080}}}, "to NodePort or LoadBalancer"),
    "fewer dispatchers at most than at least": (
        {"dispatcher": {"autoscaling": {"minReplicas": 5, "maxReplicas": 2}}},
        "minReplicas is above maxReplicas",
    ),
    "fewer workers at most than at least": (
        {"worker": {"keda": {"minReplicas": 9, "maxReplicas": 2}}},
        "minReplicas is above maxReplicas",
    ),
    "a question to no prometheus": (
        {"worker": {"keda": {"enabled": True, "query": "sum(waiting)"}}},
        "set worker.keda.prometheusUrl as well",
    ),
    "no worker to wait for": (
        {"worker": {"keda": {"enabled": True, "minReplicas": 0}}},
        "would never start a worker again",
    ),
    "workers that can never be replaced": (
        {"worker": {"strategy": {"maxSurge": 0, "maxUnavailable": 0}}},
        "no worker could ever be replaced",
    ),
    "gpus for a runtime that has no use for them": (
        {"worker": {"runtime": "onnx"}, "triton": {"gpu": {"enabled": True}}},
        "needs worker.runtime=triton",
    ),
    "a converter that cannot write": (
        {"models": {"persistence": {"existingClaim": "models", "accessMode": "ReadOnlyMany"}}},
        "set converter.enabled=false",
    ),
    "a setting that the chart makes": ({"worker": {"settings": {"worker_id": "w"}}}, "worker_id is made by the chart"),
    "a password among the settings": (
        {"bus": {"settings": {"nats_password": "x"}}},
        "nats_password is made by the chart",
    ),
    # what one value shows
    "a lull that kubernetes does not wait for": (
        {"worker": {"keda": {"cooldownSeconds": 7200}}},
        "/worker/keda/cooldownSeconds",
    ),
    "a value that does not exist": ({"worker": {"replica": 3}}, "'replica' not allowed"),
    "a component that does not exist": ({"workers": {"replicas": 3}}, "'workers' not allowed"),
    "fewer than no workers": ({"worker": {"replicas": -1}}, "/worker/replicas"),
    "half a worker": ({"worker": {"replicas": 1.5}}, "/worker/replicas"),
    "a number as text": ({"worker": {"replicas": "three"}}, "/worker/replicas"),
    "a runtime that does not exist": ({"worker": {"runtime": "tensorrt"}}, "/worker/runtime"),
    "a drain of negative length": ({"worker": {"settings": {"drain_s": -1}}}, "/worker/settings"),
    "a drain that is no number": ({"dispatcher": {"settings": {"drain_s": "soon"}}}, "/dispatcher/settings"),
    "settings without the drain": ({"worker": {"settings": {"drain_s": None}}}, "drain_s"),
    "a setting by its variable's name": ({"worker": {"settings": {"LABELBUS_SLOTS": 1}}}, "LABELBUS_SLOTS"),
    "a setting that is a list": ({"worker": {"settings": {"handlers": ["a"]}}}, "/worker/settings"),
    "a port out of range": ({"dispatcher": {"service": {"type": "NodePort", "nodePort": 80}}}, "/dispatcher/service"),
    "a size without a unit": ({"models": {"persistence": {"size": "50"}}}, "/models/persistence/size"),
    "shared memory of no size": ({"triton": {"sharedMemory": "lots"}}, "/triton/sharedMemory"),
    "no gpus at all": ({"triton": {"gpu": {"count": 0}}}, "/triton/gpu/count"),
    "an argument that is none": ({"triton": {"extraArgs": ["log-verbose"]}}, "/triton/extraArgs"),
    "a password that nats reads as a number": ({"nats": {"auth": {"password": "12345678901234567890"}}}, "/nats/auth"),
    "a password that is too short": ({"nats": {"auth": {"password": "secret"}}}, "/nats/auth/password"),
    "an address without a scheme": (
        {"nats": {"enabled": False, "url": "elsewhere:4222", "auth": {"enabled": False}}},
        "/nats/url",
    ),
    "an access mode that does not exist": (
        {"models": {"persistence": {"accessMode": "ReadWriteSometimes"}}},
        "/models/persistence/accessMode",
    ),
    "a peer that allows everybody by mistake": ({"networkPolicy": {"gatewayFrom": [{}]}}, "/networkPolicy/gatewayFrom"),
    "a label that is no text": ({"worker": {"nodeSelector": {"gpu": True}}}, "/worker/nodeSelector"),
    "a name with capitals": ({"fullnameOverride": "LabelBus"}, "/fullnameOverride"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nonsense_is_refused_with_a_sentence(chart: Chart, name: str) -> None:
    values, sentence = REFUSED[name]
    outcome = chart.template(Case(values=values))
    assert outcome.returncode != 0
    assert sentence in outcome.stderr
