"""The manifests: valid for Kubernetes, and as closed as they are said to be."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipeline.core.parameters import Container
from pipeline.service import kubernetes

TAG = "my_shop:v3-1a2b3c4d-9f8e7d6c"
SINGLE = Container(
    registry=None, replicas=1, database_secret=None, log_gib=5,
    cpu_cores=0.5, cpu_cores_max=2, memory_mib=1024,
)  # fmt: skip
SHARED = SINGLE.model_copy(
    update={"registry": "registry.example.com:5000/team", "replicas": 3, "database_secret": "shop-database"}
)
RELEASES = ("1.31", "1.34", "1.37")
KINDS = {
    "single": ["Deployment", "PersistentVolumeClaim", "Service", "NetworkPolicy"],
    "shared": ["Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"],
}


@pytest.fixture(params=["single", "shared"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def manifests(name: str) -> list[dict[str, Any]]:
    text = kubernetes.render(TAG, {"single": SINGLE, "shared": SHARED}[name])
    return list(yaml.safe_load_all(text))


def of_kind(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [each for each in manifests if each["kind"] == kind]
    return found


def pod(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def test_each_is_what_kubernetes_takes(manifests: list[dict[str, Any]], name: str) -> None:
    assert [each["kind"] for each in manifests] == KINDS[name]
    for manifest in manifests:
        for release in RELEASES:
            kubernetes_validate.validate(manifest, release, strict=True)


def test_a_misspelt_field_would_be_noticed() -> None:
    text = kubernetes.render(TAG, SINGLE).replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")
    deployment = next(yaml.safe_load_all(text))
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRootFileSystem"):
        kubernetes_validate.validate(deployment, RELEASES[-1], strict=True)


def test_the_pod_may_do_nothing_but_serve(manifests: list[dict[str, Any]]) -> None:
    """Kubernetes' Pod Security Standard `restricted`, a read-only root, and no way to the cluster's API."""
    found = pod(manifests)
    assert found["securityContext"]["runAsNonRoot"] and found["securityContext"]["runAsUser"] > 10000
    assert found["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert found["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(found)
    (container,) = found["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "hostPort" not in container["ports"][0]
    assert {kind for volume in found["volumes"] for kind in volume} <= {
        "name", "emptyDir", "persistentVolumeClaim"
    }  # fmt: skip


def test_it_is_watched_limited_and_given_time_to_end(manifests: list[dict[str, Any]]) -> None:
    found = pod(manifests)
    (container,) = found["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"
    }  # fmt: skip
    assert {probe["port"] for probe in probes.values()} == {container["ports"][0]["name"]}
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "1024Mi"},
        "limits": {"cpu": "2000m", "memory": "1024Mi"},
    }
    leaves = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert found["terminationGracePeriodSeconds"] > leaves + kubernetes.DRAIN_SECONDS


def test_parts_find_each_other(manifests: list[dict[str, Any]]) -> None:
    labels = of_kind(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [of_kind(manifests, "Deployment")["spec"]["selector"]["matchLabels"]]
    selectors.append(of_kind(manifests, "Service")["spec"]["selector"])
    selectors.append(of_kind(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"])
    for selector in selectors:
        assert selector and selector.items() <= labels.items()
        assert "app.kubernetes.io/version" not in selector  # it cannot be changed by an update
    assert of_kind(manifests, "Service")["spec"]["ports"][0]["targetPort"] == "http"
    names = {manifest["metadata"]["name"] for manifest in manifests}
    assert names <= {"my-shop", "my-shop-log"}
    found = pod(manifests)
    mounted = {mount["name"] for mount in found["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in found["volumes"]}


def test_secrets_are_named_and_not_written(manifests: list[dict[str, Any]], name: str) -> None:
    variables = {each["name"]: each for each in pod(manifests)["containers"][0]["env"]}
    expected = {f"FULLCYCLE_TOKEN_{scope}" for scope in ("PREDICT", "FEEDBACK", "ADMIN")}
    assert set(variables) == expected | ({"FULLCYCLE_PREDICTION_LOG"} if name == "shared" else set())
    assert all(set(variable) == {"name", "valueFrom"} for variable in variables.values())


def test_one_replica_has_a_volume_of_its_own() -> None:
    manifests = list(yaml.safe_load_all(kubernetes.render(TAG, SINGLE)))
    deployment = of_kind(manifests, "Deployment")["spec"]
    assert deployment["strategy"] == {"type": "Recreate"} and deployment["replicas"] == 1
    claim = of_kind(manifests, "PersistentVolumeClaim")
    (volume,) = [each for each in pod(manifests)["volumes"] if "persistentVolumeClaim" in each]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "5Gi"
    assert of_kind(manifests, "NetworkPolicy")["spec"]["egress"] == []


def test_several_replicas_share_a_database_and_never_go_all_at_once() -> None:
    manifests = list(yaml.safe_load_all(kubernetes.render(TAG, SHARED)))
    deployment = of_kind(manifests, "Deployment")["spec"]
    assert deployment["replicas"] == 3
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert of_kind(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    (container,) = pod(manifests)["containers"]
    assert container["image"] == f"registry.example.com:5000/team/{TAG}"
    ports = {port["port"] for port in of_kind(manifests, "NetworkPolicy")["spec"]["egress"][0]["ports"]}
    assert ports == {53, 5432}


def test_the_same_bento_and_parameters_make_the_same_text() -> None:
    assert kubernetes.render(TAG, SINGLE) == kubernetes.render(TAG, SINGLE.model_copy())
    assert kubernetes.render(TAG, SINGLE) != kubernetes.render(TAG + "x", SINGLE)
