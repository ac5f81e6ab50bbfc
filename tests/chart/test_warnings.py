"""Warnings: a setting without effect is told, and so is an amount that stands for another; what is as usual is not."""

from __future__ import annotations

import re

import pytest

from tests.chart.matrix import FAMILIES, ROOT
from tests.chart.rules import CPU, HAMI, NVIDIA
from trainchart.chart.families import profile_names
from trainchart.chart.render import render_text
from trainchart.files import Tree, load_values, overlay

CLAIM: Tree = {"workspace": {"type": "existingClaim", "claimName": "work"}}
UPLOADED: Tree = {"type": "s3", "repository": "", "bucket": "b", "endpoint": "https://s3.example.com"}
STORED: Tree = {"type": "s3", "repository": "", "bucket": "b", "endpoint": "https://s3.example.com"}

UNUSED: dict[str, tuple[Tree, Tree]] = {
    "workspace.keep": ({}, {"workspace": {"type": "newClaim"}}),
    "workspace.storageClassName": (CLAIM, {"workspace": {"type": "newClaim", "claimName": ""}}),
    "workspace.accessMode": ({}, CLAIM),
    "mlflow.experiment": ({}, {"mlflow": {"trackingUri": "https://mlflow.example.com"}}),
    "mlflow.tokenKey": (
        {"mlflow": {"trackingUri": "https://mlflow.example.com"}},
        {"mlflow": {"trackingUri": "https://mlflow.example.com", "secretName": "mlflow"}},
    ),
    "tune.metric": ({}, {"tune": {"trials": 2, "space": {"lr0": {"low": 0.1, "high": 0.2}}}}),
    "publish.branch": ({"publish": {"type": "none"}, **CLAIM}, {"publish": {"type": "git"}}),
    "caBundle.key": ({}, {"caBundle": {"configMapName": "ca"}}),
    "publish.region": ({}, {"publish": {**UPLOADED, "secretName": "s3"}}),
    "git.userKey": (
        {"git": {"secretName": ""}, "publish": {"type": "none"}, **CLAIM},
        {"git": {"secretName": "git-credentials"}, "publish": {"type": "git"}},
    ),
    "git.tokenKey": (
        {"git": {"secretName": ""}, "publish": {**UPLOADED, "secretName": "s3"}},
        {"model": {"lfs": {"url": "https://lfs.example.com/m", "secretName": "lfs"}}},
    ),
    "git.knownHostsKey": ({}, {"model": {"repository": "git@git.example.com:team/m.git", "secretName": "key"}}),
    "model.submodules": (
        {"model": STORED},
        {"model": {"type": "git", "repository": "https://git.example.com/m.git", "bucket": "", "endpoint": ""}},
    ),
    "model.region": ({}, {"model": STORED}),
    "dataset.accessKeyKey": ({"dataset": STORED}, {"dataset": {**STORED, "secretName": "s3"}}),
    "networkTopology.mode": (
        {"accelerator": {"profile": "hami", "memory": "8Gi"}},
        {"accelerator": {"profile": "nvidia", "memory": ""}},
    ),
    "cache.claimName": ({}, {"dataset": {"cached": True}}),
}
"""By key: values beside which it has no effect, and a change with which it has one."""
OTHERS: Tree = {
    "networkTopology.mode": "soft",
    "workspace.keep": True,
    "model.submodules": True,
    "workspace.accessMode": "ReadWriteMany",
}

UNLIKELY: dict[str, tuple[Tree, Tree, str]] = {
    "bytes for gigabytes": (
        {"resources": {"requests": {"memory": 8}}},
        {"resources": {"requests": {"memory": "8Gi"}}},
        "resources.requests.memory: is 8, which is 8 bytes; write 8Gi",
    ),
    "thousandths of a byte": (
        {"sharedMemory": "512m"},
        {"sharedMemory": "512Mi"},
        "sharedMemory: is 512m, which is less than a byte; write 512Mi",
    ),
    "a small volume": ({"workspace": {"size": 5}}, {"workspace": {"size": "5Mi"}}, "workspace.size: is 5, which is"),
    "a number of cores in bytes": (
        {"resources": {"limits": {"cpu": "8Gi"}}},
        {"resources": {"limits": {"cpu": 64}}},
        'resources.limits.cpu: is 8Gi, which is 8589934592 cores; write "8" for cores',
    ),
    "thousandths of cores as cores": (
        {"resources": {"limits": {"cpu": 16000}}},
        {"resources": {"limits": {"cpu": "16000m"}}},
        "resources.limits.cpu: is 16000, which is 16000 cores; write 16000m for thousandths of a core",
    ),
    "a number of a device for their count": (
        {"accelerator": {"count": 1}, "train": {"device": 1}},
        {"accelerator": {"count": 1}, "train": {"device": 0}},
        'train.device: is "1", but the 1 device(s) of a pod are numbered from 0',
    ),
    "idle devices": (
        {"train": {"device": "cpu"}},
        {"train": {"device": ""}},
        "train.device: is cpu, but profile nvidia",
    ),
}


@pytest.mark.parametrize("key", UNUSED)
def test_a_setting_without_effect_is_told(key: str) -> None:
    without, within = UNUSED[key]
    section, name = key.rsplit(".", 1)
    change: Tree = {name: OTHERS.get(key, "two")}
    for part in reversed(section.split(".")):
        change = {part: change}
    assert [line.split(":")[0] for line in told(overlay(overlay(NVIDIA, without), change))] == [key]
    assert told(overlay(overlay(overlay(NVIDIA, without), within), change)) == []


@pytest.mark.parametrize("kind", ["configMapName", "secretName"])
def test_a_volume_that_cannot_be_written_to_is_told_where_it_was_to_be(kind: str) -> None:
    volume = {"name": "more", "mountPath": "/more", kind: "more"}
    (line,) = told(overlay(NVIDIA, {"volumes": [{**volume, "readOnly": False}]}))
    assert line == (
        "volumes[0].readOnly: is false, but has no effect: a ConfigMap or Secret is always mounted read-only; leave this out"
    )
    for usual in (volume, {**volume, "readOnly": True}, {**volume, "readOnly": None}):
        assert told(overlay(NVIDIA, {"volumes": [usual]})) == []


@pytest.mark.parametrize(("wrong", "right", "message"), UNLIKELY.values(), ids=UNLIKELY)
def test_an_amount_that_stands_for_another_is_told(wrong: Tree, right: Tree, message: str) -> None:
    base = overlay(NVIDIA, {"resources": {"requests": {"cpu": 1, "memory": ""}}})
    (only,) = told(overlay(base, wrong))
    assert only.startswith(message)
    assert told(overlay(base, right)) == []


def test_a_device_on_a_profile_without_devices_is_told() -> None:
    (only,) = told(overlay(CPU, {"train": {"device": "0"}}))
    assert (
        only == 'train.device: is "0", but profile cpu has no devices; leave it empty, or choose a profile with devices'
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_that_people_begin_with_is_told_nothing(family: str) -> None:
    assert told(load_values(ROOT / f"values/{family}.yaml")) == []


@pytest.mark.parametrize("profile", profile_names())
def test_no_accelerator_s_file_makes_a_setting_useless(profile: str) -> None:
    family = load_values(
        ROOT / ("values/ppyoloe.yaml" if "ascend" in profile or profile == "cambricon" else "values/yolov5.yaml")
    )
    assert told(overlay(family, load_values(ROOT / f"values/accelerators/{profile}.yaml"))) == []


def test_a_default_that_is_written_out_is_no_setting() -> None:
    assert (
        told(overlay(HAMI, {"tune": {"goal": "maximize", "seed": 0}, "workspace": {"accessMode": "ReadWriteOnce"}}))
        == []
    )


def told(values: Tree) -> list[str]:
    """The warnings about settings and amounts, without those about the image, the push and random weights."""
    found = re.findall(r"^Warning: (.*)$", render_text(values)["NOTES.txt"], re.MULTILINE)
    return [
        line
        for line in found
        if not re.match(r"image:|workspace[.]type:|sharedMemory: .* is small|git[.]secretName:|.*random weights", line)
    ]
