"""What a cluster asks of a pod (docs/pods.md), each with values that are accepted: e2e/test_admission.py asks the API server."""

from __future__ import annotations

from trainchart.files import Tree

POD_OPTIONS: dict[str, Tree] = {
    "labels": {"podLabels": {"team": "vision", f"{'a' * 253}/cost-center": ""}},
    "annotations": {
        "podAnnotations": {"k8s.v1.cni.cncf.io/networks": "rdma-net", "example.com/text": "1\n'2': {\"a\"}"}
    },
    "no sidecars": {"sidecars": "disable"},
    "sidecars": {"sidecars": "allow", "podLabels": {"sidecar.istio.io/inject": "true"}},
    "resources of device plugins": {"resources": {"limits": {"rdma/hca": 1, "vpc.amazonaws.com/efa": "4"}}},
    "huge pages and storage": {
        "workspace": {"type": "newClaim"},
        "resources": {"limits": {"hugepages-2Mi": "1Gi", "ephemeral-storage": "100Gi"}},
    },
    "a place": {
        "nodeSelector": {"node-role.kubernetes.io/gpu": ""},
        "topologySpread": [
            {"topologyKey": "kubernetes.io/hostname", "maxSkew": 2, "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "networkTopology": {"mode": "hard", "highestTierAllowed": 2},
    },
    "a runtime": {"runtimeClassName": "kata"},
    "an account": {"serviceAccount": {"name": "trainer", "automount": True}},
    "Secrets for the trainer": {
        "secretEnv": {
            "WANDB_API_KEY": {"secretName": "wandb", "key": "key"},
            "B": {"secretName": "wandb", "key": "b.c"},
        },
        "secretFiles": {
            ".netrc": {"secretName": "files", "key": "netrc"},
            ".kaggle/k.json": {"secretName": "files", "key": "k"},
        },
    },
    "volumes": {
        "volumes": [
            {"name": "claim", "claimName": "team-data", "subPath": "a/b", "mountPath": "/mnt/base", "readOnly": True},
            {"name": "same-claim", "claimName": "team-data", "mountPath": "/mnt/other"},
            {"name": "map", "configMapName": "fonts", "mountPath": "/usr/share/fonts/ours"},
            {"name": "one-key", "configMapName": "fonts", "subPath": "a.ttf", "mountPath": "/mnt/a.ttf"},
            {"name": "secret", "secretName": "license", "mountPath": "/etc/license"},
            {
                "name": "scratch",
                "ephemeral": {"size": "200Gi", "storageClassName": "local"},
                "mountPath": "/mnt/scratch",
            },
            {"name": "default-class", "ephemeral": {"size": "1Gi"}, "mountPath": "/mnt/default"},
        ]
    },
    "a workspace for every pod": {"replicas": 2, "workspace": {"type": "ephemeral", "storageClassName": "local"}},
}
