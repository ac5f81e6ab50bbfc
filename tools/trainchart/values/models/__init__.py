"""The typed values of a run: types, defaults and descriptions of every key that all families share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from trainchart.values.models.accelerator import Accelerator
from trainchart.values.models.base import (
    Duration,
    Image,
    LabelKey,
    LabelValue,
    Name,
    Named,
    ObjectName,
    Open,
    OptionalDuration,
    Quantity,
    Section,
)
from trainchart.values.models.kubernetes import Affinity, Toleration, TopologySpread
from trainchart.values.models.sections import (
    CaBundle,
    Cache,
    Dataset,
    Git,
    Mlflow,
    NetworkPolicy,
    NetworkTopology,
    Owner,
    Proxy,
    Publish,
    Resources,
    SecretKey,
    SecurityContext,
    ServiceAccount,
    Source,
    Tune,
    Volume,
    Workspace,
)
from trainchart.values.words import also, instead, must_be

EnvironmentName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
    Field(json_schema_extra=must_be("the name of a variable: a letter, then letters, digits and '_'")),
]

_RELEASE = "the run has the name and namespace of its release: helm install NAME -n NAMESPACE"
_HOST = (
    'the Pod Security Standard "restricted", which every pod meets, forbids the namespaces of its node; for a fast network '
    "request its device (resources.limits) and, with Multus, name its network in podAnnotations"
)
_CONTAINER = (
    "a run has one container; what it needs beforehand belongs into its image, on a claim, or into a program of family "
    "custom (train.command)"
)
_DNS = "the pods resolve names by the DNS of the cluster, where an administrator adds a name"
_COMMAND = "the family starts its trainer; for a program of your own, use family custom with train.command"

SecretPath = Annotated[
    str,
    StringConstraints(pattern=r"^\.?[A-Za-z0-9_-][A-Za-z0-9._-]*(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*)*$", max_length=200),
    Field(
        json_schema_extra=must_be("a path below the home directory, such as .netrc: letters, digits, '-', '_' and '.'")
    ),
]

RESERVED = r"^(HOME|TERMINATION_LOG|JOB_ATTEMPT|JOB_GROUP|(POD|VC|VK)_.*)$"
"""Environment variables that identify the run and the pod; the chart, Volcano's plugins and Kubernetes set them."""


def _exclude_reserved(schema: dict[str, Any]) -> None:
    schema["patternProperties"][RESERVED] = {"not": {}, "description": "it identifies the run and the pod"}


class Values(Section):
    model_config = ConfigDict(
        json_schema_extra=instead(
            name=_RELEASE,
            namespace=_RELEASE,
            command=_COMMAND,
            args=_COMMAND,
            script=_COMMAND,
            minAvailable="the pods of a run are a gang of replicas: all of them run, or none",
            serviceAccountName="set serviceAccount.name",
            schedulerName="Volcano schedules every run; devices with a scheduler of their own, such as HAMi's, are placed by "
            "accelerator.schedulerName",
            memory="write it into resources.requests, resources.limits or both; that of devices is accelerator.memory",
            cpu="write it into resources.requests, resources.limits or both",
            tasks="a run has one kind of pod; set their number with replicas",
            volumeMounts="write the mountPath of each volume in volumes",
            terminationGracePeriodSeconds="a pod has 60 seconds from SIGTERM to SIGKILL; leave it out",
            **dict.fromkeys(("hostNetwork", "hostPID", "hostIPC"), _HOST),
            **dict.fromkeys(("containers", "initContainers", "lifecycle"), _CONTAINER),
            **dict.fromkeys(("dnsPolicy", "dnsConfig", "hostAliases"), _DNS),
        )
    )

    family: str = Field("", description="What to train: the name of a family.")
    image: Annotated[Image, Named("TRAINING_IMAGE", required=True)] = Field(
        "",
        description="Training image, with python3, git, git-lfs and the trainer.",
        examples=["registry.example.com/training/yolo:7.0"],
    )
    imagePullPolicy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="When to pull the image."
    )
    imagePullSecrets: list[Name] = Field(
        default_factory=list,
        description="Names of Secrets of type kubernetes.io/dockerconfigjson, to pull the image with.",
        examples=[["registry-credentials"]],
        json_schema_extra=also("pullSecrets", "imagePullSecret", "registrySecret"),
    )
    replicas: Annotated[int, Named("REPLICAS")] = Field(
        1,
        ge=1,
        le=1000,
        description="Number of pods in the gang: all of them run, or none.",
        json_schema_extra=also("nodes", "pods", "numNodes", "nnodes", "worldSize", "numWorkers", "parallelism"),
    )
    queue: ObjectName = Field("default", description="Volcano queue of the run.", json_schema_extra=also("queueName"))
    priorityClassName: ObjectName = Field(
        None,
        description="PriorityClass of the run: who starts first, and where the scheduler preempts, who goes (trainchart docs preemption).",
        json_schema_extra=also("priority", "priorityClass"),
    )
    preemptible: bool = Field(
        True,
        description="Whether Volcano may stop the run to give its resources to others (trainchart docs preemption).",
        json_schema_extra=also("preemptable", "preemption", "reclaimable", "interruptible"),
    )
    retries: int = Field(
        0,
        ge=0,
        le=100,
        description="How often to restart a run that failed through no fault of its user; a preemption counts too.",
        json_schema_extra=also("backoffLimit", "maxRetry", "maxRetries", "restarts"),
    )
    timeLimit: Duration = Field(
        "720h",
        description="Maximum duration of one attempt: a number with s, m, h or d.",
        examples=["90m", "72h"],
        json_schema_extra=also("timeout", "activeDeadlineSeconds", "deadline", "maxRuntime"),
    )
    holdAfterFailure: OptionalDuration = Field(
        None,
        description="How long a run that has failed keeps its pods, with their devices, for `trainchart exec`; not before a retry, and "
        "no longer than timeLimit. `trainchart stop` ends it. Empty: not at all.",
        examples=["30m"],
        json_schema_extra=also("hold", "keepAlive", "debug", "sleepAfterFailure"),
    )
    ttlAfterFinished: OptionalDuration = Field(
        None,
        description="How long to keep the Job and its pods after they have completed or failed; 0s: not at all; empty: until "
        "the run is removed.",
        examples=["7d"],
        json_schema_extra=also("ttlSecondsAfterFinished", "ttl"),
    )
    accelerator: Accelerator | None = Field(
        None, description="Devices of each pod.", examples=[{"profile": "nvidia", "count": 1}]
    )
    resources: Resources | None = Field(
        None,
        description="CPU, memory and other resources of each pod (trainchart docs pods); an empty one is not requested, or not limited.",
        examples=[{"requests": {"cpu": "4", "memory": "8Gi"}, "limits": {"memory": "24Gi"}}],
    )
    sharedMemory: Annotated[Quantity, Named("SHARE_MEMORY_LIMIT_SIZE")] = Field(
        "2Gi",
        description="Size of /dev/shm; it counts towards the memory of the pod.",
        examples=["2Gi"],
        json_schema_extra=also("shm", "shmSize", "devShm", "dshm"),
    )
    workspace: Workspace | None = Field(
        None, description="Volume that the run works in.", examples=[{"type": "newClaim", "size": "50Gi"}]
    )
    git: Annotated[Git | None, Named("GIT_CREDENTIAL_{}")] = Field(
        None, description="Credentials for all git repositories."
    )
    model: Annotated[Source | None, Named("MODEL_{}")] = Field(
        None,
        examples=[{"repository": "https://git.example.com/team/model.git"}],
        description="Model: the sources of the trainer, and the weights to start from.",
    )
    dataset: Annotated[Dataset | None, Named("DATASET_{}")] = Field(
        None,
        description="Data to train on.",
        examples=[{"repository": "https://git.example.com/team/dataset.git"}],
    )
    cache: Cache | None = Field(
        None,
        description="Volume that keeps sources with `cached: true`, once per commit, for all runs that mount it.",
        examples=[{"claimName": "models-cache"}],
    )
    train: Annotated[Open | None, Named("TRAIN_ARG_{}")] = Field(
        None, description="Settings of the family; an empty one has the family's default."
    )
    tune: Tune | None = Field(
        None,
        description="Search for better settings: many trainings instead of one, as many at a time as there are "
        "replicas.",
    )
    publish: Annotated[Publish | None, Named("OUTPUT_MODEL_{}")] = Field(
        None, description="Where to publish the result."
    )
    mlflow: Mlflow | None = Field(
        None,
        description="Tracking of the run's parameters, metrics and state on an MLflow server. The Secret has a token, "
        "or a user and a password.",
    )
    caBundle: CaBundle | None = Field(
        None,
        description="CA certificates that git, object stores, MLflow and the trainer's programs trust, beside those of the image.",
        examples=[{"configMapName": "company-ca"}],
        json_schema_extra=also("ca", "caCert", "caCertificates", "caConfigMap", "trustedCA"),
    )
    proxy: Proxy | None = Field(
        None,
        description="HTTP proxy of git, object stores, MLflow and the trainer's programs; empty: that of the image, if it sets one.",
        examples=[{"httpsProxy": "http://proxy.example.com:3128", "noProxy": ".example.com"}],
        json_schema_extra=also("proxies", "httpProxy", "httpsProxy"),
    )
    env: Annotated[dict[EnvironmentName, str], Field(json_schema_extra=_exclude_reserved)] | None = Field(
        None,
        description="Additional environment variables of the trainer, its export and the checks of its data; the "
        "runner and git do not get them. What looks like a secret is refused: it belongs into secretEnv.",
        examples=[{"NCCL_DEBUG": "INFO"}],
        json_schema_extra=also("environment", "extraEnv", "envVars"),
    )
    secretEnv: Annotated[dict[EnvironmentName, SecretKey], Field(json_schema_extra=_exclude_reserved)] | None = Field(
        None,
        description="Environment variables of the trainer and its export alone, each with its value from a key of a Secret.",
        examples=[{"WANDB_API_KEY": {"secretName": "wandb", "key": "api-key"}}],
        json_schema_extra=also("secretEnvironment", "envFromSecret", "extraEnvFrom", "envSecrets"),
    )
    secretFiles: dict[SecretPath, SecretKey] | None = Field(
        None,
        description="Files in the home directory of the pod (/tmp/home), each a key of a Secret, by their paths in it.",
        examples=[{".kaggle/kaggle.json": {"secretName": "kaggle", "key": "kaggle.json"}}],
    )
    volumes: list[Volume] = Field(
        default_factory=list,
        description="Further volumes of the pods: claims, ConfigMaps, Secrets, or a new claim for every pod; see `trainchart docs pods`.",
        examples=[[{"name": "fonts", "configMapName": "fonts", "mountPath": "/usr/share/fonts/ours"}]],
        json_schema_extra=also("extraVolumes"),
    )
    podLabels: dict[LabelKey, LabelValue] | None = Field(
        None,
        description="Further labels of the pods, for policies, monitoring and cost reports. Keys of the run and of Volcano are "
        "refused.",
        examples=[{"team": "vision"}],
        json_schema_extra=also("labels", "extraLabels"),
    )
    podAnnotations: dict[LabelKey, str] | None = Field(
        None,
        description="Further annotations of the pods; they replace those of the accelerator profile. Keys of the run and of "
        "Volcano are refused.",
        examples=[{"k8s.v1.cni.cncf.io/networks": "rdma-net"}],
        json_schema_extra=also("annotations", "extraAnnotations"),
    )
    sidecars: Literal["disable", "allow"] = Field(
        "disable",
        description="disable: the pods have the labels and annotations that keep Istio and Linkerd from injecting their sidecars. "
        "allow: without them, and sidecars are ended with the run; see `trainchart docs pods`.",
        json_schema_extra={
            **also("sidecarInjection", "istio", "linkerd"),
            **instead(
                **dict.fromkeys(("false", "disabled", "none", "off"), "write disable"),
                **dict.fromkeys(("true", "enable", "enabled", "inject", "on"), "write allow"),
            ),
        },
    )
    nodeSelector: dict[LabelKey, LabelValue] | None = Field(
        None,
        description="Labels of the nodes that the pods may run on.",
        examples=[{"kubernetes.io/hostname": "gpu-1"}],
        json_schema_extra=also("nodeLabels"),
    )
    tolerations: list[Toleration] = Field(
        default_factory=list,
        description="Taints that the pods tolerate.",
        examples=[[{"key": "nvidia.com/gpu", "operator": "Exists"}]],
    )
    affinity: Affinity | None = Field(None, description="Affinity of the pods to nodes and to other pods.")
    topologySpread: list[TopologySpread] = Field(
        default_factory=list,
        description="How the pods are spread over nodes, racks or zones.",
        examples=[[{"topologyKey": "kubernetes.io/hostname"}]],
        json_schema_extra=also("topologySpreadConstraints"),
    )
    networkTopology: NetworkTopology | None = Field(
        None,
        description="How near to each other the pods are in the network, by Volcano's HyperNodes (trainchart docs pods).",
        examples=[{"mode": "hard", "highestTierAllowed": 1}],
    )
    runtimeClassName: ObjectName = Field(
        None,
        description="RuntimeClass of the pods; empty: that of the accelerator profile.",
        examples=["nvidia"],
        json_schema_extra=also("runtimeClass", "runtime"),
    )
    securityContext: SecurityContext | None = Field(
        None,
        description='User and groups of the training process. Every pod meets the Pod Security Standard "restricted".',
    )
    serviceAccount: ServiceAccount | None = Field(
        None, description="Service account of the pods.", examples=[{"name": "trainer"}]
    )
    networkPolicy: NetworkPolicy | None = Field(
        None, description="Network isolation of the run.", examples=[{"enabled": False}]
    )
    owner: Owner | None = Field(
        None,
        description="Object in the release's namespace that the run belongs to, and is removed with: such as the "
        "PipelineRun that submits it. A claim that is kept stays.",
        examples=[{"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": "nightly", "uid": "5a0c7e36-f3"}],
    )
