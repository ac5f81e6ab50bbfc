"""What is in `deploy/`, for those who do not install charts/platform: Roles, whose rules are that chart's `files/rights/`; and the
version of the image in the pipelines of Kubeflow, which its SDK compiles (trainchart.kfp).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

from trainchart.chart.paths import ROOT
from trainchart.values.commented_yaml import comment
from trainchart.version import __version__

RIGHTS = ROOT / "charts/platform/files/rights"

_SUBMITTER = """\
What somebody who submits and follows runs may do, and nothing else. The pods of a run have no rights at all; this is for the person, \
pipeline or ServiceAccount that calls helm or trainchart. Bind it in the namespace of the runs:
  trainchart docs submitter.yaml | kubectl -n NAMESPACE apply -f -
  kubectl -n NAMESPACE create rolebinding trainchart-submitter --role trainchart-submitter --serviceaccount NAMESPACE:ACCOUNT
`trainchart docs rights` says which command needs which of them. `create secrets` is Helm's: it keeps its releases in Secrets, and so whoever \
installs a chart can read the Secrets of that namespace; submitter-without-secrets.yaml is for those who may not.
"""

_WITHOUT_SECRETS = """\
As submitter.yaml, for accounts that may not read the Secrets of the namespace. `helm install` and `trainchart submit` need them; \
`trainchart docs rights` has the way without:
  trainchart docs submitter-without-secrets.yaml | kubectl -n NAMESPACE apply -f -
  kubectl -n NAMESPACE create rolebinding trainchart-submitter-without-secrets --role trainchart-submitter-without-secrets \
--serviceaccount NAMESPACE:ACCOUNT
"""

_READER = """\
Optional, and only to look: what of the whole cluster `trainchart doctor`, `status` and `wait` read to say why a run cannot start. \
Without it they say what was not checked. It shows the specs of all pods; whoever may not see these gets it without the rule for pods. \
Bind it to the account that submits:
  trainchart docs cluster-reader.yaml | kubectl apply -f -
  kubectl create clusterrolebinding trainchart-reader-ACCOUNT --clusterrole trainchart-reader --serviceaccount NAMESPACE:ACCOUNT
"""


def deployed() -> dict[Path, str]:
    """The text of every file in `deploy/`, by its path."""
    folder = ROOT / "deploy"
    submitter, without_secrets = "trainchart-submitter", "trainchart-submitter-without-secrets"
    return {
        folder / "submitter.yaml": _role("Role", submitter, ("submitter", "secrets"), _SUBMITTER),
        folder / "submitter-without-secrets.yaml": _role("Role", without_secrets, ("submitter",), _WITHOUT_SECRETS),
        folder / "cluster-reader.yaml": _role("ClusterRole", "trainchart-reader", ("cluster-reader",), _READER),
        **{file: _with_version(file) for file in sorted((folder / "kubeflow").glob("*.yaml"))},
    }


def _with_version(pipeline: Path) -> str:
    return re.sub(r"(trainchart/trainchart:)\S+", rf"\g<1>{__version__}", pipeline.read_text(encoding="utf-8"))


def _role(kind: str, name: str, parts: Sequence[str], words: str) -> str:
    """A Role with the rules of the named files, below a comment."""
    head = ["apiVersion: rbac.authorization.k8s.io/v1", f"kind: {kind}", "metadata:", f"  name: {name}", "rules:"]
    rules = "".join((RIGHTS / f"{part}.yaml").read_text(encoding="utf-8") for part in parts)
    return "\n".join([*comment(words), *head, indent(rules, "  ")])
