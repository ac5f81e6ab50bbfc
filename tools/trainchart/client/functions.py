"""The functions of the Python API: what the commands of the same names do."""

from __future__ import annotations

import os
import secrets
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainchart.client.arguments import whole
from trainchart.client.errors import ClusterError, InvalidValuesError
from trainchart.client.runs import Cluster, Run, Runs
from trainchart.client.values import Values, as_files
from trainchart.errors import UsageError
from trainchart.terminal import print_message
from trainchart.values.validate import Report


def validate(values: Values, *, name: str = "run-42", namespace: str = "training") -> Report:
    """Check values as `helm install` would, without a cluster. `report.valid` says whether they are; printed, it says what is not.

    Raises:
        UsageError: Helm is missing, or `values` are none.
    """
    from trainchart.checks.values import as_paths, validated

    with as_files(values) as (files, called), as_paths(files, called) as paths:
        return validated(paths, name=name, namespace=namespace)


def preset(
    family: str,
    *,
    accelerator: str | None = None,
    variant: str | None = None,
    count: int | None = None,
    gpu_memory: str | None = None,
    fraction: str | float | None = None,
    replicas: int | None = None,
) -> dict[str, Any]:
    """Small values for a family on an accelerator, which the chart accepts. Its warnings are Python's; what else there is to say, such as the
    memory that it needs, goes to the standard error.

    Args:
        family: what to train: one of `trainchart families`.
        accelerator: what to train on: one of `trainchart accelerators`.
        variant: of the accelerator's profile, such as a MIG slice.
        count: devices per pod.
        gpu_memory: memory of a whole device, such as "24Gi".
        fraction: share of each device, such as "50%" or 0.5.
        replicas: pods.

    Raises:
        TrainchartError: such a run is not possible.
    """
    import yaml

    from trainchart.values.preset import Request, parse_fraction, parse_memory, schema_path
    from trainchart.values.preset import preset as make

    share = None if fraction is None else str(fraction)
    devices, pods = whole("count", count, 1), whole("replicas", replicas, 1)
    request = Request(family, accelerator, variant, devices, parse_memory(gpu_memory), parse_fraction(share), pods)
    made = make(request, schema=schema_path(Path()))
    for notice in made.notices:
        sys.stderr.write(f"{notice}\n")
    for warning in made.warnings:
        warnings.warn(warning, stacklevel=2)
    found: dict[str, Any] = yaml.safe_load(made.text)
    return found


def submit(
    values: Values,
    *,
    name: str = "",
    prefix: str = "",
    namespace: str = "",
    context: str = "",
    kubeconfig: str | os.PathLike[str] = "",
    doctor: bool = True,
) -> Run:
    """Validate values, check that the cluster has what the run needs, install it as `helm install` does, and return it.

    Args:
        values: a mapping, the path of a values file, or several of both.
        name: of the run: that of its release.
        prefix: instead of `name`: a name is made that begins so.
        namespace: of the run; empty: that of the context, or of this pod.
        context: of the kubeconfig; empty: its current one.
        kubeconfig: empty: $KUBECONFIG, else ~/.kube/config, else this pod's own account.
        doctor: check the cluster first.

    Raises:
        InvalidValuesError: `error.report` says where.
        ClusterError: something would keep the run from starting.
        InstallError: Helm could not install it; what it had created is removed.
        KeyboardInterrupt: by Ctrl-C; what had been created is removed.
    """
    from trainchart.chart.engine import NewRelease
    from trainchart.chart.engines import engine
    from trainchart.chart.paths import CHART
    from trainchart.checks.doctor import examine
    from trainchart.checks.finding import has_problem
    from trainchart.checks.values import as_paths, run_spec_from, validated
    from trainchart.install.helm import target_of
    from trainchart.install.install import InterruptedInstallError, install
    from trainchart.install.names import generate_name
    from trainchart.values.validate import values_of

    if bool(name) == bool(prefix):
        raise UsageError("submit: give either name or prefix")
    name = name or generate_name(prefix)
    cluster = Cluster(namespace, context, kubeconfig)
    api = cluster.api
    with as_files(values) as (files, called), as_paths(files, called) as paths:
        report = validated(paths, name=name, namespace=api.namespace)
        if not report.valid:
            raise InvalidValuesError(report)
        for diagnostic in report.diagnostics:
            warnings.warn(diagnostic.text(), stacklevel=2)
        read = [path for path, _ in paths]
        if doctor:
            spec = run_spec_from(read, name=name, namespace=api.namespace)
            findings = list(examine(api, spec, quick=True, named=True, notify=lambda _: None))
            if has_problem(findings):
                raise ClusterError(name, findings)
            for finding in findings:
                if finding.severity in ("warning", "waiting"):
                    sys.stderr.write(f"{finding}\n")
        release = NewRelease(name, CHART, values_of(read), labels={}, dry_run=False, arguments=[])
    try:
        install(api, engine(), target_of(api, os.fspath(kubeconfig), os.environ), release, secrets.token_hex(8))
    except InterruptedInstallError as error:  # which ends a loop over several runs too
        print_message(str(error))
        raise KeyboardInterrupt from None
    return Run(name, cluster)


def runs(
    *,
    family: str = "",
    states: str | Sequence[str] = (),
    namespace: str = "",
    context: str = "",
    kubeconfig: str | os.PathLike[str] = "",
) -> Runs:
    """The runs of a namespace that have a Job, the newest first; a notebook shows them as a table.

    Args:
        family: only runs of this one.
        states: only runs in these, such as "failed".
        namespace: empty: that of the context, or of this pod.
        context: of the kubeconfig; empty: its current one.
        kubeconfig: empty: $KUBECONFIG, else ~/.kube/config, else this pod's own account.

    Raises:
        UsageError: a state that does not exist.
    """
    from trainchart.run.listing import runs as load
    from trainchart.run.state import State

    known = {state.value: state for state in State}
    states = [states] if isinstance(states, str) else states
    for state in states:
        if state not in known:
            raise UsageError(f"states: {state!r} is none; there are {', '.join(known)}")
    cluster = Cluster(namespace, context, kubeconfig)
    return Runs(load(cluster.api, family=family, states=[known[state] for state in states]), cluster)
