"""The sections of the values that all families share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter

from trainchart.values.models.base import (
    EXTENDED_RESOURCE,
    MOST,
    Bucket,
    Count,
    Duration,
    Empty,
    KeyName,
    Name,
    Named,
    ObjectName,
    Quantity,
    Section,
    Text,
)
from trainchart.values.models.kubernetes import Egress
from trainchart.values.words import also, instead, must_be

ApiVersion = Annotated[
    str,
    StringConstraints(pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?$", max_length=253),
    Field(json_schema_extra=must_be("the group and version of an API")),
]
KindName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=63),
    Field(json_schema_extra=must_be("a kind of object: a capital, then letters and digits")),
]
# It is also the value of a label.
Uid = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=63),
    Field(json_schema_extra=must_be("a UID: letters, digits, '-', '_' and '.'")),
]
_FOLDER = r"[A-Za-z0-9_][-A-Za-z0-9._]*"
Branch = Annotated[
    str,
    StringConstraints(pattern=r"^$|^[A-Za-z0-9][-A-Za-z0-9._/]*$", max_length=200),
    Field(json_schema_extra=must_be("the name of a branch: A-Z, a-z, 0-9, '-', '_', '.' and '/'")),
]
Folder = Annotated[
    str,
    StringConstraints(pattern=rf"^{_FOLDER}(/{_FOLDER})*$", max_length=200),
    Field(json_schema_extra=must_be("a folder: A-Z, a-z, 0-9, '-', '_', '.' and '/', and no part begins with '.'")),
]
ParameterName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$"),
    Field(json_schema_extra=must_be("the name of a parameter: a letter, then letters, digits, '-', '_' and '.'")),
]
ModelName = Annotated[
    str,
    StringConstraints(pattern=r"^[-._A-Za-z0-9]*$"),
    Field(json_schema_extra=must_be("the name of a model: letters, digits, '-', '_' and '.'")),
]


_PART = r"\.?[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*"
MountPath = Annotated[
    str,
    StringConstraints(pattern=rf"^(/{_PART})+$", max_length=1000),
    Field(
        json_schema_extra=must_be(
            "an absolute path without a slash at its end: letters, digits, '-', '_', '.', '@', '+'"
        )
    ),
]
RelativePath = Annotated[
    str,
    StringConstraints(pattern=rf"^{_PART}(/{_PART})*$", max_length=1000),
    Field(json_schema_extra=must_be("a path inside the volume: letters, digits, '-', '_', '.', '@' and '+'")),
]
VolumeName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=50),
    Field(json_schema_extra=must_be("the name of a volume: a-z, 0-9 and '-'")),
]

_DEVICES = "devices are requested with accelerator.profile and accelerator.count, which are limits and requests at once"
_IN_A_SECRET = "put it into a Secret with the keys GIT_USER and GIT_TOKEN, and name the Secret in git.secretName"  # noqa: S105 - a message
_LFS_IN_A_SECRET = "put it into a Secret with the keys GIT_USER and GIT_TOKEN, and name the Secret in secretName"  # noqa: S105
_KEYS_IN_A_SECRET = (
    "put it into a Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for temporary ones AWS_SESSION_TOKEN too, "  # noqa: S105
    "and name the Secret in secretName"
)
_IN_AN_SSH_SECRET = (
    "put the private key and the server's host keys into a Secret with the keys ssh-privatekey and known_hosts, and name "  # noqa: S105
    "the Secret in git.secretName; host keys are always checked"
)
_ALWAYS = 'every pod meets the Pod Security Standard "restricted" anyway; leave it out'
_BOTH = "write it into resources.requests, resources.limits or both"


_BY_NAME = (
    "an extended resource is written as its device plugin names it: a domain in lower case and a name, such as rdma/hca"
)


def _also_by_name(schema: dict[str, Any]) -> None:
    """Resources whose names no field of a model can have."""
    names = (r"^ephemeral-storage$|^hugepages-[1-9][0-9]*(Ki|Mi|Gi)$", EXTENDED_RESOURCE)
    schema["patternProperties"] = {name: TypeAdapter(Quantity).json_schema() for name in names}
    schema["additionalProperties"] = False
    others = {"storage": "write ephemeral-storage", "ephemeralStorage": "write ephemeral-storage", "*/*": _BY_NAME}
    others["hugepages*"] = "write the size of the pages behind it, such as hugepages-2Mi or hugepages-1Gi"
    schema.update(instead(gpu=_DEVICES, gpus=_DEVICES, **others))


class ResourceList(Section):
    model_config = ConfigDict(json_schema_extra=_also_by_name)

    cpu: Annotated[Quantity, Named("CPU")] = Field(None, description="CPU cores.", examples=["8", "500m"])
    memory: Annotated[Quantity, Named("MEMORY")] = Field(
        None, description="Memory, shared memory included.", examples=["20Gi"]
    )


class Resources(Section):
    model_config = ConfigDict(
        json_schema_extra=instead(gpu=_DEVICES, gpus=_DEVICES, **dict.fromkeys(("cpu", "memory", "*/*"), _BOTH))
    )

    requests: Annotated[ResourceList | None, Named("{}_REQUEST")] = Field(
        None, description="What the scheduler reserves for a pod."
    )
    limits: Annotated[ResourceList | None, Named("{}_LIMIT")] = Field(None, description="The most that a pod may use.")


class Workspace(Section):
    type: Literal["emptyDir", "ephemeral", "newClaim", "existingClaim"] = Field(
        "emptyDir",
        description="emptyDir: a new one for every pod, on its node. ephemeral: a new claim for every pod, deleted with "
        "it. newClaim: a claim of this release. existingClaim: the claim claimName.",
        json_schema_extra=instead(
            **dict.fromkeys(
                ("pvc", "claim", "volume", "persistentvolumeclaim"), "write newClaim, or existingClaim with claimName"
            )
        ),
    )
    size: Annotated[Quantity, Named("TEMPORARY_STORAGE_SIZE")] = Field(
        "5Gi", description="Size of the emptyDir, or of a new claim.", examples=["5Gi"]
    )
    claimName: ObjectName = Field(
        None,
        description="Name of an existing PersistentVolumeClaim.",
        json_schema_extra=also("claim", "pvc", "pvcName", "persistentVolumeClaim", "existingClaim", "volume"),
    )
    storageClassName: ObjectName = Field(
        None,
        description="StorageClass of a new claim; empty: the cluster's default.",
        json_schema_extra=also("storageClass"),
    )
    accessMode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] = Field(
        "ReadWriteOnce", description="Access mode of the claim.", json_schema_extra=also("accessModes")
    )
    keep: bool = Field(False, description="Whether a new claim is kept when the release is uninstalled.")
    directory: Text = Field(
        None,
        description="Folder of the run in the workspace; empty: the name of the release.",
        json_schema_extra=also("subPath", "folder", "dir"),
    )


_TRUST = "name a ConfigMap with the CA certificates in caBundle.configMapName instead; certificates are always verified"


class CaBundle(Section):
    model_config = ConfigDict(
        json_schema_extra=instead(
            secretName="CA certificates are not secret: put them into a ConfigMap, and name it in caBundle.configMapName",
            **{"insecure*": "leave it out: certificates are always verified"},
        )
    )

    configMapName: ObjectName = Field(
        None,
        description="Name of a ConfigMap with the CA certificates, in PEM format.",
        examples=["company-ca"],
        json_schema_extra=also("configMap", "name"),
    )
    key: KeyName = Field("ca.crt", description="Key of the CA certificates in the ConfigMap.")


ProxyUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^http://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?/?$",
        max_length=300,
    ),
    Field(json_schema_extra=must_be("the http:// address of a proxy without user, password and path")),
]
_REACHED = r"[^\s,;|*/@<>()$]+(/[0-9]{1,3})?"
NoProxy = Annotated[
    str,
    StringConstraints(pattern=rf"^\*$|^[ ,]*{_REACHED}( *,[ ,]*{_REACHED})*[ ,]*$", max_length=4000),
    Field(
        json_schema_extra=must_be(
            "host names, .domains, addresses and networks with commas between them, without schemes and wildcards"
        )
    ),
]


class Proxy(Section):
    """The names are those of Docker's and OpenShift's proxy settings."""

    model_config = ConfigDict(
        json_schema_extra=instead(
            url="write httpProxy, httpsProxy, or both",
            enabled="leave it out: the addresses of proxies are enough",
            **dict.fromkeys(
                ("user", "username", "password", "secretName"),
                "a proxy with credentials is not supported: they would be in the environment of the pods; let one without forward to it",
            ),
        )
    )

    httpProxy: ProxyUrl | Empty = Field(
        None,
        description="Proxy for http:// addresses.",
        examples=["http://proxy.example.com:3128"],
        json_schema_extra=also("http", "HTTP_PROXY"),
    )
    httpsProxy: ProxyUrl | Empty = Field(
        None,
        description="Proxy for https:// addresses; it is itself spoken to at http://.",
        examples=["http://proxy.example.com:3128"],
        json_schema_extra=also("https", "HTTPS_PROXY"),
    )
    noProxy: NoProxy | Empty = Field(
        None,
        description="What is reached without the proxy: host names (and what is below them), addresses and networks, with commas "
        "between them. localhost, the run's own Service, .svc and .cluster.local always are.",
        examples=[".example.com,10.0.0.0/8"],
        json_schema_extra=also("no", "NO_PROXY", "exclude"),
    )


class Git(Section):
    model_config = ConfigDict(
        json_schema_extra=instead(
            user=_IN_A_SECRET,
            username=_IN_A_SECRET,
            password=_IN_A_SECRET,
            token=_IN_A_SECRET,
            insecureIgnoreHostKey=_IN_AN_SSH_SECRET,
            **dict.fromkeys(
                ("sslVerify", "insecure", "insecureSkipTLSVerify", "insecureSkipVerify", "skipTLSVerify", "sslCAInfo"),
                _TRUST,
            ),
            caBundle="write caBundle beside git, not in it; it is for git, object stores and MLflow alike",
            **dict.fromkeys(
                (
                    "ssh",
                    "sshKey",
                    "sshKeySecret",
                    "privateKey",
                    "deployKey",
                    "identityFile",
                    "knownHosts",
                    "strictHostKeyChecking",
                ),
                _IN_AN_SSH_SECRET,
            ),
            submodules="write it for each source: model.submodules, dataset.submodules",
        )
    )

    secretName: Annotated[ObjectName, Named("SECRET_NAME", required=True)] = Field(
        None,
        description="Secret with the user and the token (or password), or for ssh with the private key, for the server of "
        "publish.repository (if nothing is published: of model.repository, else of dataset.repository), and for no other "
        "server; empty: public repositories.",
        examples=["git-credentials"],
    )
    userKey: KeyName = Field(
        "GIT_USER",
        description="Key of the user in every git Secret; without it, the token is sent with the user oauth2.",
    )
    tokenKey: KeyName = Field("GIT_TOKEN", description="Key of the token or password in every git Secret.")
    privateKeyKey: KeyName = Field(
        "ssh-privatekey", description="Key of the private key in every git Secret, for repositories over ssh."
    )
    knownHostsKey: KeyName = Field(
        "known_hosts",
        description="Key of the host keys in every git Secret, in the format of OpenSSH's known_hosts, as ssh-keyscan "
        "prints them.",
    )
    stallSeconds: int = Field(
        300,
        ge=60,
        le=86400,
        description="Seconds after which git or git-lfs is stopped, and tried again, if it neither prints, reads nor writes "
        "anything; a server may need long before it answers for a large repository.",
        json_schema_extra=also("timeout", "timeoutSeconds", "stallTimeout", "lowSpeedTime", "activityTimeout"),
    )
    allowPlainHttp: bool = Field(
        False, description="Whether repositories may be at http://, where the token is sent unencrypted."
    )


class ObjectStore(Section):
    """Where a source is read, or the result written, if its type is s3."""

    model_config = ConfigDict(
        json_schema_extra=instead(
            **dict.fromkeys(
                (
                    *("accessKey", "accessKeyId", "secretKey", "secretAccessKey", "sessionToken", "securityToken"),
                    *("awsAccessKeyId", "awsSecretAccessKey", "awsSessionToken"),
                ),
                _KEYS_IN_A_SECRET,
            ),
            **dict.fromkeys(
                ("pathStyle", "forcePathStyle", "s3ForcePathStyle", "usePathStyle", "usePathRequestStyle"),
                "write addressing: path, or leave it out",
            ),
            **dict.fromkeys(("virtualHosted", "virtualHost", "vhost"), "write addressing: virtual, or leave it out"),
            **dict.fromkeys(
                ("role", "roleArn"),
                "annotate a service account with it, name that in serviceAccount.name, and set workloadIdentity: true",
            ),
            **dict.fromkeys(
                ("anonymous", "anon", "noSignRequest", "public"),
                "leave it out: without secretName and workloadIdentity the bucket is a public one",
            ),
            **dict.fromkeys(
                ("credentials", "auth", "profile", "awsProfile"),
                "name a Secret in secretName, or set workloadIdentity: true",
            ),
            **dict.fromkeys(
                ("useSsl", "secure", "insecure", "sslVerify", "verifySsl"),
                "write endpoint with http:// or https://; a CA of your own is trusted by caBundle, and certificates are always verified",
            ),
            **dict.fromkeys(("uri", "storageUri"), "write endpoint, bucket and prefix, or for git repository"),
            readOnly="leave it out: what is trained on is only read",
        )
    )

    endpoint: Text = Field(
        None,
        description="s3: URL of the object store.",
        examples=["https://s3.eu-central-1.amazonaws.com"],
        json_schema_extra=also("endpointUrl"),
    )
    bucket: Bucket = Field(None, description="s3: name of the bucket.", examples=["datasets"])
    prefix: Text = Field(None, description="s3: folder of the bucket; empty: all of it.", examples=["coco"])
    region: Text = Field("us-east-1", description="s3: region that requests are signed for.", examples=["us-east-1"])
    secretName: ObjectName = None
    addressing: Literal["auto", "virtual", "path", "domain"] = Field(
        "auto",
        description="s3: where requests name the bucket. virtual: in the host (bucket.s3.example.com). path: in the path "
        "(s3.example.com/bucket). domain: nowhere, as the endpoint is a domain of the bucket's own. auto: path, unless "
        "the store demands virtual.",
        json_schema_extra={
            **also("addressingStyle", "addressing_style", "urlStyle"),
            **instead(
                **dict.fromkeys(
                    ("vhost", "virtual-hosted", "virtualhost", "dns", "subdomain", "host"), "write virtual"
                ),
                **dict.fromkeys(("path-style", "pathstyle"), "write path"),
                **dict.fromkeys(("cname", "customDomain"), "write domain"),
            ),
        },
    )
    workloadIdentity: bool = Field(
        False,
        description="s3: whether requests are signed with the identity that the cloud gives to the service account of the "
        "pods (AWS: IAM role for service accounts, EKS Pod Identity), instead of a Secret.",
        json_schema_extra=also("identity", "irsa", "podIdentity", "useIam", "iamRole", "useIAM"),
    )
    accessKeyKey: KeyName = Field("AWS_ACCESS_KEY_ID", description="s3: key of the access key ID in the Secret.")
    secretKeyKey: KeyName = Field(
        "AWS_SECRET_ACCESS_KEY", description="s3: key of the secret access key in the Secret."
    )
    sessionTokenKey: KeyName = Field(
        "AWS_SESSION_TOKEN",
        description="s3: key of the session token in the Secret; a Secret with a permanent access key has none.",
        json_schema_extra=also("securityTokenKey"),
    )


class Lfs(Section):
    """The LFS server of a repository, where that is not the repository's own."""

    model_config = ConfigDict(
        json_schema_extra=instead(
            enabled="leave it out: LFS data is always fetched; lfs names another server for it",
            **dict.fromkeys(("user", "token", "password"), _LFS_IN_A_SECRET),
        )
    )

    url: Text = Field(
        None,
        description="URL of the LFS server; empty: the repository's own, or what its .lfsconfig says.",
        examples=["https://lfs.example.com/team/model"],
        json_schema_extra=also("endpoint", "server", "repository"),
    )
    secretName: ObjectName = Field(
        None, description="Secret with the user and the token for that server; empty: it asks for none."
    )


class _Origin(Section):
    type: Literal["git", "claim", "s3"] = Field(
        "git",
        description="git: a repository. claim: a PersistentVolumeClaim. s3: a bucket of an S3-compatible object store.",
        json_schema_extra=instead(
            **dict.fromkeys(("pvc", "volume", "persistentvolumeclaim"), "write claim, with claimName"),
            **dict.fromkeys(("minio", "bucket", "oss"), "write s3, with endpoint and bucket"),
            **dict.fromkeys(("gcs", "gs"), "write s3, with endpoint https://storage.googleapis.com and an HMAC key"),
            **dict.fromkeys(
                ("azure", "abfs", "hdfs", "nfs"), "copy it to a claim, or make a claim of it, and write claim"
            ),
            **dict.fromkeys(("hf", "huggingface", "modelscope"), "clone it with git, or copy it to a claim"),
        ),
    )
    repository: Annotated[Text, Named("REPO_URL", required=True)] = Field(
        None,
        description="git: URL of the repository: https://, or with a private key ssh://git@host/path or git@host:path.",
        examples=["https://git.example.com/team/model.git"],
        json_schema_extra=also("url", "repo", "repoUrl", "git", "source", "name"),
    )
    revision: Annotated[Text, Named("REPO_BRANCH")] = Field(
        None,
        description="git: branch, tag or full commit; empty: the default branch.",
        examples=["main", "v7.0"],
        json_schema_extra=also("branch", "tag", "commit", "ref", "version", "sha"),
    )
    submodules: bool = Field(
        False,
        description="git: whether the repository's submodules are fetched, and theirs; all must be on its server.",
        json_schema_extra=also("recursive", "recurseSubmodules", "submodule"),
    )
    lfs: Lfs | None = Field(None, description="git: another server for the LFS data.", json_schema_extra=also("lfsUrl"))
    claimName: ObjectName = Field(
        None,
        description="claim: name of the PersistentVolumeClaim; it is mounted read-only.",
        examples=["coco"],
        json_schema_extra=also("claim", "pvc", "pvcName", "persistentVolumeClaim", "existingClaim", "volume"),
    )
    subPath: Text = Field(
        None,
        description="claim: folder of the claim; empty: all of it.",
        examples=["datasets/coco8"],
        json_schema_extra=also("folder", "directory"),
    )


class Source(ObjectStore, _Origin):
    secretName: ObjectName = Field(
        None,
        description="git: Secret with the user and the token, or the private key, for this repository's server; empty: "
        "git.secretName if that is for the same server, else none. s3: Secret with the access key; empty, without "
        "workloadIdentity: a public bucket.",
        examples=["s3-credentials"],
    )
    cached: bool = Field(
        False,
        description="Whether it is kept in the cache volume, for this and later runs (trainchart docs cache).",
    )


class Dataset(Source):
    path: Annotated[
        Text,
        Named(
            "DIR",
            below="/mnt/workspace",
            description="Folder of the dataset: /mnt/workspace stands for the run's folder, where it lies next to the "
            "model. A description of the dataset that names /mnt/workspace itself does not find it there.",
        ),
    ] = Field(
        None,
        description="Folder of the dataset in the run's folder, next to the model; empty: the family's.",
        examples=["datasets/coco128"],
        json_schema_extra=also("mountPath"),
    )
    maxBroken: int = Field(
        0,
        ge=0,
        le=MOST,
        description="Number of damaged or invalid records that the trainer may leave out; with more, the run ends before "
        "the training. What it leaves out by design, such as boxes without area, does not count, and is always reported.",
        json_schema_extra=also("maxInvalid", "maxCorrupt", "maxErrors", "ignoreErrors", "skipBroken", "skipInvalid"),
    )


class Cache(Section):
    model_config = ConfigDict(
        json_schema_extra=instead(
            enabled="name the PersistentVolumeClaim in cache.claimName; without it there is no cache"
        )
    )

    claimName: ObjectName = Field(
        None,
        description="Name of the PersistentVolumeClaim; empty: no cache.",
        examples=["models-cache"],
        json_schema_extra=also("claim", "pvc", "pvcName", "persistentVolumeClaim", "existingClaim", "volume"),
    )
    readOnly: bool = Field(
        False,
        description="Whether runs only read the cache, because `trainchart cache fill` or another run has filled it.",
    )


class SecretKey(Section):
    """A key of a Secret in the namespace of the run."""

    model_config = ConfigDict(
        json_schema_extra=instead(
            secretKeyRef="write {secretName: NAME, key: KEY}",
            valueFrom="write {secretName: NAME, key: KEY}",
            value="its value is a key of a Secret: write {secretName: NAME, key: KEY}",
        )
    )

    secretName: Name = Field(description="Name of the Secret.", examples=["wandb"], json_schema_extra=also("name"))
    key: KeyName = Field(description="Key of the Secret.", examples=["api-key"])


class Ephemeral(Section):
    """A claim that Kubernetes makes for every pod, and removes with it."""

    model_config = ConfigDict(
        json_schema_extra=instead(
            volumeClaimTemplate="write size, and storageClassName beside it",
            **dict.fromkeys(("accessMode", "accessModes"), "leave it out: the claim is of one pod, ReadWriteOnce"),
        )
    )

    size: Quantity = Field(description="Size of the claim.", examples=["100Gi"])
    storageClassName: ObjectName = Field(
        None,
        description="StorageClass of the claim; empty: the cluster's default.",
        examples=["local-nvme"],
        json_schema_extra=also("storageClass"),
    )


class Volume(Section):
    """A further volume of the pods, from exactly one source."""

    model_config = ConfigDict(
        json_schema_extra=instead(
            hostPath='a path of the node is forbidden by the Pod Security Standard "restricted"; name a claim in claimName',
            emptyDir="write ephemeral: {size: 100Gi}; small files have room in /tmp",
            nfs="make a PersistentVolume and a claim of it, and name the claim in claimName",
            csi="make a PersistentVolume and a claim of it, and name the claim in claimName",
            **dict.fromkeys(("accessMode", "accessModes"), "leave it out: the claim has its own"),
            **dict.fromkeys(("size", "storageClassName"), "a new claim for every pod is ephemeral: {size: 100Gi}"),
            type="leave it out: claimName, configMapName, secretName or ephemeral is enough",
            image="what an image has beside the trainer's is copied to a claim; name that in claimName",
            **dict.fromkeys(("items", "key"), "all keys are mounted; with subPath, one of them"),
        )
    )

    name: VolumeName = Field(description="Name of the volume, for messages.", examples=["fonts"])
    mountPath: MountPath = Field(
        description="Where the pods have it.",
        examples=["/usr/share/fonts/ours"],
        json_schema_extra=also("path", "target", "mountpath"),
    )
    claimName: ObjectName = Field(
        None,
        description="Name of a PersistentVolumeClaim.",
        json_schema_extra=also("claim", "pvc", "pvcName", "persistentVolumeClaim"),
    )
    configMapName: ObjectName = Field(
        None, description="Name of a ConfigMap, whose keys are files.", json_schema_extra=also("configMap")
    )
    secretName: ObjectName = Field(
        None, description="Name of a Secret, whose keys are files.", json_schema_extra=also("secret")
    )
    ephemeral: Ephemeral | None = Field(None, description="A claim that is made for every pod, and removed with it.")
    subPath: RelativePath | Empty = Field(None, description="Folder or file of the volume; empty: all of it.")
    readOnly: bool = Field(False, description="Whether it is mounted read-only; ConfigMaps and Secrets always are.")


class Mlflow(Section):
    trackingUri: Text = Field(
        None,
        description="URL of the MLflow server; empty: no tracking.",
        examples=["https://mlflow.example.com"],
        json_schema_extra=also("uri", "url", "server", "trackingUrl"),
    )
    allowPlainHttp: bool = Field(
        False, description="Whether trackingUri may be at http:// with a Secret, whose token is then sent unencrypted."
    )
    experiment: Text = Field(None, description="Name of the experiment; empty: the namespace.", examples=["detectors"])
    secretName: ObjectName = Field(None, description="Secret with the credentials; empty: none.", examples=["mlflow"])
    tokenKey: KeyName | Literal[""] | None = Field(None, description="Key of a bearer token in the Secret.")
    userKey: KeyName | Literal[""] | None = Field(None, description="Key of the user in the Secret, with passwordKey.")
    passwordKey: KeyName | Literal[""] | None = Field(
        None, description="Key of the password in the Secret, with userKey."
    )


class Parameter(Section):
    """The values of a parameter that a search may try: choices, or a range."""

    model_config = ConfigDict(
        json_schema_extra=instead(type="a range is {low, high}, with log: true or integer: true; a list is {choices}")
    )

    choices: list[str | float | bool] | None = Field(
        None,
        min_length=1,
        description="Values to choose from.",
        examples=[["SGD", "AdamW"]],
        json_schema_extra=also("values", "choice", "list"),
    )
    low: float | None = Field(
        None, description="Lowest value of a range.", examples=[0.00001], json_schema_extra=also("min", "lower", "from")
    )
    high: float | None = Field(
        None, description="Highest value of a range.", examples=[0.1], json_schema_extra=also("max", "upper", "to")
    )
    log: bool = Field(False, description="Whether the range is searched on a logarithmic scale.")
    integer: bool = Field(False, description="Whether only whole numbers of the range are tried.")


class Tune(Section):
    trials: Annotated[int, Field(ge=0, le=10000)] | Empty = Field(
        0,
        description="Number of trainings to try; 0 or empty: one training, no search.",
        examples=[20],
        json_schema_extra=also("iterations", "numSamples", "maxTrials", "count"),
    )
    metric: Text = Field(
        None,
        description="Metric that trials are compared by, under its name in the log.",
        examples=["metrics/mAP50-95"],
        json_schema_extra=also("objective", "objectiveMetric"),
    )
    goal: Literal["maximize", "minimize"] = Field(
        "maximize", description="Whether the metric is better higher or lower."
    )
    gracePeriod: Count = Field(
        None,
        description="Epochs that every trial gets before it may be stopped early; empty: none is stopped.",
        examples=[5],
    )
    failureLimit: int = Field(0, ge=0, le=MOST, description="Number of trials that may fail before the run fails.")
    seed: int = Field(
        0, ge=0, le=MOST, description="Seed that makes the search of a single pod repeatable; 0: a random one."
    )
    space: dict[ParameterName, Parameter] | None = Field(
        None,
        description="What to try, by parameter: settings of the family (such as batchSize), or hyperparameters of "
        "its trainer (such as lr0). Each is {low, high}, with log or integer, or {choices}.",
        examples=[{"lr0": {"low": 0.001, "high": 0.1}}],
        json_schema_extra=also("parameters", "searchSpace", "hyperparameters"),
    )


class _Target(Section):
    type: Literal["git", "s3", "none"] = Field(
        "git",
        description="git: push the result to a branch. s3: upload it to a folder of a bucket. none: leave it in the "
        "workspace.",
        json_schema_extra=instead(
            **dict.fromkeys(("minio", "bucket", "oss"), "write s3, with endpoint and bucket"),
            **dict.fromkeys(("pvc", "claim", "volume"), "write none, with workspace.type newClaim or existingClaim"),
        ),
    )
    repository: Annotated[Text, Named("REPO_URL", required=True)] = Field(
        None,
        description="git: URL of the repository to push to: https://, or with a private key ssh://.",
        json_schema_extra=also("url", "repo", "repoUrl", "git", "output"),
    )
    branch: Annotated[Branch | None, Named("REPO_BRANCH")] = Field(
        None,
        description="git: branch to push to; empty: sft-YYYYmmdd-HHMMSS.",
        examples=["candidates/first"],
        json_schema_extra=also("revision", "ref"),
    )


class Publish(ObjectStore, _Target):
    bucket: Bucket = Field(None, description="s3: name of the bucket.", examples=["models"])
    prefix: Text = Field(
        None, description="s3: folder of the bucket below which every run has its own; empty: the bucket itself."
    )
    secretName: ObjectName = Field(
        None,
        description="git: Secret with the user and the token, or the private key, for the repository's server; empty: "
        "git.secretName. s3: Secret with an access key that may list, read and write the bucket.",
    )
    lfs: Lfs | None = Field(None, description="git: another server for the LFS data.", json_schema_extra=also("lfsUrl"))
    folder: Folder | Empty = Field(
        None,
        description="s3: folder of this run below the prefix; empty: name of the release, and the first 8 characters "
        "of the Job's UID.",
        examples=["candidates/first"],
        json_schema_extra=also("path", "directory", "subPath", "key"),
    )
    modelName: ModelName | None = Field(
        None,
        description="Name of the model in its configuration; empty: the last part of the repository, else the name of "
        "the release.",
    )
    maxBatchSize: int = Field(8, ge=1, le=MOST, description="Largest batch that the exported model is served with.")
    patience: Duration = Field(
        "2h",
        description="How long to retry when the server of the result is unreachable, or, with an emptyDir, when it "
        "refuses; timeLimit can end it earlier.",
        examples=["30m", "12h"],
    )


class SecurityContext(Section):
    model_config = ConfigDict(
        json_schema_extra=instead(
            **dict.fromkeys(
                (
                    "runAsNonRoot",
                    "privileged",
                    "allowPrivilegeEscalation",
                    "capabilities",
                    "seccompProfile",
                    "readOnlyRootFilesystem",
                ),
                _ALWAYS,
            )
        )
    )

    runAsUser: int = Field(1000, ge=1, le=MOST, description="User ID of the training process; not root.")
    runAsGroup: int = Field(1000, ge=0, le=MOST, description="Group ID of the training process.")
    fsGroup: int = Field(1000, ge=0, le=MOST, description="ID of the group that owns the volumes.")


class ServiceAccount(Section):
    model_config = ConfigDict(
        json_schema_extra=instead(
            create="leave it out: a run brings a service account without rights, unless name is set",
            **dict.fromkeys(
                ("annotations", "roleArn", "role"),
                "the service account of a run has none; annotate one of your own, and set name to it",
            ),
        )
    )

    name: ObjectName = Field(
        None,
        description="Name of an existing service account; empty: a new one without rights, named like the release.",
    )
    automount: bool = Field(
        False,
        description="Whether the pods get a token of the service account for the API server. Workload identity of a cloud needs none: "
        "see `trainchart docs pods`.",
        json_schema_extra=also("automountServiceAccountToken"),
    )


class NetworkTopology(Section):
    mode: Literal["hard", "soft"] | Empty = Field(
        None,
        description="hard: all pods in one HyperNode. soft: as near to each other as possible. Empty: wherever there is room.",
        examples=["hard"],
    )
    highestTierAllowed: Annotated[int, Field(ge=0, le=MOST)] | Empty = Field(
        None, description="With hard: the highest tier that the HyperNode may have.", examples=[1]
    )
    highestTierName: Annotated[Text, Field(max_length=253)] = Field(
        None, description="With hard: the name of that tier, instead of its number."
    )


class Owner(Section):
    apiVersion: ApiVersion | Empty = Field(
        None, description="API group and version of the owner.", examples=["tekton.dev/v1"]
    )
    kind: KindName | Empty = Field(None, description="Kind of the owner.", examples=["PipelineRun"])
    name: ObjectName = Field(None, description="Name of the owner.")
    uid: Uid | Empty = Field(None, description="UID of the owner, by which Kubernetes recognizes it.")


class NetworkPolicy(Section):
    model_config = ConfigDict(
        json_schema_extra=instead(
            ingress="only pods of this run may connect to its pods; where others have to, set networkPolicy.enabled: false"
        )
    )

    enabled: bool = Field(
        True,
        description="Whether only pods of this run may connect to its pods, where the network plugin enforces it; "
        "false: no policy is made, if you may not create NetworkPolicies or something else has to reach the pods.",
    )
    egress: list[Egress] = Field(
        default_factory=list,
        description="Allowed targets besides the run's own pods, as NetworkPolicy egress rules (DNS too); empty: all.",
        examples=[[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}]],
    )
