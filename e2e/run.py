"""`python -m e2e.run`: the whole path once, as a person would go it, in the cluster of `python3 -m e2e.cluster up`.

Prepares what the run needs, prints and executes the `helm install` of the README, follows the run and prints its result.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

from e2e import scenario
from e2e.cases import load
from e2e.cluster.steps import KUBECONFIG, StepError, print_table, say, step
from e2e.gitserver.client import GitServerError
from e2e.kube import (
    GOOD_END,
    CommandError,
    Kube,
    NotEndedError,
    Object,
    following,
    poll,
    result,
    terminated,
    wait_for_end,
    why_pending,
)

RELEASE = "run-42"
INSTALL = [
    *("helm", "install", RELEASE, "./charts/train"),
    *("-f", "values/yolov5.yaml", "-f", "values/accelerators/cpu.yaml", "-f", "e2e/values/yolov5.yaml"),
    *("-n", scenario.NAMESPACE),
]
LIMIT_SECONDS = 900
POD_SECONDS = 240


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
        say(f"\nstopped following; the run goes on, unless it was not installed yet:\n{_how_to_follow()}")
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
    say(_describe(world, answer, time.monotonic() - begin))
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
    """Waits for the pod, then prints its log until the run has ended."""
    pod = f"{RELEASE}-train-0"
    explained = time.monotonic()
    with step("wait for the pod"):

        def runs() -> bool:
            nonlocal explained
            if time.monotonic() - explained > 20:
                explained = time.monotonic()
                for line in why_pending(kube, RELEASE):
                    say(line)
            found = kube.get("pod", pod)
            return found is not None and found["status"].get("phase") in ("Running", "Succeeded", "Failed")

        try:
            poll(runs, POD_SECONDS, f"pod {pod} runs", every=1)
        except NotEndedError as error:
            raise RunError("\n".join([f"{error}. Volcano says:", *why_pending(kube, RELEASE)])) from error
    say(f"\n$ kubectl -n {kube.namespace} logs -f {pod}")
    with step(f"run {RELEASE}"), following(kube, pod, sys.stdout) as follower:
        phase = wait_for_end(kube, RELEASE, LIMIT_SECONDS, say)
        with contextlib.suppress(subprocess.TimeoutExpired):
            follower.wait(timeout=15)  # the log's last lines lag behind the Job's phase
    say(f"{RELEASE} is {phase}")


def _outcome(kube: Kube) -> Object:
    job, pods = kube.get("vcjob", RELEASE), kube.pods(RELEASE)
    phase = job["status"]["state"]["phase"] if job else "gone"
    if phase == GOOD_END:
        return result(pods[0])
    lines = [f"{RELEASE} ended as {phase}"]
    for pod in pods:
        ended = terminated(pod) or {}
        try:
            failure = result(pod)["failure"]
            lines.append(
                f"{pod['metadata']['name']}: {failure['name']} in stage {failure['stage']} (exit code {ended['exitCode']})"
            )
            lines += [f"  what happened: {failure['reason']}", f"  what to do: {failure['fix']}"]
        except (NotEndedError, ValueError, KeyError):
            lines.append(f"{pod['metadata']['name']}: exit code {ended.get('exitCode', '?')}, and it left no result")
    raise RunError("\n".join(lines))


def _describe(world: scenario.World, answer: Object, seconds: float) -> str:
    lines = [
        "",
        f"The result of {RELEASE}, {seconds:.0f} s after its installation:",
        f"  repository  {answer['repository']}",
    ]
    lines += [f"  branch      {answer['branch']}", f"  commit      {answer['commit']}"]
    for name, source in answer["sources"].items():
        lines.append(f"  trained on  {name}: {source['repository']} {source['revision']} {source['commit']}")
    lines += ["  files"]
    width = max((len(file["path"]) for file in answer["files"]), default=0)
    lines += [f"    {file['path']:<{width}}  {file['bytes']:>10,} bytes" for file in answer["files"]]
    lines += ["  metrics", *(f"    {name:<24} {value}" for name, value in answer["metrics"].items())]
    lines += ["  seconds by stage", *(f"    {name:<24} {value}" for name, value in answer["stages"].items())]
    lines += [
        "",
        "Fetch it (the server is in the cluster, and its certificate is signed by its own CA):",
        f"  {_fetch(world, answer)}",
    ]
    return "\n".join(lines)


def _fetch(world: scenario.World, answer: Object) -> str:
    repository = answer["repository"].rsplit("/", 1)[-1].removesuffix(".git")
    url = world.clone_url(repository).replace("https://", f"https://{scenario.TEAM}@")
    token = f"kubectl --kubeconfig {world.admin.kubeconfig} -n {scenario.NAMESPACE} get secret {scenario.SECRET}"
    return (
        f"git -c http.sslCAInfo={world.server.ca_file} clone --branch {answer['branch']} {url}\n"
        f"  (the password it asks for: {token} -o jsonpath='{{.data.GIT_TOKEN}}' | base64 -d)"
    )


def _how_to_follow() -> str:
    return "\n".join(
        [
            f"  export KUBECONFIG={KUBECONFIG}",
            f"  kubectl -n {scenario.NAMESPACE} logs -f {RELEASE}-train-0",
            f"  kubectl -n {scenario.NAMESPACE} get vcjob {RELEASE} -w",
            f"  helm uninstall {RELEASE} -n {scenario.NAMESPACE}    # ends it",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
