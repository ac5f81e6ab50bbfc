"""A value of the wrong shape is told with its place, what was found and what would be right."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.values.checks import NVIDIA, YOLOV5, check, found, told
from trainchart.chart.families import family_data
from trainchart.values.schema_errors import without_password
from trainchart.values.validate import validate

# What is written, and what is told of it: all of it.
WRONG = {
    "accelerator: {count: two}": "1:15 accelerator.count: 'two' is not a whole number from 1 to 1000",
    "accelerator: {count: 0}": "1:15 accelerator.count: 0 is less than 1",
    "accelerator: {corePercent: half}": "1:15 accelerator.corePercent: 'half' is not a whole number from 1 to 100",
    "replicas: 0": "1:1 replicas: 0 is less than 1",
    "replicas: 1001": "1:1 replicas: 1001 is more than 1000",
    "replicas: 1.5": "1:1 replicas: 1.5 is not a whole number from 1 to 1000",
    'replicas: "010"': "1:1 replicas: '010' is not a whole number from 1 to 1000",  # which would be 8
    'replicas: "2"': "1:1 replicas: '2' is not a whole number from 1 to 1000; take it out of the quotes",
    "timeLimit: 5 hours": "1:1 timeLimit: '5 hours' is not a duration: one whole number above 0 and s, m, h or d, such as 90m or 72h",
    "publish: {type: svn}": "1:11 publish.type: 'svn' is not one of git, s3, none",
    "workspace: {type: emptydir}": (
        "1:13 workspace.type: 'emptydir' is not one of emptyDir, ephemeral, newClaim, existingClaim; did you mean 'emptyDir'?"
    ),
    "replica: 2": "1:1 replica: unknown key, did you mean 'replicas'?",
    "accelerator: {core_percent: 5}": "1:15 accelerator.core_percent: unknown key, did you mean 'corePercent'?",
    "train: {imgsize: 5}": "1:9 train.imgsize: unknown key, did you mean 'imageSize'?",
    "epochs: 3": "1:1 epochs: unknown key here, did you mean 'train.epochs'?",
    "git: {xyzzy: 1}": "1:7 git.xyzzy: unknown key; git has allowPlainHttp, knownHostsKey",
    "model: {revision: 5}": "1:9 model.revision: 5 is not text; put it in quotes: '5'",
    "model: {revision: on}": (
        "1:9 model.revision: on is not text; put it in quotes: 'on' (YAML reads yes, no, on and off without "
        "them as true and false)"
    ),
    "git: {allowPlainHttp: 'yes'}": (
        "1:7 git.allowPlainHttp: 'yes' is not true or false; take it out of the quotes"
    ),
    "train: [1]": (
        f"1:1 train: a list is not a map; its keys are {', '.join(sorted(family_data('yolov5')['defaults']['train']))}"
    ),
    "model: https://x": "1:1 model: 'https://x' is not a map; write model: {repository: 'https://git.example.com/team/model.git'}",
    "imagePullSecrets: name": "1:1 imagePullSecrets: 'name' is not a list; write imagePullSecrets: [registry-credentials]",
    "env: {JOB_GROUP: x}": "1:7 env.JOB_GROUP: cannot be set: it identifies the run and the pod; leave it out",
    "secretEnv: {JOB_GROUP: {secretName: s, key: k}}": "1:13 secretEnv.JOB_GROUP: cannot be set: it identifies the run and the pod; leave it out",
    "secretEnv: {A: {secretName: s}}": "1:13 secretEnv.A: has no key key, which is required",
    "secretEnv: {A-B: {secretName: s, key: k}}": "1:13 secretEnv.A-B: is not allowed as a key here; it must be the name of a variable: a letter, then letters, digits and '_'",
    "secretEnv: {A: sesame}": "1:13 secretEnv.A: its value is not a map; its keys are key, secretName",
    "secretEnv: {A: {secretName: s, key: k, value: x}}": "1:40 secretEnv.A.value: unknown key; its value is a key of a Secret: write {secretName: NAME, key: KEY}",
    "secretFiles: {/root/.netrc: {secretName: s, key: k}}": "1:15 secretFiles[\"/root/.netrc\"]: is not allowed as a key here; it must be a path below the home directory, such as .netrc: letters, digits, '-', '_' and '.'",
    "secretFiles: {a/../b: {secretName: s, key: k}}": "1:15 secretFiles[\"a/../b\"]: is not allowed as a key here; it must be a path below the home directory, such as .netrc: letters, digits, '-', '_' and '.'",
    "env: {A: }": "1:7 env.A: is empty; write text",
    "tolerations:\n- {key: a}\n- b": "3:3 tolerations[1]: 'b' is not a map; write tolerations: [{key: nvidia.com/gpu, operator: Exists}]",
    "train:\n  arguments:\n    - --a\n    - 1": "4:7 train.arguments[1]: 1 is not text; put it in quotes: '1'",
    'nodeSelector:\n  "example.com/gpu": 1': (
        "2:3 nodeSelector[\"example.com/gpu\"]: 1 is not text; put it in quotes: '1'"
    ),
    "affinity: {nodeAfinity: {}}": "1:12 affinity.nodeAfinity: unknown key, did you mean 'nodeAffinity'?",
    "affinity: {nodeAffinity: {preferred: []}}": (
        "1:27 affinity.nodeAffinity.preferred: unknown key, did you mean "
        "'preferredDuringSchedulingIgnoredDuringExecution'?"
    ),
    "affinity: {nodeAffinity: x}": "1:12 affinity.nodeAffinity: 'x' is not a map",
    "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}": (
        "1:76 affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: is empty and needs at "
        "least 1; add one, or leave this out"
    ),
    "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{}]}}": (
        "1:75 affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]: has no key topologyKey, which is required"
    ),
    "tolerations: [{key: gpu, efect: NoSchedule}]": (
        "1:26 tolerations[0].efect: unknown key, did you mean 'effect'?"
    ),
    "tolerations: [{key: gpu, operator: Exist}]": (
        "1:26 tolerations[0].operator: 'Exist' is not one of Exists, Equal; did you mean 'Exists'?"
    ),
    "networkPolicy: {egress: [{too: []}]}": "1:27 networkPolicy.egress[0].too: unknown key, did you mean 'to'?",
    "networkPolicy: {egress: [{to: [{}]}]}": (
        "1:32 networkPolicy.egress[0].to[0]: is empty and needs at least 1; add one, or leave this out"
    ),
    "networkPolicy: {egress: [{to: [{ipBlock: {cidr: 10.0.0.0}}]}]}": (
        "1:43 networkPolicy.egress[0].to[0].ipBlock.cidr: '10.0.0.0' is not a range of addresses with the "
        "length of its prefix, such as 10.0.0.0/8"
    ),
    "nodeSelector: {a b: c}": (
        "1:16 nodeSelector[\"a b\"]: is not allowed as a key here; it must be the key of a label, such as "
        "example.com/gpu: letters, digits, '-', '_' and '.'"
    ),
    "accelerator: {count: 1e20}": "1:15 accelerator.count: 1e20 is more than 1000",
    "image: https://registry/x": (
        "1:1 image: 'https://registry/x' is not the name of an image: HOST/PATH:TAG in lower case, without "
        "https:// and blanks, such as registry.example.com/training/yolo:7.0"
    ),
    "image: ' x:1'": (
        "1:1 image: ' x:1' is not the name of an image: HOST/PATH:TAG in lower case, without https:// and "
        "blanks, such as registry.example.com/training/yolo:7.0"
    ),
    "image: a/B:1": (
        "1:1 image: 'a/B:1' is not the name of an image: HOST/PATH:TAG in lower case, without https:// and "
        "blanks, such as registry.example.com/training/yolo:7.0"
    ),
    "image: a:1:2": (
        "1:1 image: 'a:1:2' is not the name of an image: HOST/PATH:TAG in lower case, without https:// and "
        "blanks, such as registry.example.com/training/yolo:7.0"
    ),
    "securityContext: {runAsUser: 2147483648}": "1:19 securityContext.runAsUser: 2147483648 is more than 2147483647",
    "git: {tokenKey: ..}": "1:7 git.tokenKey: '..' is not the key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'",
    f"queue: {'q' * 254}": f"1:1 queue: '{'q' * 57}...' has 254 characters; the maximum is 253",
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=lambda text: text[:30])
def test_a_value_of_the_wrong_shape_is_told_alone_with_place_value_and_fix(
    tmp_path: Path, text: str, message: str
) -> None:
    (only,) = found(tmp_path, text)
    assert only.startswith(message) if message.endswith(" has ") or "unknown key; " in message else only == message


@pytest.mark.parametrize(
    "name", ["HOME", "TERMINATION_LOG", "JOB_ATTEMPT", "VC_TASK_INDEX", "VC_TRAIN_HOSTS", "VK_TASK_INDEX", "POD_IP"]
)
def test_what_says_which_run_and_pod_it_is_cannot_be_set_in_env(name: str, tmp_path: Path) -> None:
    (only,) = found(tmp_path, f"env: {{{name}: '1', LD_PRELOAD: a.so, PATH: /opt, JOB_ID: '7', MY_POD_IP: x}}")
    assert only.startswith(f"1:7 env.{name}: cannot be set")


def test_an_unknown_family_is_answered_with_the_known_ones_and_the_likely_one(tmp_path: Path) -> None:
    (only,) = found(tmp_path, "family: yolo5")
    assert re.fullmatch(r"1:1 family: 'yolo5' is not one of .*\byolov5\b.*; did you mean 'yolov5'\?", only)


def test_a_quantity_says_how_one_looks(tmp_path: Path) -> None:
    (message,) = found(tmp_path, "resources: {limits: {memory: 20 GB}}")
    assert message == (
        "1:22 resources.limits.memory: '20 GB' is not a quantity: a number and, without a blank, none or one of m, k, M, G, "
        "T, Ki, Mi, Gi, Ti, such as 20Gi; did you mean 20Gi?"
    )
    assert found(tmp_path, "resources: {limits: {memory: yes}}") == [
        "1:22 resources.limits.memory: yes is not text such as 20Gi or a number from 0.001 to 1000000000000000"
    ]


@pytest.mark.parametrize("text", ["", "replicas: 1", "accelerator: {count: 2}", "train: {epochs: }", "env: {A: '1'}"])
def test_a_value_of_the_right_shape_is_not_told(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_everything_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "replicas: 0\nqueues: a\ntrain:\n  epochs: many\n  epoch: 1\nimage: 5\n"
    assert [told.split(": ")[0] for told in found(tmp_path, text)] == [
        "1:1 replicas", "2:1 queues", "4:3 train.epochs", "5:3 train.epoch", "6:1 image",
    ]  # fmt: skip


def test_rules_about_other_sections_are_told_together_with_a_wrong_shape(tmp_path: Path) -> None:
    text = "replicas: 0\nmodel: {repository: ''}\naccelerator: {profil: cpu, memory: 1k}\n"
    report = check(tmp_path, text)
    assert [(diagnostic.key, diagnostic.source) for diagnostic in report.diagnostics] == [
        ("replicas", "schema"), ("model.repository", "rule"), ("accelerator.profil", "schema"),
    ]  # fmt: skip


def test_rules_do_not_judge_a_value_of_the_wrong_shape_and_reach_those_behind_it(tmp_path: Path) -> None:
    text = "image: ''\nreplicas: 1001\nresources: {limits: {memory: true}}\n"
    report = check(tmp_path, text, YOLOV5, NVIDIA)
    assert [diagnostic.key for diagnostic in report.diagnostics if diagnostic.severity == "error"] == [
        "image", "replicas", "resources.limits.memory",
    ]  # fmt: skip


def test_the_last_file_that_sets_a_value_is_pointed_to(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{number}.yaml" for number in "123")
    first.write_text("replicas: 0\nmodel: {revision: 1, repository: https://a/b}\n")
    second.write_text("\nreplicas: -1\n")
    third.write_text("model:\n  repository: https://git.example.com/d\n")
    diagnostics = validate([str(YOLOV5), str(first), str(second), str(third)]).diagnostics
    assert [(diagnostic.file, told(diagnostic)) for diagnostic in diagnostics if diagnostic.severity == "error"] == [
        (str(first), "2:9 model.revision: 1 is not text; put it in quotes: '1'"),
        (str(second), "2:1 replicas: -1 is less than 1"),
    ]


def test_a_later_file_can_put_an_earlier_one_right(tmp_path: Path) -> None:
    wrong, right = tmp_path / "wrong.yaml", tmp_path / "right.yaml"
    wrong.write_text("replicas: 0\nmodel: 5\ntolerations: [1]\n")
    right.write_text("replicas: 1\nmodel: {repository: https://a/b}\ntolerations: []\n")
    assert not validate([str(YOLOV5), str(wrong)]).valid
    assert validate([str(YOLOV5), str(wrong), str(right)]).valid


def test_a_replaced_list_is_pointed_to_where_it_is_replaced(tmp_path: Path) -> None:
    below = tmp_path / "below.yaml"
    below.write_text("tolerations:\n- {}\n- {}\n- 3\n")
    assert found(tmp_path, "\ntolerations: [a]", YOLOV5, below) == [
        "2:15 tolerations[0]: 'a' is not a map; write tolerations: [{key: nvidia.com/gpu, operator: Exists}]"
    ]


def test_a_null_deletes_the_chart_s_default_and_stays_where_there_is_none(tmp_path: Path) -> None:
    assert found(tmp_path, "replicas: ") == []
    assert found(tmp_path, "family: ", source="rule")[0].startswith("1:1 family: is not set; choose one of: ")
    assert found(tmp_path, "env: {A: }") == ["1:7 env.A: is empty; write text"]


def test_aliases_and_merged_maps_are_found_where_they_are_written(tmp_path: Path) -> None:
    text = "env: &env {A: 1}\nnodeSelector:\n  <<: *env\n  B: 'b'\nglobal: *env\n"
    assert found(tmp_path, text) == [
        "1:12 env.A: 1 is not text; put it in quotes: '1'",
        "1:12 nodeSelector.A: 1 is not text; put it in quotes: '1'",
    ]


@pytest.mark.lab
def test_a_file_full_of_wrong_keys_is_answered_soon_and_not_in_full(tmp_path: Path) -> None:
    def took(keys: int) -> float:
        start = time.process_time()
        found(tmp_path, "".join(f"replica{number}: 1\n" for number in range(keys)))
        return time.process_time() - start

    messages = found(tmp_path, "".join(f"replica{number}: 1\n" for number in range(10_000)))
    assert messages.pop(0) == "None:None None: more than 100 values are wrong; these are some of them"
    assert len(messages) == 100
    assert took(10_000) < 40 * took(1_000), "the time grows with the square of their number"


def test_a_password_in_a_url_is_never_repeated(tmp_path: Path) -> None:
    text = "model: {repository: 'https://me:sesame@git/m.git'}\nqueue: 'https://me:sesame@git/m.git'\ntrain: {x: {y: 'ftp://sesame@z'}}"
    diagnostics = check(tmp_path, text).diagnostics
    assert {diagnostic.key for diagnostic in diagnostics} == {"model.repository", "queue", "train.x"}
    assert "sesame" not in repr(diagnostics)
    assert "https://***@git/m.git" in repr(diagnostics)


@pytest.mark.parametrize(
    "url",
    [
        *("https:///me:sesame@git/m", "https://https://me:sesame@git/m", "https://me:ses/sesame@git/m"),
        *("https:/me:sesame@git/m", "https//me:sesame@git/m", "//me:sesame@git/m", "me:sesame@git/m"),
        *("git clone https://me:sesame@git/m", "https://me:sesame%40git/m", "https://me%3Asesame%40git/m"),
    ],
)
def test_a_password_in_a_mistyped_url_is_not_repeated_either(tmp_path: Path, url: str) -> None:
    diagnostics = check(tmp_path, f"family: yolov5\nmodel: {{repository: '{url}'}}\nqueue: '{url}'\n").diagnostics
    assert {diagnostic.key for diagnostic in diagnostics} >= {"queue"}
    assert "sesame" not in repr(diagnostics)


def test_a_text_that_no_message_quotes_is_not_in_the_json_either(tmp_path: Path) -> None:
    text = (
        "git: {token: sesame, secretName: ghp_sesameSESAMEsesame}\nproxy: {password: sesame}\npublish: {token: {value: [sesame]}}\nmlflow: dapiSesame0sesame0sesame\n"
        "secretEnv: {A: sesame, B: {secretName: b, key: sesame/sesame/sesame}}\nqueue: A queue\n"
    )
    by_key = {found.key: found.value for found in check(tmp_path, f"family: yolov5\n{text}").diagnostics}
    assert "sesame" not in repr(by_key)
    assert by_key["git.token"] == "***"
    assert by_key["queue"] == "A queue"


def test_a_secret_that_a_rule_refuses_is_not_in_the_json(tmp_path: Path) -> None:
    text = "env: {MY_PASSWORD: sesame}\ntrain: {arguments: [--api-key, sesame]}\n"
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    diagnostics = validate([str(YOLOV5), str(tmp_path / "own.yaml")]).diagnostics
    assert {"env.MY_PASSWORD", "train.arguments"} <= {found.key for found in diagnostics}
    assert "sesame" not in repr(diagnostics)


def test_a_name_that_no_variable_of_the_environment_has_is_told_with_those_that_it_can_have(tmp_path: Path) -> None:
    told = [
        found.message
        for found in check(tmp_path, "family: yolov5\nenv: {A-B: x}\n").diagnostics
        if found.key == "env.A-B"
    ]
    assert told == [
        "is not allowed as a key here; it must be the name of a variable: a letter, then letters, digits and '_'"
    ]


def test_an_image_with_a_digest_is_shown_whole() -> None:
    image = f"yolov5:7.0@sha256:{'0' * 64}"
    assert without_password(image) == image
