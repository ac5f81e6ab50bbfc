"""Every rule across values: values that break it, close ones that keep it, and the message in full."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chart.matrix import ROOT
from trainchart.files import Tree, load_values, overlay

NVIDIA = load_values(ROOT / "values/yolov5.yaml", ROOT / "values/accelerators/nvidia.yaml")
HAMI = load_values(ROOT / "values/yolov5.yaml")
CPU = load_values(ROOT / "values/yolov5.yaml", ROOT / "values/accelerators/cpu.yaml")
LLM = load_values(ROOT / "values/llm-sft.yaml")
HALF = load_values(ROOT / "values/llm-sft.yaml", ROOT / "values/accelerators/cpu.yaml")
CUSTOM = load_values(ROOT / "values/custom.yaml")


ALONE = load_values(ROOT / "values/yolov8.yaml", ROOT / "values/accelerators/nvidia.yaml")
LR: Tree = {"lr0": {"low": 0.001, "high": 0.1, "log": True}}
SEARCH: Tree = {"trials": 4, "metric": "metrics/mAP_0.5", "space": LR}
SHARED: Tree = {"type": "existingClaim", "claimName": "data", "accessMode": "ReadWriteMany"}
ON_A_CLAIM: Tree = {"type": "claim", "repository": "", "revision": "", "claimName": "data", "subPath": "team"}


SECRET_KEY: Tree = {"secretName": "wandb", "key": "api-key"}
_AMONG = "and everybody who can read the release would see it; put it into a Secret, name it in secretEnv, and let the program read that variable"
_INTO = "and everybody who can read the release would see it; put it into a Secret, and set secretEnv.{} to its secretName and key"


STORED: Tree = {"type": "s3", "repository": "", "endpoint": "https://s3.example.com", "bucket": "coco"}
MORE: Tree = {"name": "more", "claimName": "data", "mountPath": "/mnt/more"}


def volume(**change: object) -> Tree:
    """A further volume, with a change."""
    return {"volumes": [{**MORE, **change}]}


@dataclass(frozen=True)
class Rule:
    """`broken` and `kept` are laid over `base`; nothing but this rule is broken by the one, and nothing by the other."""

    base: Tree
    broken: Tree
    kept: Tree
    message: str

    @property
    def key(self) -> str:
        return self.message.partition(":")[0]


UPLOADED: Tree = {"type": "s3", "repository": "", "bucket": "models", "endpoint": "https://s3.example.com"}
OURS: Tree = {
    "title": "our cards",
    "backend": "cuda",
    "resources": {
        "count": {"name": "example.com/card"},
        "memory": {"name": "example.com/memory", "unit": "1Mi"},
        "corePercent": {"name": "example.com/cores"},
    },
    "processes": "perDevice",
}
OWN = overlay(NVIDIA, {"accelerator": {"profile": "ours", "profiles": {"ours": OURS}}})


def own(**change: object) -> Tree:
    """Over OWN: another resource of its profile."""
    return {"accelerator": {"profiles": {"ours": {"resources": change}}}}


def near(term: Tree) -> Tree:
    return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def on_nodes(requirement: Tree) -> Tree:
    terms = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


NODES = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]"


def egress(rule: Tree) -> Tree:
    return {"networkPolicy": {"enabled": True, "egress": [rule]}}


RULES: dict[str, Rule] = {
    "a resource without a name": Rule(
        OWN,
        broken=own(count={"name": ""}),
        kept={
            "accelerator": {
                "profiles": {"ours": {"resources": {"count": {"name": None}}}},
                "resourceNames": {"count": "a.b/c"},
            }
        },
        message="accelerator.profiles.ours.resources.count.name: is empty, so nothing would request it; set the resource of the device plugin, such as vendor.example.com/gpu",
    ),
    "a resource that is no device plugin's": Rule(
        OWN,
        broken=own(count={"name": "cpu"}),
        kept=own(count={"name": "cpu.example.com/cpu"}),
        message='accelerator.profiles.ours.resources.count.name: is "cpu", but the resource of a device plugin has a domain and a name, such as vendor.example.com/gpu; correct it',
    ),
    "a resource of Kubernetes": Rule(
        OWN,
        broken=own(memory={"name": "kubernetes.io/batch"}),
        kept=own(memory={"name": "notkubernetes.io/batch"}),
        message='accelerator.profiles.ours.resources.memory.name: is "kubernetes.io/batch", which Kubernetes reserves; set the resource of the device plugin, such as vendor.example.com/gpu',
    ),
    "two resources of one name": Rule(
        OWN,
        broken=own(memory={"name": "example.com/card"}),
        kept=own(memory={"name": "example.com/card-memory"}),
        message='accelerator.profiles.ours.resources.memory.name: is "example.com/card", like the resource of count, and one would replace the other; use different resources',
    ),
    "memory in units of nothing": Rule(
        OWN,
        broken=overlay(own(memory={"unit": "0"}), {"accelerator": {"memory": "4Gi"}}),
        kept=overlay(own(memory={"unit": 1}), {"accelerator": {"memory": "4Gi"}}),
        message="accelerator.profiles.ours.resources.memory.unit: is 0, but must be at least one byte; set the memory of one unit, such as 1Mi",
    ),
    "a claim of no number of devices": Rule(
        OWN,
        broken={
            "accelerator": {
                "count": "",
                "profiles": {"ours": {"deviceClass": "gpu.example.com", "resources": {"count": None}}},
            }
        },
        kept={
            "accelerator": {
                "count": 1,
                "profiles": {"ours": {"deviceClass": "gpu.example.com", "resources": {"count": {}}}},
            }
        },
        message="accelerator.profiles.ours.resources.count: is missing, but a claim of class gpu.example.com requests a number of devices; add count: {}",
    ),
    "an annotation that takes the security profile from the pod": Rule(
        OWN,
        broken={
            "accelerator": {
                "profiles": {
                    "ours": {
                        "annotations": {"container.apparmor.security.beta.kubernetes.io/train": "unconfined"},
                    }
                }
            }
        },
        kept={"accelerator": {"profiles": {"ours": {"annotations": {"example.com/use-cards": "a,b"}}}}},
        message="accelerator.profiles.ours: has the annotation container.apparmor.security.beta.kubernetes.io/train, but every run keeps the security profile of Pod Security restricted; remove it",
    ),
    "a label that is the run's": Rule(
        NVIDIA,
        broken={"podLabels": {"app.kubernetes.io/instance": "other", "team": "vision"}},
        kept={"podLabels": {"app.kubernetes.io/component": "trainer", "team": "vision"}},
        message="podLabels: has app.kubernetes.io/instance, by which Helm and trainchart find the run; use another key",
    ),
    "an annotation that is Helm's": Rule(
        NVIDIA,
        broken={"podAnnotations": {"meta.helm.sh/release-name": "other"}},
        kept={"podAnnotations": {"nothelm.sh/release-name": "other"}},
        message="podAnnotations: has meta.helm.sh/release-name, by which Helm and trainchart find the run; use another key",
    ),
    "an annotation that is Volcano's": Rule(
        NVIDIA,
        broken={"podAnnotations": {"scheduling.k8s.io/group-name": "mine"}},
        kept={"podAnnotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}},
        message="podAnnotations: has scheduling.k8s.io/group-name, but keys of Volcano are set by Volcano and by the accelerator profile; remove it",
    ),
    "an annotation of one's own that takes the security profile from the pod": Rule(
        NVIDIA,
        broken={"podAnnotations": {"container.apparmor.security.beta.kubernetes.io/train": "unconfined"}},
        kept={"podAnnotations": {"example.com/seccomp": "unconfined"}},
        message="podAnnotations: has container.apparmor.security.beta.kubernetes.io/train, but every run keeps the security profile of Pod Security restricted; remove it",
    ),
    "injection that is disabled and enabled": Rule(
        NVIDIA,
        broken={"podAnnotations": {"linkerd.io/inject": "enabled"}},
        kept={"podAnnotations": {"linkerd.io/inject": "enabled"}, "sidecars": "allow"},
        message="podAnnotations: has linkerd.io/inject, which sidecars: disable sets; remove it, or set sidecars: allow",
    ),
    "a key of a label that is too long": Rule(
        NVIDIA,
        broken={"podLabels": {f"{'a' * 254}/b": ""}},
        kept={"podLabels": {f"{'a' * 253}/b": ""}},
        message="podLabels: has a key whose part before the / has 254 characters, but Kubernetes allows 253; shorten it",
    ),
    "a key of a node's label that is too long": Rule(
        NVIDIA,
        broken=on_nodes({"key": f"{'a' * 254}/b", "operator": "Exists"}),
        kept={
            **on_nodes({"key": f"{'a' * 253}/b", "operator": "Exists"}),
            "podAnnotations": {"example.com/page": f"{'a' * 300}/b"},
        },
        message="affinity: has a key whose part before the / has 254 characters, but Kubernetes allows 253; shorten it",
    ),
    "a device of the accelerator's among the resources": Rule(
        HAMI,
        broken={"resources": {"limits": {"nvidia.com/gpumem": 4096}}},
        kept={"resources": {"limits": {"rdma/hca": 1}}},
        message="resources.limits: has nvidia.com/gpumem, which accelerator.memory requests with accelerator.profile hami-alauda; set these keys instead",
    ),
    "a resource that Kubernetes reserves": Rule(
        NVIDIA,
        broken={"resources": {"limits": {"kubernetes.io/batch": 1}}},
        kept={"resources": {"limits": {"openshift.io/mlnxnics": 1}}},
        message="resources.limits: has kubernetes.io/batch, a name that Kubernetes reserves; write the resource of a device plugin, such as rdma/hca",
    ),
    "a resource of a domain that is too long": Rule(
        NVIDIA,
        broken={"resources": {"limits": {f"{'a' * 245}/b": 1}}},
        kept={"resources": {"limits": {f"{'a' * 244}/b": 1}}},
        message="resources.limits: has a name whose domain has 245 characters, but Kubernetes allows 244; correct it",
    ),
    "an extended resource without a limit": Rule(
        NVIDIA,
        broken={"resources": {"requests": {"rdma/hca": 1}}},
        kept={"resources": {"requests": {"rdma/hca": 1}, "limits": {"rdma/hca": 1}}},
        message="resources.requests: has rdma/hca without a limit, but Kubernetes does not overcommit it; move it to resources.limits",
    ),
    "an extended resource that is overcommitted": Rule(
        NVIDIA,
        broken={"resources": {"requests": {"rdma/hca": 1}, "limits": {"rdma/hca": "1k"}}},
        kept={"resources": {"requests": {"rdma/hca": 1000}, "limits": {"rdma/hca": "1k"}}},
        message="resources.requests: has rdma/hca 1, but resources.limits 1k, and Kubernetes does not overcommit it; remove the request",
    ),
    "half an extended resource": Rule(
        NVIDIA,
        broken={"resources": {"limits": {"rdma/hca": 0.5}}},
        kept={"resources": {"limits": {"rdma/hca": "2000m"}}},
        message="resources.limits: has rdma/hca 0.5, but an extended resource is a whole number, such as 1; correct it",
    ),
    "half a huge page": Rule(
        NVIDIA,
        broken={"resources": {"limits": {"hugepages-2Mi": 3145728}}},
        kept={"resources": {"limits": {"hugepages-2Mi": 4194304}}},
        message="resources.limits: has hugepages-2Mi 3145728, which is no whole number of such pages; write a multiple of 2Mi",
    ),
    "huge pages without memory": Rule(
        overlay(NVIDIA, {"resources": {"requests": {"cpu": "", "memory": ""}, "limits": {"cpu": "", "memory": ""}}}),
        broken={"resources": {"limits": {"hugepages-1Gi": "2Gi"}}},
        kept={"resources": {"limits": {"hugepages-1Gi": "2Gi"}, "requests": {"cpu": 1}}},
        message="resources.limits: has hugepages-1Gi, but Kubernetes gives huge pages only with CPU or memory; set resources.requests.memory",
    ),
    "a workspace that is larger than the storage of the pod": Rule(
        NVIDIA,
        broken={"workspace": {"size": "50Gi"}, "resources": {"limits": {"ephemeral-storage": "20Gi"}}},
        kept={
            "workspace": {"type": "newClaim", "size": "50Gi"},
            "resources": {"limits": {"ephemeral-storage": "20Gi"}},
        },
        message="workspace.size: 50Gi is more than resources.limits.ephemeral-storage 20Gi, which includes an emptyDir; raise the limit, or use a claim as workspace",
    ),
    "a spread that is said twice": Rule(
        NVIDIA,
        broken={"topologySpread": [{"topologyKey": "zone"}, {"topologyKey": "zone", "maxSkew": 2}]},
        kept={
            "topologySpread": [{"topologyKey": "zone"}, {"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]
        },
        message="topologySpread[1]: repeats topologyKey zone with whenUnsatisfiable DoNotSchedule; remove one of them",
    ),
    "domains of a spread that is a preference": Rule(
        NVIDIA,
        broken={"topologySpread": [{"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]},
        kept={"topologySpread": [{"topologyKey": "zone", "minDomains": 2}]},
        message="topologySpread[0].minDomains: is 2, but whenUnsatisfiable ScheduleAnyway does not use it; remove it, or set whenUnsatisfiable: DoNotSchedule",
    ),
    "a tier by number and by name": Rule(
        NVIDIA,
        broken={"networkTopology": {"mode": "hard", "highestTierAllowed": 1, "highestTierName": "rack"}},
        kept={"networkTopology": {"mode": "hard", "highestTierAllowed": "", "highestTierName": "rack"}},
        message='networkTopology.highestTierName: is "rack", but highestTierAllowed is 1, and Volcano takes one of them; remove one',
    ),
    "a HyperNode of any tier": Rule(
        NVIDIA,
        broken={"networkTopology": {"mode": "hard"}},
        kept={"networkTopology": {"mode": "soft"}},
        message="networkTopology.mode: is hard, which needs a tier; set networkTopology.highestTierAllowed, such as 1, or highestTierName",
    ),
    "a tier without a mode": Rule(
        NVIDIA,
        broken={"networkTopology": {"highestTierAllowed": 0}},
        kept={"networkTopology": {"mode": "hard", "highestTierAllowed": 0}},
        message="networkTopology.highestTierAllowed: is only for networkTopology.mode hard; set that mode, or remove it",
    ),
    "half an owner": Rule(
        NVIDIA,
        broken={"owner": {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": ""}},
        kept={"owner": {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": "nightly", "uid": "0-1"}},
        message="owner: owner.name, owner.uid is missing; set apiVersion, kind, name and uid of an object in the "
        "release's namespace, or leave owner empty",
    ),
    "the queue above all others": Rule(
        HAMI,
        broken={"queue": "root"},
        kept={"queue": "roots"},
        message="queue: is root, the parent of all queues, which accepts no Job; set another queue, such as default",
    ),
    "a time limit of more seconds than Kubernetes counts": Rule(
        HAMI,
        broken={"timeLimit": "24856d"},
        kept={"timeLimit": "24855d"},
        message="timeLimit: 24856d exceeds the maximum of Kubernetes; set at most 24855d",
    ),
    "a toleration of nothing": Rule(
        HAMI,
        broken={"tolerations": [{"effect": "NoSchedule"}]},
        kept={"tolerations": [{"effect": "NoSchedule", "operator": "Exists"}, {"key": "gpu", "operator": ""}]},
        message="tolerations[0].operator: is Equal, which needs a key; set operator: Exists for all taints, or set a key",
    ),
    "a value that any value meets": Rule(
        HAMI,
        broken={"tolerations": [{"operator": "Exists"}, {"key": "gpu", "operator": "Exists", "value": "a100"}]},
        kept={"tolerations": [{"key": "gpu", "operator": "Equal", "value": "a100"}]},
        message='tolerations[1].value: is "a100", but operator Exists takes none; remove it, or set operator: Equal',
    ),
    "seconds before an eviction that never comes": Rule(
        HAMI,
        broken={"tolerations": [{"key": "gpu", "effect": "NoSchedule", "tolerationSeconds": 0}]},
        kept={"tolerations": [{"key": "gpu", "effect": "NoExecute", "tolerationSeconds": 0}]},
        message="tolerations[0].tolerationSeconds: is 0, but only effect NoExecute evicts pods; set that effect, or remove it",
    ),
    "one of no values": Rule(
        HAMI,
        broken=on_nodes({"key": "gpu", "operator": "In"}),
        kept=on_nodes({"key": "gpu", "operator": "In", "values": [""]}),
        message=f"{NODES}.values: is empty, but operator In needs at least one; add it",
    ),
    "values of a missing label": Rule(
        HAMI,
        broken=on_nodes({"key": "gpu", "operator": "DoesNotExist", "values": ["a", "b"]}),
        kept=on_nodes({"key": "gpu", "operator": "DoesNotExist", "values": []}),
        message=f"{NODES}.values: has 2, but operator DoesNotExist takes none; remove it",
    ),
    "more than two numbers": Rule(
        HAMI,
        broken=on_nodes({"key": "gpus", "operator": "Gt", "values": ["4", "8"]}),
        kept=on_nodes({"key": "gpus", "operator": "Gt", "values": ["4"]}),
        message=f"{NODES}.values: is [4, 8], but operator Gt needs one integer, as a string; write it like '8'",
    ),
    "labels that add to no selector": Rule(
        HAMI,
        broken=near({"topologyKey": "zone", "matchLabelKeys": ["app"]}),
        kept=near({"topologyKey": "zone", "matchLabelKeys": ["app"], "labelSelector": {"matchLabels": {"a": "b"}}}),
        message="affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: is missing, but matchLabelKeys and mismatchLabelKeys extend it; add it",
    ),
    "addresses of pods": Rule(
        HAMI,
        broken=egress({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}),
        kept=egress({"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}, {"podSelector": {}}]}),
        message="networkPolicy.egress[0].to[0].ipBlock: is combined with a selector of pods or namespaces, but a peer is one or the other; make two of them",
    ),
    "an exception of other addresses": Rule(
        HAMI,
        broken=egress({"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/16"]}}]}),
        kept=egress({"to": [{"ipBlock": {"cidr": "fd00::/8", "except": ["FD00:1::/32"]}}]}),
        message="networkPolicy.egress[0].to[0].ipBlock.except[1]: 11.0.0.0/16 is not a part of 10.0.0.0/8, from which it is excluded; correct it, or remove it",
    ),
    "a label that is and is not as this pod's": Rule(
        HAMI,
        broken=near({"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]}),
        kept=near(
            {
                "topologyKey": "zone",
                "labelSelector": {"matchLabels": {"operator": "In", "ipBlock": "a", "endPort": "1", "except": "b"}},
                "matchLabelKeys": ["a"],
                "mismatchLabelKeys": ["b"],
            }
        ),
        message="affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].mismatchLabelKeys: has a, like matchLabelKeys, but a label cannot both match and not match; remove it from one of them",
    ),
    "ports from the last to the first": Rule(
        HAMI,
        broken=egress({"ports": [{"port": 443, "endPort": 80}]}),
        kept=egress({"ports": [{"port": 443, "endPort": 443}]}),
        message="networkPolicy.egress[0].ports[0].endPort: is 80, but port must be a number that is not greater; correct port, or remove endPort",
    ),
    "targets of a policy that is not made": Rule(
        HAMI,
        broken={"networkPolicy": {"enabled": False, "egress": [{"ports": [{"port": 443}]}]}},
        kept={"networkPolicy": {"egress": [{"ports": [{"port": 443}]}]}},
        message="networkPolicy.egress: has rules, but networkPolicy.enabled is false, so there is no policy to contain them; set networkPolicy.enabled: true, or remove the rules",
    ),
    "half precision on cpu": Rule(
        HALF,
        broken={"train": {"fp16": True}},
        kept={"train": {"fp16": False}},
        message="train.fp16: is true, but profile cpu has no device for it; set it to false",
    ),
    "both halves": Rule(
        LLM,
        broken={"train": {"fp16": True, "bf16": True}},
        kept={"train": {"fp16": False, "bf16": True}},
        message="train.bf16: is true, and so is train.fp16; set one of them to false",
    ),
    "cores on a profile without": Rule(
        NVIDIA,
        broken={"accelerator": {"corePercent": 50}},
        kept={"accelerator": {"count": 2}},
        message="accelerator.corePercent: is 50, but profile nvidia supports only count; leave it empty or choose another profile",
    ),
    "a count on cpu": Rule(
        CPU,
        broken={"accelerator": {"count": 2}},
        kept={"accelerator": {"count": ""}},
        message="accelerator.count: is 2, but profile cpu supports none of count, corePercent, memory; leave it empty or choose another profile",
    ),
    "no count where the profile needs it": Rule(
        NVIDIA,
        broken={"accelerator": {"count": None}},
        kept={"accelerator": {"count": 1}},
        message="accelerator.count: is empty, but profile nvidia needs it; set the devices per pod, such as 1",
    ),
    "memory that is not a multiple of the unit": Rule(
        HAMI,
        broken={"accelerator": {"memory": "1500Ki"}},
        kept={"accelerator": {"memory": "2048Ki"}},
        message="accelerator.memory: 1500Ki is not a whole multiple of 1Mi, the unit of profile hami-alauda; round it",
    ),
    "more cores than a card has": Rule(
        HAMI,
        broken={"accelerator": {"corePercent": 101}},
        kept={"accelerator": {"corePercent": 100}},
        message="accelerator.corePercent: is 101, but profile hami-alauda allows at most 100; lower it",
    ),
    "a gang whose devices have a scheduler of their own": Rule(
        HAMI,
        broken={"accelerator": {"profile": "hami"}, "replicas": 2},
        kept={"accelerator": {"profile": "hami"}, "replicas": 1},
        message="replicas: is 2, but hami-scheduler, the scheduler of profile hami, places each pod alone, and the pods of a gang must start together; set replicas: 1, or use profile volcano-vgpu with volcano-vgpu-device-plugin, or hami-alauda on Alauda's platform",
    ),
    "a gang with a scheduler that the user names": Rule(
        NVIDIA,
        broken={"accelerator": {"schedulerName": "other"}, "replicas": 2},
        kept={"accelerator": {"schedulerName": "other"}},
        message="replicas: is 2, but other, the scheduler of profile nvidia, places each pod alone, and the pods of a gang must start together; set replicas: 1, or choose a profile that Volcano places",
    ),
    "Volcano as the scheduler of devices": Rule(
        HAMI,
        broken={"accelerator": {"profile": "hami", "schedulerName": "volcano"}},
        kept={"accelerator": {"profile": "hami", "schedulerName": "hami-2"}},
        message='accelerator.schedulerName: is "volcano", but the key is for another scheduler than Volcano; leave it empty',
    ),
    "a scheduler of devices without devices": Rule(
        CPU,
        broken={"accelerator": {"schedulerName": "hami-scheduler"}},
        kept={},
        message='accelerator.schedulerName: is "hami-scheduler", but Volcano places the pods of profile cpu; leave it empty',
    ),
    "a type where the plugin takes none": Rule(
        NVIDIA,
        broken={"accelerator": {"types": ["A100", "H100"]}},
        kept={"accelerator": {"profile": "volcano-vgpu", "types": ["A100", "H100"]}},
        message="accelerator.types: is A100, H100, but profile nvidia has no annotation for types of devices; leave it empty, and choose nodes by nodeSelector",
    ),
    "a mode where the plugin has none": Rule(
        NVIDIA,
        broken={"accelerator": {"mode": "mps"}},
        kept={"accelerator": {"profile": "hami", "mode": "mps"}},
        message='accelerator.mode: is "mps", but profile nvidia has no modes; leave it empty',
    ),
    "a mode that the plugin lacks": Rule(
        HAMI,
        broken={"accelerator": {"profile": "volcano-vgpu", "mode": "mps"}},
        kept={"accelerator": {"profile": "volcano-vgpu", "mode": "mig"}},
        message='accelerator.mode: is "mps", but profile volcano-vgpu has hami-core, mig; choose one of them',
    ),
    "a device that the trainer does not know": Rule(
        CPU,
        broken={"accelerator": {"profile": "ascend", "variant": "Ascend910", "count": 1}},
        kept={"accelerator": {"profile": "amd", "count": 1}},
        message="accelerator.profile: ascend is a npu device, but YOLOv5 trains on cpu, cuda; choose a profile for one of them",
    ),
    "a variant that the profile lacks": Rule(
        NVIDIA,
        broken={"accelerator": {"profile": "iluvatar", "variant": "BI-V200"}},
        kept={"accelerator": {"profile": "iluvatar", "variant": "BI-V150"}},
        message='accelerator.variant: is "BI-V200", but profile iluvatar needs one of BI-V100, BI-V150, MR-V100, MR-V50',
    ),
    "a variant that no card has": Rule(
        NVIDIA,
        broken={"accelerator": {"profile": "nvidia-mig", "variant": "mig-1g.18gb"}},
        kept={"accelerator": {"profile": "nvidia-mig", "variant": "1g.18gb"}},
        message='accelerator.variant: is "mig-1g.18gb", but profile nvidia-mig needs one as the device plugin names it, such as 1g.5gb, 2g.10gb, 3g.20gb, 7g.40gb, 1g.10gb, 2g.20gb, 3g.40gb, 7g.80gb',
    ),
    "an option that is a setting": Rule(
        NVIDIA,
        broken={"train": {"arguments": ["--epochs=3", "--cos-lr"]}},
        kept={"train": {"arguments": ["--cos-lr", "--hyp", "epochs", "--epochs-like"]}},
        message="train.arguments: has epochs, which the run sets itself; set train.epochs instead",
    ),
    "an option that a restart needs": Rule(
        LLM,
        broken={"train": {"arguments": {"overwrite_output_dir": True}}},
        kept={"train": {"arguments": {"overwrite_cache": True}}},
        message="train.arguments: has overwrite_output_dir, which the run sets itself; remove it",
    ),
    "a limit that nothing runs in": Rule(
        CPU,
        broken={"resources": {"limits": {"memory": 24}}},
        kept={"resources": {"limits": {"memory": "24Gi"}}},
        message="resources.limits.memory: is 24, which is 24 bytes, and no program runs in that; write 24Gi",
    ),
    "device memory without its unit": Rule(
        HAMI,
        broken={"accelerator": {"memory": 4096}},
        kept={"accelerator": {"memory": "4096Mi"}},
        message="accelerator.memory: is 4096, which is 4096 bytes, less than 1Mi, the unit of profile hami-alauda; write 4096Mi",
    ),
    "a variant of a profile without": Rule(
        NVIDIA,
        broken={"accelerator": {"variant": "1g.5gb"}},
        kept={"accelerator": {"variant": ""}},
        message='accelerator.variant: is "1g.5gb", but profile nvidia has no variants; leave it empty',
    ),
    "two slices in a pod": Rule(
        NVIDIA,
        broken={"accelerator": {"profile": "nvidia-mig", "variant": "1g.5gb", "count": 2}},
        kept={"replicas": 2, "accelerator": {"profile": "nvidia-mig", "variant": "1g.5gb", "count": 1}},
        message="accelerator.count: is 2, but profile nvidia-mig allows at most 1; lower it",
    ),
    "part of several devices where the vendor gives whole ones": Rule(
        NVIDIA,
        broken={"accelerator": {"profile": "hygon", "count": 2, "memory": "4Gi"}},
        kept={"accelerator": {"profile": "hygon", "count": 1, "memory": "4Gi"}},
        message="accelerator.memory: is 4Gi, but with count 2 profile hygon allocates whole devices; leave it empty, or set accelerator.count: 1",
    ),
    "a device plugin's name for a claim of devices": Rule(
        NVIDIA,
        broken={"accelerator": {"profile": "nvidia-dra", "resourceNames": {"count": "nvidia.com/gpu"}}},
        kept={"accelerator": {"profile": "nvidia-dra"}},
        message='accelerator.resourceNames.count: is "nvidia.com/gpu", but profile nvidia-dra requests it by no resource; leave it empty',
    ),
    "a request above its limit": Rule(
        HAMI,
        broken={"resources": {"requests": {"cpu": "8500m"}}},
        kept={"resources": {"requests": {"cpu": "8000m", "memory": "20480Mi"}}},
        message="resources.requests.cpu: 8500m is more than resources.limits.cpu 8; lower the request or raise the limit",
    ),
    "no image": Rule(
        HAMI,
        broken={"image": ""},
        kept={"image": "yolov5:7"},
        message="image: is empty; set a training image for family yolov5",
    ),
    "no model repository": Rule(
        HAMI,
        broken={"model": {"repository": ""}},
        kept={"model": {"repository": "https://git.example.com/other.git", "revision": "v7.0"}},
        message="model.repository: is empty, but family yolov5 needs it; set the URL of a git repository",
    ),
    "no dataset repository": Rule(
        HAMI,
        broken={"dataset": {"repository": None}},
        kept={"dataset": {"repository": "https://git.example.com/other.git"}},
        message="dataset.repository: is empty, but family yolov5 needs it; set the URL of a git repository",
    ),
    "a key of another type of source": Rule(
        HAMI,
        broken={"dataset": {"claimName": "coco"}},
        kept={"dataset": {"type": "claim", "claimName": "coco", "repository": ""}},
        message='dataset.claimName: is "coco", but dataset.type git does not use it; leave it empty, or set dataset.type: claim',
    ),
    "a claim without its name": Rule(
        HAMI,
        broken={"dataset": {"type": "claim", "repository": ""}},
        kept={"dataset": {"type": "claim", "repository": "", "claimName": "coco", "subPath": "v1..2/coco8"}},
        message="dataset.claimName: is empty, but dataset.type claim needs it; set a PersistentVolumeClaim in this namespace",
    ),
    "an object store without a bucket": Rule(
        HAMI,
        broken={"dataset": {"type": "s3", "repository": "", "endpoint": "https://s3.example.com"}},
        kept={"dataset": {"type": "s3", "repository": "", "endpoint": "https://s3.example.com", "bucket": "coco"}},
        message="dataset.bucket: is empty, but dataset.type s3 needs it; set a bucket",
    ),
    "an object store with a user in its URL": Rule(
        HAMI,
        broken={
            "dataset": {
                "type": "s3",
                "repository": "",
                "endpoint": "https://me:sesame@s3.example.com",
                "bucket": "coco",
            }
        },
        kept={
            "dataset": {
                "type": "s3",
                "repository": "",
                "endpoint": "http://minio:9000/",
                "bucket": "coco",
                "secretName": "s3",
            }
        },
        message="dataset.endpoint: must be only the URL of an object store, such as https://s3.example.com; set credentials with dataset.secretName",
    ),
    "an object store with a path in its URL": Rule(
        HAMI,
        broken={"dataset": {**STORED, "endpoint": "https://s3.example.com/coco/train/"}},
        kept={"dataset": STORED},
        message="dataset.endpoint: must be only the URL of an object store, such as https://s3.example.com; write it as "
        "https://s3.example.com, and the folder in dataset.prefix: train",
    ),
    "an object store by its bucket": Rule(
        HAMI,
        broken={"dataset": {**STORED, "endpoint": "s3://coco/train"}},
        kept={"dataset": {**STORED, "prefix": "train"}},
        message="dataset.endpoint: must be only the URL of an object store, such as https://s3.example.com; write the "
        "bucket in dataset.bucket: coco, and the folder in dataset.prefix: train",
    ),
    "hosts below an IP address": Rule(
        HAMI,
        broken={"dataset": {**STORED, "endpoint": "http://10.0.0.7:9000", "addressing": "virtual"}},
        kept={"dataset": {**STORED, "endpoint": "http://10.0.0.7:9000", "addressing": "path"}},
        message="dataset.addressing: is virtual, but an IP address has no hosts below it; set it to path, or "
        "dataset.endpoint to a host name",
    ),
    "a bucket that is no part of a host": Rule(
        HAMI,
        broken={"dataset": {**STORED, "bucket": "My_Bucket", "addressing": "virtual"}},
        kept={"dataset": {**STORED, "bucket": "my-bucket", "addressing": "virtual"}},
        message='dataset.addressing: is virtual, but bucket "My_Bucket" cannot be part of a host name; set it to path',
    ),
    "an identity beside a Secret": Rule(
        HAMI,
        broken={
            "dataset": {**STORED, "secretName": "s3", "workloadIdentity": True},
            "serviceAccount": {"name": "trainer"},
        },
        kept={"dataset": {**STORED, "workloadIdentity": True}, "serviceAccount": {"name": "trainer"}},
        message="dataset.workloadIdentity: is true, but dataset.secretName is set too; leave one of them out",
    ),
    "an identity of a new service account": Rule(
        HAMI,
        broken={"dataset": {**STORED, "workloadIdentity": True}, "serviceAccount": {"name": ""}},
        kept={"dataset": {**STORED, "workloadIdentity": True}, "serviceAccount": {"name": "trainer"}},
        message="dataset.workloadIdentity: is true, but no cloud knows the new service account of the run; name one that has a "
        "role in serviceAccount.name",
    ),
    "a folder outside the volume": Rule(
        HAMI,
        broken={"dataset": {"type": "claim", "repository": "", "claimName": "coco", "subPath": "../other"}},
        kept={"dataset": {"type": "claim", "repository": "", "claimName": "coco", "subPath": "a..b/other"}},
        message='dataset.subPath: "../other" leaves the volume; use a path inside it',
    ),
    "a folder of the volume that begins with a slash": Rule(
        HAMI,
        broken={"dataset": {"type": "claim", "repository": "", "claimName": "coco", "subPath": "/coco/2017/"}},
        kept={"dataset": {"type": "claim", "repository": "", "claimName": "coco", "subPath": "coco/2017/"}},
        message='dataset.subPath: "/coco/2017/" begins with a slash, but is a path inside the volume; write "coco/2017"',
    ),
    "a cached claim": Rule(
        HAMI,
        broken={"dataset": {"type": "claim", "repository": "", "claimName": "coco", "cached": True}},
        kept={"dataset": {"cached": True}, "cache": {"claimName": "cache"}},
        message="dataset.cached: is true, but a claim is already a volume; set it to false",
    ),
    "a cached source without a cache": Rule(
        HAMI,
        broken={"model": {"cached": True}},
        kept={"model": {"cached": True}, "cache": {"claimName": "cache", "readOnly": True}},
        message="model.cached: is true, but there is no cache; set cache.claimName",
    ),
    "a cache that is read and is none": Rule(
        HAMI,
        broken={"cache": {"readOnly": True}},
        kept={"cache": {"readOnly": True, "claimName": "cache"}},
        message="cache.readOnly: is true, but there is no cache; set cache.claimName",
    ),
    "a tracking server with a user in its URL": Rule(
        HAMI,
        broken={"mlflow": {"trackingUri": "https://me:sesame@mlflow.example.com"}},
        kept={"mlflow": {"trackingUri": "http://mlflow.kubeflow:5000/base"}},
        message="mlflow.trackingUri: must be an http:// or https:// URL without user, password and query; set credentials with mlflow.secretName",
    ),
    "a token in the query of a tracking server": Rule(
        HAMI,
        broken={"mlflow": {"trackingUri": "https://mlflow.example.com/?access_token=sesame"}},
        kept={"mlflow": {"trackingUri": "https://mlflow.example.com/a@b/"}},
        message="mlflow.trackingUri: must be an http:// or https:// URL without user, password and query; set credentials with mlflow.secretName",
    ),
    "a tracking token that travels unencrypted": Rule(
        HAMI,
        broken={"mlflow": {"trackingUri": "http://mlflow.example.com", "secretName": "ml", "tokenKey": "T"}},
        kept={
            "mlflow": {
                "trackingUri": "http://mlflow.example.com",
                "secretName": "ml",
                "tokenKey": "T",
                "allowPlainHttp": True,
            }
        },
        message='mlflow.trackingUri: "http://mlflow.example.com" would send the credentials of mlflow.secretName unencrypted; use https://, or set mlflow.allowPlainHttp: true',
    ),
    "tracking unencrypted without a token": Rule(
        HAMI,
        broken={"mlflow": {"trackingUri": "http://mlflow.example.com?t=x"}},
        kept={"mlflow": {"trackingUri": "http://mlflow.example.com"}},
        message="mlflow.trackingUri: must be an http:// or https:// URL without user, password and query; set credentials with mlflow.secretName",
    ),
    "a tracking secret without a key": Rule(
        HAMI,
        broken={"mlflow": {"trackingUri": "https://mlflow.example.com", "secretName": "mlflow", "userKey": "user"}},
        kept={
            "mlflow": {
                "trackingUri": "https://mlflow.example.com",
                "secretName": "mlflow",
                "userKey": "user",
                "passwordKey": "password",
            }
        },
        message='mlflow.secretName: is "mlflow", but no keys of it are set; set mlflow.tokenKey, or userKey and passwordKey',
    ),
    "a search of what cannot be tuned": Rule(
        LLM,
        broken={"tune": SEARCH},
        kept={"tune": {**SEARCH, "trials": 0}},
        message="tune.trials: is 4, but family llm-sft cannot be tuned; set it to 0",
    ),
    "a search without a metric": Rule(
        HAMI,
        broken={"tune": {"trials": 4, "space": LR}},
        kept={"tune": {"trials": 4, "space": LR, "metric": "metrics/mAP_0.5"}},
        message="tune.metric: is empty, but trials are compared by it; set a metric from the log of a training",
    ),
    "a search of nothing": Rule(
        HAMI,
        broken={"tune": {"trials": 4, "metric": "metrics/mAP_0.5"}},
        kept={"tune": {"trials": 0, "metric": "metrics/mAP_0.5"}},
        message="tune.space: is empty, so all trials would be the same; add at least one parameter",
    ),
    "more pods than trials": Rule(
        CPU,
        broken={"tune": {**SEARCH, "trials": 2}, "replicas": 3, "workspace": SHARED},
        kept={"tune": {**SEARCH, "trials": 3}, "replicas": 3, "workspace": SHARED},
        message="replicas: 3 pods for tune.trials 2 would leave some without a trial; lower replicas, or raise tune.trials",
    ),
    "a search whose pods share nothing": Rule(
        CPU,
        broken={"tune": SEARCH, "replicas": 2},
        kept={"tune": SEARCH, "replicas": 1},
        message="workspace.type: is emptyDir, but the 2 pods of a search share one workspace; use a claim",
    ),
    "a parameter without values": Rule(
        HAMI,
        broken={"tune": {**SEARCH, "space": {"lr0": {"low": 0.1}}}},
        kept={"tune": {**SEARCH, "space": {"lr0": {"choices": [0.1]}}}},
        message="tune.space.lr0: needs either choices, or low and high; set one of them",
    ),
    "a range that is upside down": Rule(
        HAMI,
        broken={"tune": {**SEARCH, "space": {"lr0": {"low": 0.5, "high": 0.25}}}},
        kept={"tune": {**SEARCH, "space": {"lr0": {"low": 0.25, "high": 0.5}}}},
        message="tune.space.lr0: low 0.5 is not less than high 0.25; correct the range",
    ),
    "a logarithm of nothing": Rule(
        HAMI,
        broken={"tune": {**SEARCH, "space": {"lr0": {"low": 0, "high": 0.25, "log": True}}}},
        kept={"tune": {**SEARCH, "space": {"lr0": {"low": 0, "high": 0.25}}}},
        message="tune.space.lr0: low is 0, but must be above 0 on a logarithmic scale; raise it, or set log: false",
    ),
    "no output repository": Rule(
        HAMI,
        broken={"publish": {"repository": ""}},
        kept={"publish": {"type": "none", "repository": ""}, "workspace": {"type": "newClaim"}},
        message="publish.repository: is empty, but family yolov5 needs it; set the URL of a git repository",
    ),
    "a token in the URL": Rule(
        HAMI,
        broken={"model": {"repository": "https://me:sesame@git.example.com/m.git"}},
        kept={"model": {"repository": "https://git.example.com/a@b/m.git"}},
        message="model.repository: contains a user or password; remove it from the URL and set git.secretName",
    ),
    "a token in a mistyped URL": Rule(
        HAMI,
        broken={"model": {"repository": "https:///me:sesame@git.example.com/m.git"}},
        kept={"model": {"repository": "https://git.example.com:8443/m.git"}},
        message="model.repository: contains a user or password; remove it from the URL and set git.secretName",
    ),
    "a URL without a host": Rule(
        HAMI,
        broken={"dataset": {"repository": "https:///d.git"}},
        kept={"dataset": {"repository": "https://[2001:db8::1]:8443/d.git"}},
        message="dataset.repository: must have a host, optionally a port, and a repository, without spaces, such as https://git.example.com/team/model.git; correct it (it is not shown because it may contain a token)",
    ),
    "an image that cannot be pulled": Rule(
        HAMI,
        broken={"image": "https://registry.example.com/yolov5:7.0"},
        kept={"image": "localhost:5000/a/yolov5_x--1:7.0@sha256:" + "0" * 64},
        message='image: "https://registry.example.com/yolov5:7.0" is not a valid image name; write it as registry.example.com/team/image:tag, without a scheme or spaces',
    ),
    "a revision that is none": Rule(
        HAMI,
        broken={"model": {"revision": "main~1"}},
        kept={"model": {"revision": "refs/tags/v7.0"}},
        message='model.revision: "main~1" is not a valid name of a branch or tag, nor a commit; use one such as main, v7.0 or a full commit',
    ),
    "a branch that git does not make": Rule(
        HAMI,
        broken={"publish": {"branch": "candidates/first.lock"}},
        kept={"publish": {"branch": "candidates/first.locked"}},
        message='publish.branch: "candidates/first.lock" is not a valid branch name; use one such as candidates/first',
    ),
    "an unencrypted URL": Rule(
        HAMI,
        broken={"dataset": {"repository": "http://git.example.com/d.git"}},
        kept={"git": {"allowPlainHttp": True}, "dataset": {"repository": "http://git.example.com/d.git"}},
        message='dataset.repository: "http://git.example.com/d.git" would send the token unencrypted; use https://, or set git.allowPlainHttp: true',
    ),
    "an address of git over SSH that is none": Rule(
        HAMI,
        broken={"publish": {"repository": "ssh://git@git.example.com:team/out.git"}},
        kept={"publish": {"repository": "ssh://git@git.example.com:2222/team/out.git"}},
        message='publish.repository: "ssh://git@git.example.com:team/out.git" is not a URL of git over SSH; write it as ssh://git@git.example.com/team/model.git or git@git.example.com:team/model.git, or with a port as ssh://git@git.example.com:2222/team/model.git',
    ),
    "git over SSH without a key": Rule(
        HAMI,
        broken={"model": {"repository": "git@github.example:team/m.git"}},
        kept={"model": {"repository": "git@github.example:team/m.git", "secretName": "deploy-key"}},
        message='model.repository: "git@github.example:team/m.git" is reached over SSH, which needs a private key; set model.secretName to a Secret with the keys ssh-privatekey and known_hosts',
    ),
    "an LFS server with a user in its URL": Rule(
        HAMI,
        broken={"model": {"lfs": {"url": "https://me:sesame@lfs.example.com/m"}}},
        kept={"model": {"lfs": {"url": "https://lfs.example.com/m"}}},
        message="model.lfs.url: must be the https:// URL of an LFS server without user, password and query, such as https://lfs.example.com/team/model; set credentials with model.lfs.secretName",
    ),
    "an LFS server without encryption": Rule(
        HAMI,
        broken={"publish": {"lfs": {"url": "http://lfs.example.com/m"}}},
        kept={"git": {"allowPlainHttp": True}, "publish": {"lfs": {"url": "http://lfs.example.com/m"}}},
        message='publish.lfs.url: "http://lfs.example.com/m" would send the token unencrypted; use https://, or set git.allowPlainHttp: true',
    ),
    "credentials for no LFS server": Rule(
        HAMI,
        broken={"dataset": {"lfs": {"secretName": "lfs"}}},
        kept={"dataset": {"lfs": {"secretName": "lfs", "url": "https://lfs.example.com/d"}}},
        message='dataset.lfs.secretName: is "lfs", but no server is named that it is for; set dataset.lfs.url',
    ),
    "credentials for the LFS server that is the repository's": Rule(
        HAMI,
        broken={"publish": {"lfs": {"secretName": "lfs", "url": "https://git.example.com/team/out.git/info/lfs"}}},
        kept={"publish": {"lfs": {"url": "https://git.example.com/team/out.git/info/lfs"}}},
        message='publish.lfs.secretName: is "lfs", but publish.lfs.url is on the server of publish.repository, whose credentials are used there; leave it empty',
    ),
    "a push without credentials": Rule(
        HAMI,
        broken={"git": {"secretName": ""}},
        kept={"git": {"secretName": ""}, "publish": {"secretName": "out"}},
        message="git.secretName: is empty, but publish.type git needs credentials to push; set a Secret with user and token (or with the private key, for SSH), here or in publish.secretName, or set publish.type: none",
    ),
    "a token in the query of a repository": Rule(
        HAMI,
        broken={"dataset": {"repository": "https://git.example.com/d.git?private_token=sesame"}},
        kept={"dataset": {"repository": "https://git.example.com/d.git"}},
        message="dataset.repository: contains a query, and a token in it would be shown with the URL; remove it from the URL and set git.secretName",
    ),
    "a result that is lost": Rule(
        HAMI,
        broken={"publish": {"type": "none"}},
        kept={"publish": {"type": "none"}, "workspace": {"type": "existingClaim", "claimName": "data"}},
        message="publish.type: none with workspace.type: emptyDir would lose the result with the pod; set workspace.type: newClaim",
    ),
    "a result for a bucket that is not named": Rule(
        HAMI,
        broken={"publish": {"type": "s3", "repository": "", "endpoint": "https://s3.example.com"}},
        kept={"publish": {"type": "s3", "repository": "", "endpoint": "https://s3.example.com", "bucket": "models"}},
        message="publish.bucket: is empty, but publish.type s3 needs it; set a bucket",
    ),
    "a result for an object store without an address": Rule(
        HAMI,
        broken={"publish": {"type": "s3", "repository": "", "bucket": "models"}},
        kept={"publish": UPLOADED},
        message="publish.endpoint: must be only the URL of an object store, such as https://s3.example.com; that of AWS is https://s3.eu-central-1.amazonaws.com, with your region",
    ),
    "a branch of a bucket": Rule(
        overlay(HAMI, {"publish": UPLOADED}),
        broken={"publish": {"branch": "candidates/first"}},
        kept={"publish": {"folder": "candidates/first"}},
        message='publish.branch: is "candidates/first", but publish.type s3 does not use it; leave it empty, or set publish.type: git',
    ),
    "a folder of a repository": Rule(
        HAMI,
        broken={"publish": {"folder": "candidates/first"}},
        kept={"publish": {"branch": "candidates/first"}},
        message='publish.folder: is "candidates/first", but publish.type git does not use it; leave it empty, or set publish.type: s3',
    ),
    "a result outside the bucket": Rule(
        overlay(HAMI, {"publish": UPLOADED}),
        broken={"publish": {"prefix": "/models/../other/"}},
        kept={"publish": {"prefix": "/models/detectors/"}},
        message='publish.prefix: "models/../other" is not a folder of a bucket; write it as models/detectors',
    ),
    "a folder that nobody would know": Rule(
        overlay(HAMI, {"publish": UPLOADED}),
        broken={"ttlAfterFinished": "1h"},
        kept={"ttlAfterFinished": "1h", "publish": {"folder": "candidates/first"}},
        message="ttlAfterFinished: is 1h, but only the pods, which it removes, would know where the result is; set publish.folder or workspace.type: newClaim, or leave it empty",
    ),
    "a dataset outside the workspace": Rule(
        HAMI,
        broken={"dataset": {"path": "../elsewhere"}},
        kept={"dataset": {"path": "..data/a..b"}},
        message='dataset.path: "../elsewhere" leaves the run\'s folder; use a path inside it, such as datasets/coco128',
    ),
    "a dataset that is the run's folder": Rule(
        HAMI,
        broken={"dataset": {"path": "./"}},
        kept={"dataset": {"path": "./data//"}},
        message='dataset.path: "./" is the run\'s folder itself; use a path inside it, such as datasets/coco128',
    ),
    "a dataset in a folder that the run writes": Rule(
        HAMI,
        broken={"dataset": {"path": ".//Output/data"}},
        kept={"dataset": {"path": "data/output"}},
        message='dataset.path: ".//Output/data" is in output, which the run itself writes; use another, such as datasets/coco128',
    ),
    "a dataset that looks like a repository": Rule(
        HAMI,
        broken={"dataset": {"path": "data/.git"}},
        kept={"dataset": {"path": "data/.github"}},
        message='dataset.path: "data/.git" has a part .git, which git would take for a repository; use another, such as datasets/coco128',
    ),
    "a dataset in the model's folder": Rule(
        HAMI,
        broken={"dataset": {"path": "yolov5/data"}},
        kept={"dataset": {"path": "yolov5-data"}},
        message='dataset.path: "yolov5/data" and the model\'s folder yolov5 overlap; use another, such as datasets/coco128',
    ),
    "a workspace folder that is the workspace": Rule(
        HAMI,
        broken={"workspace": {"directory": "./."}},
        kept={"workspace": {"directory": "./team/"}},
        message='workspace.directory: "./." is the workspace itself, which other runs may share; use a path inside it, or leave it empty',
    ),
    "a source that holds the run's folder": Rule(
        HAMI,
        broken={"dataset": ON_A_CLAIM, "workspace": {**SHARED, "directory": "Team/run-1"}},
        kept={"dataset": {**ON_A_CLAIM, "subPath": "team/run-0"}, "workspace": {**SHARED, "directory": "team/run-1"}},
        message='dataset.subPath: "team" and workspace.directory "Team/run-1" of the same claim data overlap; set dataset.subPath to a folder outside it',
    ),
    "a workspace folder outside the workspace": Rule(
        HAMI,
        broken={"workspace": {"directory": "/etc"}},
        kept={"workspace": {"directory": "team/run..1"}},
        message='workspace.directory: "/etc" leaves the workspace; use a path inside it',
    ),
    "several processes on cpu": Rule(
        CPU,
        broken={"replicas": 2},
        kept={"replicas": 1},
        message="replicas: 2 on accelerator profile cpu means 2 training processes, but YOLOv5 trains in one process on cpu; set replicas: 1, or choose another accelerator",
    ),
    "more pods than the trainer can use": Rule(
        ALONE,
        broken={"replicas": 2},
        kept={"accelerator": {"count": 2}},
        message="replicas: 2 is more than YOLOv8 can use: ultralytics does not support training on several nodes; give the one pod more devices with accelerator.count; set replicas: 1",
    ),
    "device cpu in several processes": Rule(
        NVIDIA,
        broken={"replicas": 2, "train": {"device": "cpu"}},
        kept={"replicas": 2, "train": {"device": "0"}},
        message="train.device: is cpu, but YOLOv5 cannot train on it in 2 processes; leave train.device empty, or set replicas: 1",
    ),
    "a batch that cannot be shared": Rule(
        NVIDIA,
        broken={"accelerator": {"count": 3}},
        kept={"accelerator": {"count": 4}, "replicas": 2},
        message="train.batchSize: 16 is the total batch of all 3 processes, and must be divisible by their number; set a multiple of 3",
    ),
    "an existing claim without a name": Rule(
        HAMI,
        broken={"workspace": {"type": "existingClaim"}},
        kept={"workspace": {"type": "existingClaim", "claimName": "data"}},
        message="workspace.claimName: is empty, but workspace.type existingClaim needs it; set a PersistentVolumeClaim in this namespace",
    ),
    "a claim of no size": Rule(
        HAMI,
        broken={"workspace": {"type": "newClaim", "size": "0Gi"}},
        kept={"workspace": {"type": "newClaim", "size": "1Gi"}},
        message="workspace.size: is 0Gi, but a claim requests at least one byte; set a size such as 20Gi",
    ),
    "a name for a claim that is made": Rule(
        HAMI,
        broken={"workspace": {"type": "newClaim", "claimName": "data"}},
        kept={"workspace": {"type": "newClaim", "claimName": ""}},
        message='workspace.claimName: is "data", but workspace.type newClaim does not use it; leave it empty, or set workspace.type: existingClaim',
    ),
    "one node's claim on several": Rule(
        NVIDIA,
        broken={"replicas": 2, "workspace": {"type": "newClaim", "accessMode": "ReadWriteOnce"}},
        kept={"replicas": 2, "workspace": {"type": "newClaim"}, "nodeSelector": {"kubernetes.io/hostname": "gpu-1"}},
        message="workspace.accessMode: ReadWriteOnce cannot be mounted by 2 pods on different nodes; use ReadWriteMany, workspace.type: emptyDir, or pin the pods with nodeSelector kubernetes.io/hostname",
    ),
    "a result that nobody finds after the clean-up": Rule(
        HAMI,
        broken={"ttlAfterFinished": "1h", "publish": {"branch": ""}},
        kept={"ttlAfterFinished": "1h", "publish": {"branch": "candidates/first"}},
        message="ttlAfterFinished: is 1h, but only the pods, which it removes, would know where the result is; set publish.branch or workspace.type: newClaim, or leave it empty",
    ),
    "a clean-up after more seconds than Volcano can count": Rule(
        HAMI,
        broken={"ttlAfterFinished": "24856d", "publish": {"branch": "candidates/first"}},
        kept={"ttlAfterFinished": "24855d", "publish": {"branch": "candidates/first"}},
        message="ttlAfterFinished: 24856d exceeds the maximum of Volcano; set at most 24855d, or leave it empty",
    ),
    "more shared memory than memory": Rule(
        HAMI,
        broken={"sharedMemory": "21Gi"},
        kept={"sharedMemory": "20Gi"},
        message="sharedMemory: 21Gi is more than resources.limits.memory 20Gi, which includes it; lower it",
    ),
    "a setting the family does not have": Rule(
        HAMI,
        broken={"train": {"epoch": 3}},
        kept={"train": {"epochs": 3}},
        message="train.epoch: family yolov5 has no such setting; it has arguments, batchSize, data, device, epochs, imageSize, weights, workers",
    ),
    "a token where its key is named": Rule(
        CPU,
        broken={"git": {"tokenKey": "ghp_abcdefghijklmnopqrstuvwxyz0123456789"}},
        kept={"git": {"tokenKey": "GH_TOKEN"}},
        message="git.tokenKey: its value begins like a token or key (ghp_...), but everybody who can read the release sees what "
        "stands here; put it into a Secret, and write the name of its key there",
    ),
    "a key of Weights & Biases where its Secret is named": Rule(
        CPU,
        broken={"secretEnv": {"WANDB_API_KEY": {"secretName": "0123456789" * 4, "key": "api-key"}}},
        kept={"secretEnv": {"WANDB_API_KEY": SECRET_KEY}},
        message="secretEnv.WANDB_API_KEY.secretName: its value has the 40 hexadecimal digits of a key of Weights & Biases, but "
        "everybody who can read the release sees what stands here; put it into a Secret, and write the name of the Secret",
    ),
    "a URL for a folder of a bucket": Rule(
        CPU,
        broken={"dataset": {**STORED, "prefix": "s3://data/coco"}},
        kept={"dataset": {**STORED, "prefix": "coco"}},
        message='dataset.prefix: "s3://data/coco" is not a folder of a bucket; write it as datasets/coco8',
    ),
    "a volume in the place of the run's users": Rule(
        overlay(CPU, {"model": {"repository": "git@git.example.com:team/m.git", "secretName": "key"}}),
        broken=volume(mountPath="/etc/passwd"),
        kept=volume(mountPath="/etc/group"),
        message='volumes[0].mountPath: "/etc/passwd" and /etc/passwd overlap, which the run or its container needs; use another, '
        "such as /mnt/more",
    ),
    "a variable that is in a Secret, too": Rule(
        CUSTOM,
        broken={"env": {"KEY": "a"}, "secretEnv": {"KEY": SECRET_KEY}},
        kept={"env": {"KEY": "a"}, "secretEnv": {"OTHER": SECRET_KEY}},
        message="secretEnv.KEY: is in env, too; remove one of them",
    ),
    "a file in the place of a folder": Rule(
        CUSTOM,
        broken={"secretFiles": {".aws": SECRET_KEY, ".aws/credentials": SECRET_KEY}},
        kept={"secretFiles": {".aws/config": SECRET_KEY, ".aws/credentials": SECRET_KEY, ".aws.old": SECRET_KEY}},
        message="secretFiles: has the file .aws, but .aws/credentials needs a folder of that name; rename one of them",
    ),
    "a workspace of each pod that nothing leaves": Rule(
        CPU,
        broken={"publish": {"type": "none"}, "workspace": {"type": "ephemeral"}},
        kept={"publish": {"type": "none"}, "workspace": {"type": "newClaim"}},
        message="publish.type: none with workspace.type: ephemeral would lose the result with the pod; set workspace.type: newClaim",
    ),
    "a search in workspaces of each pod": Rule(
        NVIDIA,
        broken={"replicas": 2, "workspace": {"type": "ephemeral"}, "tune": SEARCH},
        kept={"replicas": 2, "workspace": {"type": "ephemeral"}},
        message="workspace.type: is ephemeral, but the 2 pods of a search share one workspace; use a claim",
    ),
    "a volume without a source": Rule(
        CUSTOM,
        broken=volume(claimName=""),
        kept=volume(),
        message="volumes[0]: more has no source; set one of claimName, configMapName, secretName and ephemeral",
    ),
    "a volume from two places": Rule(
        CUSTOM,
        broken=volume(secretName="tls"),
        kept=volume(secretName=""),
        message="volumes[0]: more has claimName and secretName, but a volume has one source; make a volume of each",
    ),
    "two volumes of one name": Rule(
        CUSTOM,
        broken={"volumes": [MORE, {**MORE, "mountPath": "/mnt/other"}]},
        kept={"volumes": [MORE, {**MORE, "name": "other", "mountPath": "/mnt/other"}]},
        message='volumes[1].name: "more" is the name of another volume; rename one of them',
    ),
    "two volumes at one path": Rule(
        CUSTOM,
        broken={"volumes": [MORE, {**MORE, "name": "other"}]},
        kept={"volumes": [MORE, {**MORE, "name": "other", "mountPath": "/mnt/more/below"}]},
        message='volumes[1].mountPath: "/mnt/more" is the path of another volume; use another, such as /mnt/other',
    ),
    "a volume over the run's": Rule(
        CUSTOM,
        broken=volume(mountPath="/workspace/data"),
        kept=volume(mountPath="/workspaces"),
        message='volumes[0].mountPath: "/workspace/data" and /workspace overlap, which the run or its container needs; use another, such as /mnt/more',
    ),
    "a volume that covers Volcano's": Rule(
        CUSTOM,
        broken=volume(mountPath="/etc"),
        kept=volume(mountPath="/etc/pki"),
        message='volumes[0].mountPath: "/etc" and /etc/volcano overlap, which the run or its container needs; use another, such as /mnt/more',
    ),
    "a claim of no bytes": Rule(
        CUSTOM,
        broken=volume(claimName="", ephemeral={"size": ""}),
        kept=volume(claimName="", ephemeral={"size": "1"}),
        message="volumes[0].ephemeral.size: is 0, but a claim requests at least one byte; set a size such as 20Gi",
    ),
    "a secret by its name": Rule(
        CUSTOM,
        broken={"env": {"MY_PASSWORD": "sesame"}},
        kept={"secretEnv": {"MY_PASSWORD": SECRET_KEY}},
        message=f"env.MY_PASSWORD: its name says that it is a secret (PASSWORD), {_INTO.format('MY_PASSWORD')}",
    ),
    "a secret by its value": Rule(
        CUSTOM,
        broken={"env": {"HUB": f"hf_{'a' * 34}"}},
        kept={"env": {"HUB": "hf_transfer"}},
        message=f"env.HUB: its value begins like a token or key (hf_...), {_INTO.format('HUB')}",
    ),
    "a proxy with a password": Rule(
        CUSTOM,
        broken={"env": {"https_proxy": "http://me:sesame@proxy.example.com:3128"}},
        kept={"env": {"https_proxy": "http://proxy.example.com/a@b"}},
        message=f"env.https_proxy: its value is a URL with a user or password, {_INTO.format('https_proxy')}",
    ),
    "a secret among the arguments": Rule(
        CUSTOM,
        broken={"train": {"command": ["python3", "train.py", "--api-key", "sesame"]}},
        kept={"train": {"command": ["python3", "train.py", "--max-token", "4096", "--pad-token=<pad>", "--key", "a"]}},
        message=f"train.command: has a secret: its name says that it is a secret (API_KEY), {_AMONG}",
    ),
    "a secret in a program": Rule(
        CUSTOM,
        broken={"train": {"exportCommand": ["sh", "-c", f"login --with hf_{'a' * 34} && export"]}},
        kept={"train": {"exportCommand": ["python3", "-c", "token=os.environ['TOKEN']\nopen('https://a/b@c')"]}},
        message=f"train.exportCommand: has a secret: its value begins like a token or key (hf_...), {_AMONG}",
    ),
    "a secret in a map": Rule(
        LLM,
        broken={"train": {"arguments": {"hub_token": "sesame"}}},
        kept={"train": {"arguments": {"hub_model_id": "a" * 40, "hub_private_repo": True}}},
        message=f"train.arguments: has a secret: its name says that it is a secret (TOKEN), {_AMONG}",
    ),
    "a secret in an annotation": Rule(
        CUSTOM,
        broken={"podAnnotations": {"example.com/pull": f"ghp_{'a' * 36}"}},
        kept={"podAnnotations": {"example.com/commit": "0" * 40, "example.com/inject-token": "name-of-a-secret"}},
        message="podAnnotations: example.com/pull: its value begins like a token or key (ghp_...), and everybody who can read the pods would see it; remove it",
    ),
    "a setting that the family needs": Rule(
        CUSTOM,
        broken={"train": {"command": []}},
        kept={"train": {"command": ["true"]}},
        message="train.command: is empty, but family custom needs it; `trainchart explain train.command` says what it is",
    ),
}
