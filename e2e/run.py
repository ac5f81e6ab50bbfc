"""`python -m e2e.run`: the whole path once, as a person would go it, in the cluster of `python3 -m e2e.cluster up`.

Prepares what the run needs, prints and executes the `helm install` of the README, follows the run and prints its
result.
"""

from __future__ import annotations

import subprocess
import sys
import time

from e2e import scenario
from e2e.cases import load
from e2e.cluster.steps import KUBECONFIG, StepError, print_table, say, step
from e2e.gitserver.client import GitServerError
from e2e.kube import (
    CommandError,
    Kube,
    NotEndedError,
    Object,
    poll,
    result,
)

RELEASE = "run-42"
INSTALL = [
    *("helm", "install", RELEASE, "./charts/train"),
    *("-f", "values/yolov5.yaml", "-f", "values/accelerators/cpu.yaml", "-f", "e2e/values/yolov5.yaml"),
    *("-n", scenario.NAMESPACE),
]
FOLLOW = ["wait", RELEASE, "-n", scenario.NAMESPACE, "--logs", "--start-timeout", "4m", "--timeout", "15m"]


class RunError(Exception):
    """The run did not end well; the text is what a person needs to know."""


def main() -> int:
    try:
        world = scenario.ensure(load(["yolov5"]).values())
        kube = world.submitter
        _uninstall_earlier(kube)
        begin = time.monotonic()
        _install(kube)
        _follow(kube)
        answer = _outcome(kube)
    except KeyboardInterrupt:
        say(f"\nstopped; {RELEASE} continues if it was installed already:\n{_how_to_follow()}")
        return 130
    except StepError as error:
        sys.stdout.flush()
        print(error.report(), file=sys.stderr)
        return 1
    except (RunError, CommandError, NotEndedError, GitServerError, subprocess.TimeoutExpired) as error:
        sys.stdout.flush()
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    print_table()
    say(
        f"\n{RELEASE} took {time.monotonic() - begin:.0f} s from its installation. Fetch its result (the server is in the cluster, and "
        f"its certificate is signed by its own CA):\n  {_fetch(world, answer)}"
    )
    return 0


def _uninstall_earlier(kube: Kube) -> None:
    code, _ = kube.call("helm", "status", RELEASE, "-n", kube.namespace)
    if code:
        return
    with step(f"uninstall the {RELEASE} that is there from before (its results stay on their branch)"):
        kube.helm("uninstall", RELEASE, "--wait", "--timeout", "2m", timeout=180)
        # A Job made while the pods of one of the same name still end can be left without pods (volcano#5973).
        poll(
            lambda: not kube.pods(RELEASE) and kube.get("vcjob", RELEASE) is None,
            120,
            "the earlier run's pods are gone",
        )


def _install(kube: Kube) -> None:
    say(f"\n$ {' '.join(INSTALL)}")
    done = subprocess.run(
        INSTALL, env=kube.environment(), cwd=scenario.ROOT, stdin=subprocess.DEVNULL, check=False, timeout=120
    )
    if done.returncode:
        raise RunError(f"helm ended with code {done.returncode}")


def _follow(kube: Kube) -> None:
    """Follows the run as a user would: the log of its pod until it finishes, then its outcome as `trainchart wait`
    prints it.
    """
    say(f"\n$ {' '.join(['trainchart', *FOLLOW])}")
    command = [sys.executable, "-m", "trainchart", *FOLLOW]
    environment = {**kube.environment(), "PYTHONUNBUFFERED": "1"}
    with step(f"run {RELEASE}"):
        code = subprocess.run(
            command, env=environment, cwd=scenario.ROOT, stdin=subprocess.DEVNULL, check=False
        ).returncode
    if code:
        raise RunError(f"{RELEASE} did not end well: `trainchart wait` ended with code {code}")


def _outcome(kube: Kube) -> Object:
    return result(kube.pods(RELEASE)[0])


def _fetch(world: scenario.World, answer: Object) -> str:
    repository = answer["repository"].rsplit("/", 1)[-1].removesuffix(".git")
    url = world.clone_url(repository).replace("https://", f"https://{scenario.TEAM}@")
    token = f"kubectl --kubeconfig {world.admin.kubeconfig} -n {scenario.NAMESPACE} get secret {scenario.SECRET}"
    return (
        f"git -c http.sslCAInfo={world.server.ca_file} clone --branch {answer['branch']} {url}\n"
        f"  (its password: {token} -o jsonpath='{{.data.GIT_TOKEN}}' | base64 -d)"
    )


def _how_to_follow() -> str:
    return "\n".join(
        [
            f"  export KUBECONFIG={KUBECONFIG}",
            f"  .venv/bin/trainchart status {RELEASE} -n {scenario.NAMESPACE}",
            f"  .venv/bin/trainchart logs -f {RELEASE} -n {scenario.NAMESPACE}",
            f"  .venv/bin/trainchart stop {RELEASE} -n {scenario.NAMESPACE}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
