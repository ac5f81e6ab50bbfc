"""Sources on volumes: a dataset on a claim, a shared cache, and a full one; a workspace for every pod; further volumes, and
keys of Secrets for the trainer. Its runs take seconds.
"""

from __future__ import annotations

from e2e.cases import Case, Values
from e2e.fixtures import custom

RESULTS = "volumes-trained"
# Claims on static volumes: folders of the node below kind.VOLUMES; `small` is a file system of a few kilobytes.
DATA, CACHE, EMPTY, SMALL = "data", "cache", "empty-cache", "small-cache"
SUB_PATH = "datasets/points"  # of the claim with the data
FULL = "full{session}"  # a branch
TRAINER_SECRET, WORD = "trainer-secret", "correct-horse-battery"
_SEES_ALL = """
import os, pathlib
home, word = pathlib.Path.home(), os.environ["API_KEY"]
print("the key is", word, flush=True)
assert (home / ".config/service/key").read_text() == word
assert "BEGIN CERTIFICATE" in pathlib.Path("/etc/ours/ca.crt").read_text()
assert pathlib.Path("/etc/license/word").read_text() == word
assert pathlib.Path("/mnt/points/points.csv").stat().st_size
try:
    pathlib.Path("/mnt/points/new").touch()
except OSError as error:
    print("refused:", error.strerror, flush=True)
scratch = pathlib.Path("/mnt/scratch/large")
scratch.write_bytes(bytes(1 << 20))
pathlib.Path(os.environ["ARTIFACTS_DIR"], "seen.json").write_text("{}")
"""

_PUBLISHED: Values = {"publish": {"repository": f"https://gitea.git.svc:3000/team/{RESULTS}.git"}}


def _claimed(folder: str) -> Values:
    return {**_PUBLISHED, "dataset": {"type": "claim", "repository": "", "claimName": DATA, "subPath": folder}}


def _cached(claim: str, read_only: bool = False) -> Values:
    return {
        **_PUBLISHED,
        "model": {"cached": True},
        "dataset": {"cached": True},
        "cache": {"claimName": claim, "readOnly": read_only},
    }


CASE = Case(
    image="custom-minimal",
    family="custom",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    results=(RESULTS,),
    runs={
        "claimed": _claimed(SUB_PATH),
        "wrong-folder": _claimed("datasets/pionts"),
        "fills": _cached(CACHE),
        "finds": _cached(CACHE),
        "only-reads": _cached(CACHE, read_only=True),
        "only-reads-nothing": _cached(EMPTY, read_only=True),
        "full": {**_cached(SMALL), "publish": {**_PUBLISHED["publish"], "branch": FULL}},
        "enlarged": _cached(SMALL),
        "ephemeral": {**_PUBLISHED, "replicas": 2, "workspace": {"type": "ephemeral", "size": "64Mi"}},
        "further": {
            **_PUBLISHED,
            "train": {
                "command": ["python3", "-c", _SEES_ALL],
                "exportCommand": [],
                "metricsFile": "",
                "lfsPatterns": [],
            },
            "secretEnv": {"API_KEY": {"secretName": TRAINER_SECRET, "key": "word"}},
            "secretFiles": {".config/service/key": {"secretName": TRAINER_SECRET, "key": "word"}},
            "volumes": [
                {
                    "name": "points",
                    "claimName": DATA,
                    "subPath": SUB_PATH,
                    "mountPath": "/mnt/points",
                    "readOnly": True,
                },
                {"name": "ca", "configMapName": "git-ca", "mountPath": "/etc/ours"},
                {"name": "license", "secretName": TRAINER_SECRET, "mountPath": "/etc/license"},
                {"name": "scratch", "ephemeral": {"size": "64Mi"}, "mountPath": "/mnt/scratch"},
            ],
        },
    },
)
