"""The sections of the values that every family has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from trainchart.values.models.base import MOST, Count, Duration, Empty, KeyName, ObjectName, Quantity, Section, Text
from trainchart.values.models.kubernetes import Egress

ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]


class ResourceList(Section):
    cpu: Quantity = Field(None, description="Processor cores.", examples=["8", "500m"])
    memory: Quantity = Field(None, description="Memory, shared memory included.", examples=["20Gi"])


class Resources(Section):
    requests: ResourceList | None = Field(None, description="What a pod is scheduled by.")
    limits: ResourceList | None = Field(None, description="What a pod may use at most.")


class Workspace(Section):
    type: Literal["emptyDir", "newClaim", "existingClaim"] = Field(
        "emptyDir",
        description="emptyDir: new for every pod. newClaim: a claim of this release. existingClaim: claimName.",
    )
    size: Quantity = Field(None, description="Size of the emptyDir or new claim.", examples=["5Gi"])
    claimName: ObjectName = Field(None, description="The existing PersistentVolumeClaim.")
    storageClassName: ObjectName = Field(None, description="StorageClass of a new claim; empty: the default.")
    accessMode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] = Field(
        "ReadWriteOnce", description="How many nodes may mount the claim."
    )
    keep: bool = Field(False, description="Keep a new claim when the release is uninstalled.")
    directory: Text = Field(None, description="The run's folder in the workspace; empty: the release's name.")


class CaBundle(Section):
    configMapName: ObjectName = Field(None, description="ConfigMap with the CA certificates.")
    key: KeyName = Field("ca.crt", description="Its key.")


class Git(Section):
    secretName: ObjectName = Field(
        None,
        description="Secret with user and token for the server of publish.repository (where nothing is published: of "
        "model.repository, else of dataset.repository), and for no other; empty for public repositories.",
        examples=["git-credentials"],
    )
    userKey: KeyName = Field(
        "GIT_USER",
        description="Key of the user in every git Secret; one without it has a token alone, sent with the user oauth2.",
    )
    tokenKey: KeyName = Field("GIT_TOKEN", description="Key of the token or password in every git Secret.")
    caBundle: CaBundle | None = Field(None, description="CA certificates of a git server with its own.")
    allowPlainHttp: bool = Field(
        False, description="Allow repositories by http://, where the token travels unencrypted."
    )


class Source(Section):
    type: Literal["git", "claim", "s3"] = Field(
        "git", description="git: a repository. claim: a volume of the cluster. s3: an S3-compatible object store."
    )
    repository: Text = Field(
        None, description="git: URL of the repository.", examples=["https://git.example.com/team/model.git"]
    )
    revision: Text = Field(
        None, description="git: branch, tag or full commit; empty: the default branch.", examples=["main", "v7.0"]
    )
    claimName: ObjectName = Field(
        None, description="claim: a PersistentVolumeClaim, mounted read-only.", examples=["coco"]
    )
    subPath: Text = Field(None, description="claim: a folder of it; empty: all of it.", examples=["datasets/coco8"])
    endpoint: Text = Field(
        None, description="s3: URL of the object store.", examples=["https://s3.eu-central-1.amazonaws.com"]
    )
    bucket: Text = Field(None, description="s3: the bucket.", examples=["datasets"])
    prefix: Text = Field(None, description="s3: a folder of the bucket; empty: all of it.", examples=["coco"])
    region: Text = Field(None, description="s3: region of the signature.", examples=["us-east-1"])
    secretName: ObjectName = Field(
        None,
        description="git: Secret with user and token for this repository's server; empty: git.secretName where that is for the "
        "same server, else none. s3: Secret with the access key; empty for a public bucket.",
        examples=["s3-credentials"],
    )
    accessKeyKey: KeyName = Field("AWS_ACCESS_KEY_ID", description="s3: key of the access key's id in the Secret.")
    secretKeyKey: KeyName = Field("AWS_SECRET_ACCESS_KEY", description="s3: key of the secret access key in it.")
    cached: bool = Field(False, description="Keep it in the cache volume, for this and later runs.")


class Dataset(Source):
    path: Text = Field(None, description="Where it lies in the run's folder.", examples=["datasets/coco128"])


class Cache(Section):
    claimName: ObjectName = Field(
        None, description="PersistentVolumeClaim that keeps sources for many runs.", examples=["models-cache"]
    )
    readOnly: bool = Field(False, description="Only read it: it was filled beforehand.")


class Mlflow(Section):
    trackingUri: Text = Field(
        None, description="URL of the MLflow server; empty: no tracking.", examples=["https://mlflow.example.com"]
    )
    allowPlainHttp: bool = Field(
        False, description="Allow a trackingUri by http:// with a Secret, whose token then travels unencrypted."
    )
    experiment: Text = Field(None, description="Experiment; empty: the namespace.", examples=["detectors"])
    secretName: ObjectName = Field(None, description="Secret with the credentials; empty: none.", examples=["mlflow"])
    tokenKey: KeyName | Literal[""] | None = Field(None, description="Key of a bearer token in it.")
    userKey: KeyName | Literal[""] | None = Field(None, description="Key of the user in it, with passwordKey.")
    passwordKey: KeyName | Literal[""] | None = Field(None, description="Key of the password in it.")


class Parameter(Section):
    """What a parameter may be: choices, or a range."""

    choices: list[str | float | bool] | None = Field(
        None, min_length=1, description="One of these.", examples=[["SGD", "AdamW"]]
    )
    low: float | None = Field(None, description="Least value of a range.", examples=[0.00001])
    high: float | None = Field(None, description="Greatest value of a range.", examples=[0.1])
    log: bool = Field(False, description="Search the range by its logarithm.")
    integer: bool = Field(False, description="Whole numbers of the range only.")


class Tune(Section):
    trials: Annotated[int, Field(ge=0, le=10000)] | Empty = Field(
        None,
        description="Trainings to try; 0 or empty: one training, no search. As many at the same time as there are replicas.",
        examples=[20],
    )
    metric: Text = Field(
        None, description="Metric to compare trials by, as the log calls it.", examples=["metrics/mAP50-95"]
    )
    goal: Literal["maximize", "minimize"] = Field("maximize", description="Whether more of it is better.")
    gracePeriod: Count = Field(
        None,
        description="Epochs that every trial gets before it may be given up; empty: none is given up.",
        examples=[5],
    )
    failureLimit: int = Field(0, ge=0, le=MOST, description="Trials that may fail before the run does.")
    seed: int = Field(0, ge=0, le=MOST, description="Makes the search of one pod repeatable; 0: it is not.")
    space: dict[ParameterName, Parameter] | None = Field(
        None,
        description="What is tried: settings of the family (such as batchSize), or hyper-parameters of its trainer (such as lr0).",
    )


class Publish(Section):
    type: Literal["git", "none"] = Field(
        "git", description="git: push to a branch. none: leave the result in the workspace."
    )
    repository: Text = Field(None, description="URL of the git repository.")
    secretName: ObjectName = Field(
        None, description="Secret with user and token for the repository's server; empty: git.secretName."
    )
    branch: Annotated[str, StringConstraints(pattern=r"^$|^[A-Za-z0-9][-A-Za-z0-9._/]*$", max_length=200)] | None = (
        Field(None, description="Branch; empty: sft-YYYYmmdd-HHMMSS.", examples=["candidates/first"])
    )
    modelName: Annotated[str, StringConstraints(pattern=r"^[-._A-Za-z0-9]*$")] | None = Field(
        None, description="Name in the model's configuration; empty: the last part of the repository."
    )
    maxBatchSize: int = Field(8, ge=1, le=MOST, description="The largest batch that the exported model is served with.")
    patience: Duration = Field(
        "2h",
        description="How long to go on trying when the git server is away at the end, or on an emptyDir refuses; "
        "timeLimit ends it earlier.",
        examples=["30m", "12h"],
    )


class SecurityContext(Section):
    runAsUser: int = Field(1000, ge=1, le=MOST, description="User id of the training process; not root.")
    runAsGroup: int = Field(1000, ge=0, le=MOST, description="Group id of the training process.")
    fsGroup: int = Field(1000, ge=0, le=MOST, description="Group that owns the volumes.")


class ServiceAccount(Section):
    name: ObjectName = Field(None, description="An account of yours; empty: a new one without rights.")


class NetworkPolicy(Section):
    enabled: bool = Field(
        True,
        description="Only pods of this run may connect to its pods, and so to its rendezvous; false: no policy is made.",
    )
    egress: list[Egress] = Field(
        default_factory=list, description="Allowed targets, as NetworkPolicy egress rules; empty: all."
    )
