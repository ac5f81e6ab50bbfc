"""The rules across values: each refuses with the key, the value and the fix, and leaves its neighbour alone."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runner import settings
from runner.errors import RunnerError
from tests.chart.matrix import FAMILIES, ROOT
from tests.chart.rules import CUSTOM, HAMI, NVIDIA, RULES, STORED, Rule
from tests.conftest import rows
from tests.runner.conftest import sample_settings
from trainchart.chart.paths import CHART, LIB
from trainchart.chart.render import render
from trainchart.errors import RenderError
from trainchart.files import Tree, load_values, overlay

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
    "a request that is its limit, in other units": (HAMI, {"resources": {"requests": {"cpu": 8, "memory": "20480Mi"}}}),
    "a profile of the user's own": (
        NVIDIA,
        {
            "accelerator": {
                "profile": "ours",
                "profiles": {
                    "ours": {
                        "title": "our cards",
                        "backend": "cuda",
                        "resources": {"count": {"name": "example.com/card"}},
                        "processes": "perDevice",
                    }
                },
            }
        },
    ),
    "as much shared memory as memory": (HAMI, {"sharedMemory": "20Gi"}),
    "no memory limit": (HAMI, {"sharedMemory": "200Gi", "resources": {"limits": {"memory": ""}}}),
    "a batch that can be shared": (NVIDIA, {"accelerator": {"count": 4}, "replicas": 2}),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_pushed_has_to_go_somewhere(family: str) -> None:
    values = load_values(ROOT / f"values/{family}.yaml")
    with pytest.raises(RenderError, match=r"publish\.repository: is empty"):
        render(overlay(values, {"publish": {"repository": ""}}))


@pytest.mark.parametrize("rule", rows(RULES.values(), *list(RULES.values())[::2]), ids=RULES)
def test_a_broken_rule_is_told_in_full_and_alone(rule: Rule) -> None:
    assert broken_rules(overlay(rule.base, rule.broken)) == [rule.message]


@pytest.mark.parametrize("rule", rows(RULES.values(), *list(RULES.values())[::6]), ids=RULES)
def test_the_other_side_of_a_rule_is_allowed(rule: Rule) -> None:
    assert broken_rules(overlay(rule.base, rule.kept)) == []


@pytest.mark.parametrize(("base", "change"), ALLOWED.values(), ids=ALLOWED)
def test_what_looks_forbidden_may_be_allowed(base: Tree, change: Tree) -> None:
    assert broken_rules(overlay(base, change)) == []


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        *[(path, True) for path in ("datasets/coco128", "./a//b/", "a.git", "outputs", "a/output", "..a", "yolov5s")],
        *[(path, False) for path in (".", "./", "a/../b", "..", "/a", "Output", "./state", "logs/a", "result.json")],
        *[(path, False) for path in ("yolov5", "YOLOv5/", "yolov5//data", ".git", "a/.GIT", "previous/x", "publish")],
    ],
)
def test_the_chart_and_the_runner_judge_a_path_alike(path: str, allowed: bool, tmp_path: Path) -> None:
    assert bool(broken_rules(overlay(HAMI, {"dataset": {"path": path}}))) is not allowed
    told = sample_settings()
    told["dataset"]["path"] = path
    (tmp_path / "settings.json").write_text(json.dumps(told))
    shutil.copy(LIB / "files/pod.json", tmp_path)
    with contextlib.nullcontext() if allowed else pytest.raises(RunnerError, match=r"dataset\.path"):
        settings.load(tmp_path)


SECRETS = {  # of the forms that each issuer documents, with characters of our own
    "HF": f"hf_{'aB1' * 12}",
    "GH": f"ghp_{'aB1' * 12}",
    "FINE": f"github_pat_{'aB1_' * 20}",
    "GL": f"glpat-{'aB1-' * 5}",
    "AWS": "AKIA" + "Q2" * 8,
    "STS": "ASIA" + "Q2" * 8,
    "ALIYUN": "LTAI" + "5t" * 10,
    "OPENAI": f"sk-proj-{'aB1' * 12}",
    "DASHSCOPE": f"sk-{'a1' * 16}",
    "NGC": f"nvapi-{'aB1' * 20}",
    "SLACK": "xoxb-1234567890-abcdef",
    "JWT": f"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{'aB1' * 10}",
    "WANDB": "0123456789abcdef" * 2 + "01234567",
    "WANDB_API": f"local-{'0123456789abcdef' * 2}01234567",
    "PEM": "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
    "INDEX": "https://me:pass@pypi.example.com/simple",
    **dict.fromkeys(
        (
            "HF_TOKEN",
            "HUGGING_FACE_HUB_TOKEN",
            "hf_token",
            "githubToken",
            "WANDB_API_KEY",
            "SWANLAB_API_KEY",
            "MODELSCOPE_API_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "CLEARML_API_ACCESS_KEY",
            "CLEARML_API_SECRET_KEY",
            "MLFLOW_TRACKING_PASSWORD",
            "DB_PWD",
            "CLIENT_SECRET",
            "APIKEY",
            "SSH_PASSPHRASE",
        ),
        "sesame-1",
    ),
    "ROOT_PASSWORD": "12345678",
}
NO_SECRETS = {
    "TOKENIZERS_PARALLELISM": "false",
    "MAX_TOKENS": "4096",
    "MAX_TOKEN": "4096",
    "PAD_TOKEN": "<pad>",
    "EOS_TOKEN": "</s>",
    "IM_END_TOKEN": "<|im_end|>",
    "MASK_TOKEN": "[MASK]",
    "USE_AUTH_TOKEN": "True",
    "HF_TOKEN": "",
    "HF_TOKEN_PATH": "/tmp/home/.cache/huggingface/token",
    "GOOGLE_APPLICATION_CREDENTIALS": "/tmp/home/gcp.json",
    "SSL_KEY": "/etc/tls/tls.key",
    "SORT_KEY": "area",
    "KEY_COLUMN": "label",
    "GIT_COMMIT": "0123456789abcdef" * 2 + "01234567",
    "DATA_SHA": "0123456789abcdef" * 2 + "01234567",
    "MD5": "0123456789abcdef" * 2,
    "HF_HUB_ENABLE_HF_TRANSFER": "1",
    "MODEL": "sk-learn-baseline-with-a-long-name",
    "NCCL_DEBUG": "INFO",
    "HTTPS_PROXY": "http://proxy.example.com:3128",
    "EMAIL": "me@example.com",
    "WANDB_MODE": "offline",
    "AWS_ENDPOINT_URL": "https://s3.example.com",
    "PWD": "/workspace",
    "MONKEY": "george",
    "SECRETARY": "ada",
    "PASSWORDLESS": "yes please",
}


def test_what_looks_like_a_secret_is_refused_in_env_and_not_shown() -> None:
    found = broken_rules(overlay(CUSTOM, {"env": SECRETS}))
    assert sorted(line.partition(":")[0] for line in found) == sorted(f"env.{name}" for name in SECRETS)
    assert not [value for value in SECRETS.values() if value in " ".join(found)]


def test_what_only_sounds_like_a_secret_is_allowed_in_env() -> None:
    assert broken_rules(overlay(CUSTOM, {"env": NO_SECRETS})) == []


WITH_PASSWORD = [
    "https://me:sesame@g.example/m",
    "HTTPS://me:sesame@g.example/m",
    "ssh://me:sesame@g.example/m",
    "ssh://me:sesame@g.example:22/m",
    "me:sesame@g.example:m",
    "ssh://git@me:sesame@g.example/m",
    "git+ssh://me:sesame@g.example/m",
    "ssh://git@g.example/m?t=sesame",
    "git@g.example:m#sesame",
    "me:sesame@g.example/m",
    "https://g.example/m.git?access_token=sesame",
    "https://g.example?private_token=sesame",
    "http://g.example/m#sesame",
    "ssh://g.example/m?t=sesame",
    "https:///me:sesame@g.example/m",
    "http:///me:sesame@g.example/m",
    "https://https://me:sesame@g.example/m",
    "https://me:ses/sesame@g.example/m",
    "https://g.example/https://me:sesame@g.example/m",
    "https:/me:sesame@g.example/m",
    "https//me:sesame@g.example/m",
    "https;//me:sesame@g.example/m",
    "//me:sesame@g.example/m",
    "me/sesame@g.example",
    "git clone https://me:sesame@g.example/m",
    "git@g.example:me:sesame@h/m",
    "https://me:sesame%40g.example/m",
    "https://me%3Asesame%40g.example/m",
    "https:/me:sesame%40g.example/m",
]
URLS: dict[str, Callable[[str], Tree]] = {
    "model": lambda url: {"model": {"repository": url}},
    "dataset": lambda url: {"dataset": {"repository": url}},
    "publish": lambda url: {"publish": {"repository": url}},
    "endpoint": lambda url: {"model": {"type": "s3", "bucket": "b", "endpoint": url, "repository": ""}},
    "of another type": lambda url: {
        "model": {"type": "s3", "bucket": "b", "endpoint": "https://s3.example.com", "repository": url}
    },
    "of git": lambda url: {"model": {"endpoint": url}},
    "of a claim": lambda url: {"dataset": {"type": "claim", "claimName": "c", "repository": url}},
    "tracking": lambda url: {"mlflow": {"trackingUri": url}},
    "tracked": lambda url: {"mlflow": {"trackingUri": url, "secretName": "ml", "tokenKey": "T"}},
}


@pytest.mark.parametrize(
    ("place", "url"),
    [
        # Each place is met, and each spelling; the lab tries all of them everywhere.
        pytest.param(place, url, marks=[pytest.mark.lab] * (row % len(URLS) != column))
        for row, url in enumerate(WITH_PASSWORD)
        for column, place in enumerate(URLS)
    ],
)
def test_a_password_or_token_in_a_url_is_refused_wherever_a_url_stands_and_shown_in_no_spelling(
    place: str, url: str
) -> None:
    told = broken_rules(overlay(HAMI, URLS[place](url)))
    assert told
    assert "sesame" not in "".join(told)


ENDPOINTS = {
    # As users of boto3, the AWS CLI and their own tools write them.
    "": "that of AWS is https://s3.eu-central-1.amazonaws.com, with your region",
    "s3.amazonaws.com": "write it as https://s3.amazonaws.com",
    "s3.eu-west-1.amazonaws.com/": "write it as https://s3.eu-west-1.amazonaws.com",
    "oss-cn-hangzhou-internal.aliyuncs.com": "write it as https://oss-cn-hangzhou-internal.aliyuncs.com",
    "minio:9000": "write it as http://minio:9000",
    "minio.storage.svc:9000": "write it as http://minio.storage.svc:9000",
    "10.0.0.7:9000": "write it as http://10.0.0.7:9000",
    "https://s3.example.com/coco": "write it as https://s3.example.com",
    "https://s3.example.com/coco/": "write it as https://s3.example.com",
    "https://s3.example.com/coco/train/": "write it as https://s3.example.com, and the folder in dataset.prefix: train",
    "https://account.r2.cloudflarestorage.com/coco": "write it as https://account.r2.cloudflarestorage.com",
    "https://s3.example.com/tenant/data": "write it as https://s3.example.com, and the folder in dataset.prefix: tenant/data",
    "s3://coco/train/": "write the bucket in dataset.bucket: coco, and the folder in dataset.prefix: train",
    "oss://coco": "write the bucket in dataset.bucket: coco",
    "cos://coco-1250000000": "write the bucket in dataset.bucket: coco-1250000000",
    "HTTPS://S3.example.com": "write it as https://s3.example.com",
    "ftp://s3.example.com": "write http:// or https://, a host, and a port or none",
    "https://s3.example.com:99999": "write http:// or https://, a host, and a port or none",
    "s3://key:sesame@coco": "set credentials with dataset.secretName",
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_that_is_no_url_of_a_store_is_refused_with_the_right_one(endpoint: str) -> None:
    (told,) = broken_rules(overlay(HAMI, {"dataset": {**STORED, "endpoint": endpoint}}))
    assert told == (
        "dataset.endpoint: must be only the URL of an object store, such as https://s3.example.com; "
        f"{ENDPOINTS[endpoint]}"
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        *(
            "http://minio:9000/",
            "https://s3.dualstack.us-east-1.amazonaws.com",
            "https://s3-fips.us-gov-west-1.amazonaws.com",
        ),
        *("https://s3-accelerate.amazonaws.com", "https://storage.googleapis.com", "http://[fd00::7]:9000"),
        *("https://coco.oss-cn-hangzhou.aliyuncs.com", "https://cos.ap-guangzhou.myqcloud.com"),
    ],
)
def test_an_endpoint_of_a_store_is_accepted(endpoint: str) -> None:
    assert not broken_rules(overlay(HAMI, {"dataset": {**STORED, "endpoint": endpoint}}))


PLACES: dict[str, tuple[Callable[[str], Tree], dict[str, bool]]] = {
    "a repository": (
        lambda url: {"dataset": {"repository": url}},
        {
            **dict.fromkeys(
                ("https://h/x", "https://h.:8443//x", "https://[::1]:1/x", "https://münchen.example/x"), True
            ),
            **dict.fromkeys(("https://h_x/a@b/c", "https://h/%20/~x;y", "https://H:65535/x"), True),
            **dict.fromkeys(
                ("https://", "https:///x", "https://h", "https://h//", "https://h:0x/x", "https://h:65536/x"), False
            ),
            **dict.fromkeys(
                ("https://[::1/x", "https://[z]/x", "https://h h/x", "https://h/x ", "https://a\u2100b/x"), False
            ),
        },
    ),
    "an object store": (
        lambda url: {"dataset": {"type": "s3", "repository": "", "bucket": "b", "endpoint": url}},
        {
            **dict.fromkeys(("http://h", "https://h:9000/", "https://[::1]"), True),
            **dict.fromkeys(("https://h:abc", "https://h:99999", "https://[::1", "https:// h"), False),
        },
    ),
    "a tracker": (
        lambda url: {"mlflow": {"trackingUri": url}},
        {
            **dict.fromkeys(("http://h", "https://h:9000/a@b/c", "https://[::1]"), True),
            **dict.fromkeys(
                ("https://h:abc", "https://h:99999/x", "https://[::1", "https:// h", "https://h/a b"), False
            ),
        },
    ),
    "a branch": (
        lambda name: {"publish": {"branch": name}},
        {
            **dict.fromkeys(("main", "a/b.c-d_e", "a.locked", "1"), True),
            **dict.fromkeys(("a..b", "a//b", "a/", "a.", "a/.b", "a.lock", "a.lock/b", "HEAD"), False),
        },
    ),
    "a revision": (
        lambda name: {"model": {"revision": name}},
        {
            **dict.fromkeys(("main", "refs/tags/v7.0", "HEAD", "0" * 40, "日本", "a@b"), True),
            **dict.fromkeys(("-main", "a b", " "), False),
        },
    ),
}


@pytest.fixture(scope="module")
def without_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as it would be without its rules."""
    copied = tmp_path_factory.mktemp("chart") / "train"
    shutil.copytree(CHART, copied, ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "charts/lib/templates/rules/_all.tpl").write_text('{{ define "train.rules" }}{{ end }}', encoding="utf-8")
    return copied


REFUSED_BY_THE_RUNNER = [
    (change, text, allowed) for change, texts in PLACES.values() for text, allowed in texts.items()
]


@pytest.mark.parametrize(
    "case",
    rows(REFUSED_BY_THE_RUNNER, *REFUSED_BY_THE_RUNNER[::5]),
    ids=[f"{place} {text!a}" for place, (_, texts) in PLACES.items() for text in texts],
)
def test_what_the_runner_refuses_is_refused_before_anything_is_installed(
    without_rules: Path, case: tuple[Callable[[str], Tree], str, bool], tmp_path: Path
) -> None:
    change, text, allowed = case
    values = overlay(HAMI, change(text))
    assert bool(broken_rules(values)) is not allowed
    (texts,) = [body["data"] for body in render(values, chart=without_rules) if body["kind"] == "ConfigMap"]
    for name in ("settings.json", "pod.json"):
        (tmp_path / name).write_text(texts[name], encoding="utf-8")
    with contextlib.nullcontext() if allowed else pytest.raises(RunnerError, match=r"is not a|must"):
        settings.load(tmp_path)


ADDRESSES = (
    *(
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.0.0.0/9",
        "10.128.0.0/9",
        "11.0.0.0/16",
        "0.0.0.0/0",
        "10.1.2.3/32",
        "10.1.0.9/16",
    ),
    *("::/0", "fd00::/8", "FD00:1::/32", "fe80::/10", "::1/128", "1:2:3:4:5:6:7:8/128", "1:2::7:8/64", "1:2:3::/48"),
)


def test_an_exception_is_judged_as_addresses_are_counted() -> None:
    """As the API server does it: the first address lies in the block, and the exception is smaller than it."""
    blocks = {text: ipaddress.ip_interface(text).network for text in ADDRESSES}
    expected, told = {}, {}
    for cidr, block in blocks.items():
        target = {"ipBlock": {"cidr": cidr, "except": list(ADDRESSES)}}
        found = " ".join(broken_rules(overlay(HAMI, {"networkPolicy": {"egress": [{"to": [target]}]}})))
        told[cidr] = {text for number, text in enumerate(ADDRESSES) if f"except[{number}]:" not in found}
        expected[cidr] = {
            text
            for text, other in blocks.items()
            if other.version == block.version and other.prefixlen > block.prefixlen and other.network_address in block
        }
    assert told == expected
    assert sum(map(len, expected.values())) > 20


def test_every_rule_of_the_chart_is_among_them() -> None:
    told = [rule.message for rule in RULES.values()]
    for path in LIB.glob("templates/rules/_*.tpl"):
        rule = r'append \$violations \(?(?:printf )?"((?:[^"\\]|\\.)*)"'
        for text in re.findall(rule, path.read_text(encoding="utf-8")):
            words = re.escape(text).replace("%q", '".*"')
            pattern = re.sub(r"%[vds]", ".*", words)
            release = text.startswith("release name")
            assert release or any(re.fullmatch(pattern, message) for message in told), f"{path.name}: {text}"


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
    with pytest.raises(RenderError, match=r'family: "yolo5" does not exist; choose one of: .*yolov5'):
        render(overlay(HAMI, {"family": "yolo5"}))
    with pytest.raises(RenderError, match=r'accelerator.profile: "gpu" does not exist; choose one of: amd, .*nvidia'):
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
