"""The rules across values: each refuses with the key, the value and the fix, and leaves its neighbour alone."""

from __future__ import annotations

import pytest

from tests.chart.matrix import ROOT
from trainchart.errors import RenderError
from trainchart.files import Tree, load_values, overlay
from trainchart.render import render

NVIDIA = load_values(ROOT / "values/yolov5.yaml", ROOT / "values/accelerators/nvidia.yaml")
HAMI = load_values(ROOT / "values/yolov5.yaml")
CPU = load_values(ROOT / "values/yolov5.yaml", ROOT / "values/accelerators/cpu.yaml")

# base, change, the message that it must bring.
BROKEN: dict[str, tuple[Tree, Tree, str]] = {
    "cores on a profile without": (
        NVIDIA,
        {"accelerator": {"corePercent": 50}},
        "accelerator.corePercent: is 50, but profile nvidia takes count; leave it empty or choose another profile",
    ),
    "a count on cpu": (
        CPU,
        {"accelerator": {"count": 2}},
        "accelerator.count: is 2, but profile cpu takes none of count, corePercent, memory; leave it empty or choose another "
        "profile",
    ),
    "no count where the profile needs it": (
        NVIDIA,
        {"accelerator": {"count": None}},
        "accelerator.count: is empty, and profile nvidia needs it; set the devices per pod, such as 1",
    ),
    "memory that is not a multiple of the unit": (
        HAMI,
        {"accelerator": {"memory": "1000k"}},
        "accelerator.memory: 1000k is not a whole multiple of 1Mi, the unit of nvidia.com/gpumem; round it",
    ),
    "more cores than a card has": (
        HAMI,
        {"accelerator": {"corePercent": 101}},
        "accelerator.corePercent: 101 is out of range for profile hami-alauda; set 1 to 100",
    ),
    "no image": (HAMI, {"image": ""}, "image: is empty; name a training image for family yolov5"),
    "no model repository": (
        HAMI,
        {"model": {"repository": ""}},
        "model.repository: is empty, and family yolov5 needs it; set the URL of a git repository",
    ),
    "no dataset repository": (
        HAMI,
        {"dataset": {"repository": None}},
        "dataset.repository: is empty, and family yolov5 needs it; set the URL of a git repository",
    ),
    "no output repository": (
        HAMI,
        {"publish": {"repository": ""}},
        "publish.repository: is empty, and family yolov5 needs it; set the URL of a git repository",
    ),
    "a token in the URL": (
        HAMI,
        {"model": {"repository": "https://me:sesame@git.example.com/m.git"}},
        "model.repository: holds a user or password; take it out of the URL and set git.secretName",
    ),
    "an unencrypted URL": (
        HAMI,
        {"dataset": {"repository": "http://git.example.com/d.git"}},
        'dataset.repository: "http://git.example.com/d.git" would send the token unencrypted; use https://, or set '
        "git.allowPlainHttp: true",
    ),
    "git over ssh": (
        HAMI,
        {"publish": {"repository": "git@git.example.com:out.git"}},
        'publish.repository: "git@git.example.com:out.git" is not an https:// URL; credentials are a user and a token, and git '
        "over ssh has neither",
    ),
    "a push without credentials": (
        HAMI,
        {"git": {"secretName": ""}},
        "git.secretName: is empty, and publish.type git needs the right to push; name a Secret with user and token, or set "
        "publish.type: none",
    ),
    "a result that is lost": (
        HAMI,
        {"publish": {"type": "none"}},
        "publish.type: none with workspace.type: emptyDir would lose the result with the pod; use a claim as workspace",
    ),
    "a dataset outside the workspace": (
        HAMI,
        {"dataset": {"path": "../elsewhere"}},
        'dataset.path: "../elsewhere" leaves the run\'s folder; give a path inside it, such as datasets/coco128',
    ),
    "a workspace folder outside the workspace": (
        HAMI,
        {"workspace": {"directory": "/etc"}},
        'workspace.directory: "/etc" leaves the workspace; give a path inside it',
    ),
    "several processes on cpu": (
        CPU,
        {"replicas": 2},
        "replicas: 2 on accelerator profile cpu is 2 training processes, and YOLOv5 trains in one process on cpu; set "
        "replicas: 1, or choose an accelerator",
    ),
    "device cpu in several processes": (
        NVIDIA,
        {"replicas": 2, "train": {"device": "cpu"}},
        "train.device: is cpu, and YOLOv5 cannot train on it in 2 processes; leave train.device empty, or set replicas: 1",
    ),
    "a batch that cannot be shared": (
        NVIDIA,
        {"accelerator": {"count": 3}},
        "train.batchSize: 16 is the batch of all 3 processes together and must be divisible by their number; set a multiple of 3",
    ),
    "an existing claim without a name": (
        HAMI,
        {"workspace": {"type": "existingClaim"}},
        "workspace.claimName: is empty, and workspace.type existingClaim needs it; name a PersistentVolumeClaim of this "
        "namespace",
    ),
    "a name for a claim that is made": (
        HAMI,
        {"workspace": {"type": "newClaim", "claimName": "data"}},
        'workspace.claimName: is "data", but workspace.type newClaim makes its own; leave it empty, or set workspace.type: '
        "existingClaim",
    ),
    "one node's claim on several": (
        NVIDIA,
        {"replicas": 2, "workspace": {"type": "newClaim", "accessMode": "ReadWriteOnce"}},
        "workspace.accessMode: ReadWriteOnce cannot be mounted by 2 pods on different nodes; use ReadWriteMany, "
        "workspace.type: emptyDir, or pin the pods with nodeSelector kubernetes.io/hostname",
    ),
    "more shared memory than memory": (
        HAMI,
        {"sharedMemory": "21Gi"},
        "sharedMemory: 21Gi is more than resources.limits.memory 20Gi, which it counts towards; make it smaller",
    ),
    "a setting the family does not have": (
        HAMI,
        {"train": {"epoch": 3}},
        "train.epoch: family yolov5 has no such setting; it has arguments, batchSize, data, device, epochs, imageSize, "
        "weights, workers",
    ),
}

ALLOWED: dict[str, tuple[Tree, Tree]] = {
    "http where it is allowed": (
        HAMI,
        {"git": {"allowPlainHttp": True}, "model": {"repository": "http://git.local/m.git"}},
    ),
    "no push and no credentials": (
        HAMI,
        {"git": {"secretName": ""}, "publish": {"type": "none"}, "workspace": {"type": "newClaim"}},
    ),
    "one node's claim on pinned pods": (
        NVIDIA,
        {"replicas": 2, "workspace": {"type": "newClaim"}, "nodeSelector": {"kubernetes.io/hostname": "gpu-1"}},
    ),
    "as much shared memory as memory": (HAMI, {"sharedMemory": "20Gi"}),
    "no memory limit": (HAMI, {"sharedMemory": "200Gi", "resources": {"limits": {"memory": ""}}}),
    "a batch that can be shared": (NVIDIA, {"accelerator": {"count": 4}, "replicas": 2}),
}


@pytest.mark.parametrize(("base", "change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_told_in_full_and_alone(base: Tree, change: Tree, message: str) -> None:
    assert broken_rules(overlay(base, change)) == [message]


@pytest.mark.parametrize(("base", "change"), ALLOWED.values(), ids=ALLOWED)
def test_the_other_side_of_a_rule_is_allowed(base: Tree, change: Tree) -> None:
    assert broken_rules(overlay(base, change)) == []


def test_all_broken_rules_are_told_at_once() -> None:
    changes = {"image": "", "model": {"repository": ""}, "train": {"epoch": 1}, "sharedMemory": "1Ti"}
    told = broken_rules(overlay(HAMI, changes))
    assert [line.partition(":")[0] for line in told] == ["image", "model.repository", "sharedMemory", "train.epoch"]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("4runs", "must begin with a letter"),
        ("run.42", "must begin with a letter"),
        ("r" * 51, "has 51 characters"),
    ],
)
def test_a_release_name_that_leaves_no_room_is_refused(name: str, fault: str) -> None:
    (told,) = broken_rules(HAMI, name=name)
    assert told.startswith(f'release name: "{name}" {fault}')
    assert broken_rules(HAMI, name="r" * 50) == []


def test_an_unknown_family_or_profile_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RenderError, match=r'family: there is no family "yolo5"; choose one of: .*yolov5'):
        render(overlay(HAMI, {"family": "yolo5"}))
    with pytest.raises(
        RenderError, match=r'accelerator.profile: there is no profile "gpu"; choose one of: cpu, .*nvidia'
    ):
        render(overlay(HAMI, {"accelerator": {"profile": "gpu"}}))
    with pytest.raises(RenderError, match=r"family is not set; choose one of: .*yolov5"):
        render({})


def broken_rules(values: Tree, name: str = "run-42") -> list[str]:
    """The rules' messages, in order; a refusal for any other reason is an error of the test."""
    try:
        render(values, name=name)
    except RenderError as error:
        refusal = str(error)
    else:
        return []
    assert "these values cannot run:" in refusal
    return [line.removeprefix("  - ") for line in refusal.splitlines() if line.startswith("  - ")]
