"""Whether all is there that the run names: Secrets, claims, classes, its own name; and what a refusal means."""

from __future__ import annotations

import base64
import ssl
from typing import Any

import pytest

from tests.checks.cluster import CA, captured, requesting, run
from trainchart.checks.claims import check_claim, check_new_claim
from trainchart.checks.doctor import check_probe, pod_of
from trainchart.checks.finding import Finding
from trainchart.checks.names import check_name, check_namespace
from trainchart.checks.reader import Refusal, Secret
from trainchart.checks.refusals import check_dry_run, explain
from trainchart.checks.run_spec import Claim, Keys
from trainchart.checks.secrets import check_config_map, check_pull_secret, check_secret
from trainchart.checks.server import check_apis, check_version, check_volcano

SPEC = run()


def test_what_a_run_requests_is_read_from_its_objects() -> None:
    source = {
        "type": "s3",
        "repository": None,
        "endpoint": "https://s3.example.com",
        "bucket": "b",
        "secretName": "git-credentials",
    }
    ask = run(
        replicas=2,
        dataset=source,
        workspace={"type": "existingClaim", "claimName": "shared", "accessMode": "ReadWriteMany"},
        imagePullSecrets=["pull"],
        mlflow={"trackingUri": "https://mlflow.example.com", "secretName": "mlflow", "tokenKey": "TOKEN"},
        cache={"claimName": "cache", "readOnly": True},
    )
    assert (ask.queue, ask.replicas, ask.account) == ("default", 2, "")
    assert ask.claims == [Claim("shared", False), Claim("cache", True)]
    assert ask.secrets == [
        Keys(
            "git-credentials",
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GIT_USER", "GIT_TOKEN"),
            ("AWS_SESSION_TOKEN", "GIT_USER"),
        ),
        Keys("mlflow", ("TOKEN",)),
    ]
    assert ask.config_maps == [Keys("git-ca", ("ca.crt",))], "its own ConfigMap is not looked for"
    assert ask.pull_secrets == ["pull"]
    assert run(accelerator={"profile": "nvidia-dra", "count": 1}).device_classes == ["gpu.nvidia.com"]
    assert run(serviceAccount={"name": "mine"}).account == "mine"
    assert not any("helm.sh/hook" in (item["metadata"].get("annotations") or {}) for item in ask.manifests)


def test_the_pod_that_is_sent_for_a_dry_run_is_the_gang_s_own() -> None:
    pod = pod_of(run(priorityClassName="high"))
    assert pod["spec"]["priorityClassName"] == "high"
    assert pod["spec"]["serviceAccountName"] == "default", "the run's own does not exist yet"
    assert pod["metadata"]["labels"]["app.kubernetes.io/instance"] == "run-42"
    assert pod_of(run(serviceAccount={"name": "mine"}))["spec"]["serviceAccountName"] == "mine"


# -- Secrets


def test_keys_are_told_and_nothing_else() -> None:
    wanted = Keys("git", ("GIT_USER", "GIT_TOKEN"))
    assert check_secret(SPEC, wanted, Secret("Opaque", frozenset(wanted.keys))).severity == "ok"
    check = check_secret(SPEC, wanted, Secret("Opaque", frozenset({"GIT_USER", "password"})))
    assert check.text == "Secret git has no key GIT_TOKEN; it has GIT_USER, password"
    missing = check_secret(SPEC, wanted, None)
    assert missing.fix.startswith("`kubectl -n default create secret generic git --from-file=GIT_USER=FILE")


def test_a_git_secret_may_have_the_token_alone_and_no_other_may_lack_a_key() -> None:
    (git,) = run(publish={"secretName": "out"}, model={"secretName": "out"}, dataset={"secretName": "out"}).secrets
    assert check_secret(SPEC, git, Secret("Opaque", frozenset({"GIT_TOKEN"}))).text == "Secret out has GIT_TOKEN"
    assert check_secret(SPEC, git, Secret("Opaque", frozenset({"GIT_USER"}))).text.startswith(
        "Secret out has no key GIT_TOKEN"
    )
    one_key = run(git={"userKey": "GIT_TOKEN"}).secrets[0]
    assert check_secret(SPEC, one_key, Secret("Opaque", frozenset({"x"}))).severity == "problem"
    tracked = {"trackingUri": "https://ml.example.com", "secretName": "ml", "userKey": "U", "passwordKey": "P"}
    (ml,) = [one for one in run(mlflow=tracked).secrets if one.name == "ml"]
    assert check_secret(SPEC, ml, Secret("Opaque", frozenset({"P"}))).text.startswith("Secret ml has no key U")


def test_the_trainers_secrets_are_looked_for_key_by_key() -> None:
    keys = {"A": {"secretName": "wandb", "key": "a"}, "B": {"secretName": "wandb", "key": "b"}}
    wanted = run(secretEnv=keys, secretFiles={".netrc": {"secretName": "netrc", "key": "n"}}).secrets
    (wandb, netrc) = [one for one in wanted if one.name in ("wandb", "netrc")]
    assert (wandb, netrc) == (Keys("wandb", ("a", "b")), Keys("netrc", ("n",)))
    assert check_secret(SPEC, wandb, Secret("Opaque", frozenset("a"))).text == "Secret wandb has no key b; it has a"


def test_what_further_volumes_name_is_looked_for() -> None:
    volumes = [
        {"name": "a", "claimName": "data", "mountPath": "/mnt/a", "readOnly": True},
        {"name": "b", "configMapName": "fonts", "mountPath": "/mnt/b"},
        {"name": "c", "secretName": "tls", "mountPath": "/mnt/c"},
        {"name": "d", "ephemeral": {"size": "1Gi", "storageClassName": "fast"}, "mountPath": "/mnt/d"},
    ]
    asked = run(volumes=volumes, replicas=2)
    assert Claim("data", True) in asked.claims
    assert Keys("fonts") in asked.config_maps
    assert Keys("tls") in asked.secrets
    [template] = asked.ephemeral_claims
    assert check_new_claim(template, 1, captured("storageclasses")).text == "StorageClass fast does not exist"
    assert check_secret(SPEC, Keys("tls"), Secret("Opaque", frozenset({"x", "y"}))).text == "Secret tls has x, y"


def test_a_pull_secret_has_a_registry_s_password() -> None:
    assert check_pull_secret(SPEC, "pull", Secret("kubernetes.io/dockerconfigjson", frozenset())).severity == "ok"
    assert check_pull_secret(SPEC, "pull", Secret("Opaque", frozenset())).severity == "problem"
    assert check_pull_secret(SPEC, "pull", None).text == "image pull secret pull does not exist"


def test_a_ca_bundle_may_be_binary() -> None:
    wanted = Keys("ca", ("ca.crt",))
    assert check_config_map(SPEC, wanted, {"binaryData": {"ca.crt": "LQ=="}}).severity == "ok"
    assert check_config_map(SPEC, wanted, {"data": {}}).text == "ConfigMap ca has no key ca.crt; it is empty"


def test_a_ca_bundle_has_certificates_that_the_runner_can_load() -> None:
    spec = run(caBundle={"configMapName": "ca"})
    [wanted] = spec.config_maps
    encoded = {
        name: base64.b64encode(one).decode()
        for name, one in (("pem", CA.encode()), ("der", ssl.PEM_cert_to_DER_cert(CA)))
    }
    for fine in ({"data": {"ca.crt": CA}}, {"binaryData": {"ca.crt": encoded["pem"]}}):
        assert check_config_map(spec, wanted, fine).severity == "ok"
    for wrong in (
        {"data": {"ca.crt": "changeme"}},
        {"binaryData": {"ca.crt": encoded["der"]}},
        {"data": {"ca.crt": ""}},
    ):
        found = check_config_map(spec, wanted, wrong)
        assert found.text == "key ca.crt of ConfigMap ca has no CA certificates in PEM format"
        assert found.severity == "problem"


# -- claims


def new_claim(replicas: int = 1, classes: list[Any] | None = None, **workspace: Any) -> Finding:
    [claim] = run(workspace={"type": "newClaim", **workspace}).made("PersistentVolumeClaim")
    return check_new_claim(claim, replicas, captured("storageclasses") if classes is None else classes)


def test_a_new_claim_needs_a_storage_class_or_a_default() -> None:
    check = new_claim()
    assert (check.subject, check.text) == (
        "StorageClass (default)",
        "StorageClass standard by rancher.io/local-path; the volume is made when the first pod comes",
    )
    fast = new_claim(storageClassName="fast")
    assert fast.text == "StorageClass fast does not exist"
    assert fast.fix == "name one that exists in storageClassName (standard)"
    plain = [{**one, "metadata": {"name": "standard"}} for one in captured("storageclasses")]
    none = new_claim(classes=plain)
    assert none.text == "no StorageClass is the default"
    assert none.fix.endswith("(standard)")
    assert new_claim(classes=[], storageClassName="fast").text == "StorageClass fast does not exist"


def test_volumes_of_one_node_are_doubtful_for_several() -> None:
    check = new_claim(accessMode="ReadWriteMany")
    assert check.severity == "warning"
    assert "makes volumes of one node" in check.text
    assert new_claim(2).text == "the new claim is ReadWriteOnce, which brings all 2 pods to one node"
    assert new_claim(2, accessMode="ReadWriteOncePod").severity == "problem"


def claim(phase: str = "Bound", modes: tuple[str, ...] = ("ReadWriteMany",), **metadata: Any) -> dict[str, Any]:
    spec = {"accessModes": list(modes), "storageClassName": "standard"}
    return {"metadata": {"name": "shared", **metadata}, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("found", "replicas", "severity"),
    [
        (None, 1, "problem"),
        (claim(), 3, "ok"),
        (claim("Pending"), 1, "ok"),  # its class waits for the first pod
        (claim("Lost"), 1, "problem"),
        (claim(deletionTimestamp="2026-11-24T00:00:00Z"), 1, "problem"),
        (claim(modes=("ReadOnlyMany",)), 1, "problem"),
        (claim(modes=("ReadWriteOnce",)), 2, "warning"),
        (claim(modes=("ReadWriteOncePod",)), 2, "problem"),
    ],
)
def test_a_claim_that_exists_is_judged_by_its_state_and_modes(found: Any, replicas: int, severity: str) -> None:
    assert (
        check_claim(requesting({}, replicas=replicas), Claim("shared"), found, captured("storageclasses")).severity
        == severity
    )


def test_a_claim_that_is_only_read_may_be_read_only_and_one_without_a_volume_is_doubtful() -> None:
    assert check_claim(requesting({}, replicas=3), Claim("data", True), claim(modes=("ReadOnlyMany",))).severity == "ok"
    assert check_claim(SPEC, Claim("shared"), claim("Pending")).severity == "warning"


# -- names


def test_a_name_is_free_taken_or_still_ending() -> None:
    job: dict[str, Any] = {"metadata": {"name": "run-42"}}
    release = [
        {"metadata": {"namespace": "vision", "labels": {"status": status, "version": version}}}
        for version, status in (("10", "failed"), ("9", "superseded"))  # the API server sorts by name
    ]
    pod = {"metadata": {"name": "run-42-train-0"}}
    assert check_name(SPEC, [], None, []).text == "the name run-42 is free"
    assert check_name(SPEC, release, job, []).text == "a release of this name exists, and is failed"
    assert "`helm uninstall run-42 -n vision`" in check_name(SPEC, release, job, []).fix
    assert check_name(SPEC, [], job, []).text == "a Job of this name exists, and belongs to no release"
    assert check_name(SPEC, [], None, [pod]).severity == "warning"
    job["metadata"]["deletionTimestamp"] = "2026-11-24T00:00:00Z"
    assert "still being deleted" in check_name(SPEC, release, job, []).text


def test_a_namespace_is_there_and_tells_its_level() -> None:
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    assert "restricted" in check_namespace("a", {"metadata": {"labels": level}}).text
    assert check_namespace("a", None).fix.startswith("`kubectl create namespace a`")
    ending = {"metadata": {}, "status": {"phase": "Terminating"}}
    assert check_namespace("a", ending).severity == "problem"


# -- the server


def test_versions_are_read_as_clusters_write_them() -> None:
    assert check_version({"major": "1", "minor": "27+", "gitVersion": "v1.27.3-gke.100"}, "https://a").severity == "ok"
    old = check_version({"major": "1", "minor": "24", "gitVersion": "v1.24.0"}, "https://a")
    assert (old.severity, old.text) == ("problem", "Kubernetes 1.24.0 runs at https://a")


def test_volcano_s_version_is_that_of_its_oldest_program() -> None:
    assert check_volcano(captured("pods")).text == "Volcano 1.15.1 is installed"

    def pods(*images: str) -> list[Any]:
        return [{"spec": {"containers": [{"image": image}]}} for image in images]

    mixed = pods("volcanosh/vc-scheduler:v1.8.2", "mirror.example.com/volcanosh/vc-controller-manager:v1.15.1")
    assert check_volcano(mixed).severity == "problem"
    assert check_volcano(pods("volcanosh/vc-scheduler:latest")).severity == "warning"


def test_a_cluster_without_volcano_is_told_by_what_it_does_not_know() -> None:
    check = check_apis({"/apis/batch.volcano.sh/v1alpha1": None})
    assert check.severity == "problem"
    assert check.text.endswith("the API server knows no jobs.batch.volcano.sh")


def test_the_webhook_shows_itself_by_refusing() -> None:
    assert (
        check_probe(Refusal("admission webhook denied: job 'minAvailable' should not be greater than ...")).severity
        == "ok"
    )
    assert check_probe({"metadata": {}}).severity == "warning"
    down = 'Internal error occurred: failed calling webhook "mutatejob.volcano.sh": failed to call webhook: connection refused'
    check = check_probe(Refusal(down))
    assert check.severity == "problem"
    assert "mutatejob.volcano.sh does not answer" in check.text


# -- refusals: what real clusters said

SAID = {
    "queue-missing": 'admission webhook "validatejob.volcano.sh" denied the request: unable to find job queue: queue.scheduling.volcano.sh "nope" not found;',
    "queue-closed": 'Error: INSTALLATION FAILED: admission webhook "validatejob.volcano.sh" denied the request: can only submit job to queue with state `Open`, queue `nope` status is `Closed`;',
    "queue-not-leaf": 'admission webhook "validatejob.volcano.sh" denied the request: can only submit job to leaf queue, queue `nope` has 1 child queues;',
    "quota": 'persistentvolumeclaims "nope" is forbidden: exceeded quota: nope, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0',
    "quota-unspecified": 'pods "a" is forbidden: failed quota: nope: must specify limits.memory for: train',
    "pod-security": 'pods "priv" is forbidden: violates PodSecurity "restricted:latest": privileged (container "nope" must not set securityContext.privileged=true)',
    "limit-range": 'pods "a" is forbidden: [maximum memory usage per Container is 256Mi, but limit is 512Mi nope]',
    "service-account": 'pods "a" is forbidden: error looking up service account training/nope: serviceaccount "nope" not found',
    "priority-class": 'pods "a" is forbidden: no PriorityClass with name nope was found',
    "runtime-class": 'pods "a" is forbidden: pod rejected: RuntimeClass "nope" not found',
    "no-right": 'jobs.batch.volcano.sh is forbidden: User "system:serviceaccount:a:b" cannot create resource "jobs" in API group "batch.volcano.sh" in the namespace "nope"',
    "namespace-missing": 'create: failed to create: namespaces "nope" not found',
    "name-in-use": "Error: INSTALLATION FAILED: cannot reuse a name that is still in use",
    "object-in-the-way": 'Error: INSTALLATION FAILED: unable to continue with install: ConfigMap "nope" in namespace "training" exists and cannot be imported into the current release: invalid ownership metadata; label validation error',
    "being-deleted": 'object is being deleted: jobs.batch.volcano.sh "nope" already exists',
    "object-exists": 'jobs.batch.volcano.sh "nope" already exists',
    "no-volcano": 'Error: INSTALLATION FAILED: unable to build kubernetes objects from release manifest: resource mapping not found for name: "nope" namespace: "" from "": no matches for kind "Job" in version "batch.volcano.sh/v1alpha1"',
    "unreachable": 'Error: INSTALLATION FAILED: Kubernetes cluster unreachable: Get "https://nope:6443/version": dial tcp: connect: connection refused',
    "too-slow": "Error: INSTALLATION FAILED: context deadline exceeded",
}
NAMELESS = ("name-in-use", "too-slow", "no-volcano")


@pytest.mark.parametrize("key", SAID)
def test_a_refusal_is_recognized_and_names_what_it_is_about(key: str) -> None:
    found = explain(SAID[key])
    assert found.key == key
    assert found.fix
    assert "?" not in found.text
    assert ("nope" in found.text) == (key not in NAMELESS)


def test_a_right_over_the_whole_cluster_is_in_no_role_of_ours() -> None:
    said = 'namespaces is forbidden: User "u" cannot create resource "namespaces" in API group "" at the cluster scope'
    found = explain(said)
    assert found.key == "no-right"
    assert "trainchart-submitter" not in found.fix


def test_an_account_that_may_not_make_policies_is_told_how_to_do_without() -> None:
    said = (
        'networkpolicies.networking.k8s.io is forbidden: User "u" cannot create resource "networkpolicies" in API group '
        '"networking.k8s.io" in the namespace "training"'
    )
    found = explain(said)
    assert (found.key, found.text) == (
        "no-right",
        "this account has no permission to create networkpolicies in namespace training",
    )
    assert found.fix.endswith("or set networkPolicy.enabled: false")


def test_a_root_queue_is_refused_without_its_name_and_explained_anyway() -> None:
    assert explain("denied the request: can not submit job to root queue;").key == "queue-not-leaf"


def test_a_refusal_that_is_not_known_is_told_without_its_wrapping() -> None:
    found = explain(
        'Error: INSTALLATION FAILED: admission webhook "policy.example.com" denied the request: image not signed'
    )
    assert (found.key, found.text) == ("refused", "image not signed")


def test_a_dry_run_that_is_refused_is_a_problem_with_its_cause() -> None:
    check = check_dry_run("Job run-42", Refusal(SAID["queue-closed"]))
    assert (check.severity, check.key, check.subject) == ("problem", "queue-closed", "Job run-42")
    assert check.text == "Job run-42 would be refused: queue nope takes no runs: its state is Closed"
