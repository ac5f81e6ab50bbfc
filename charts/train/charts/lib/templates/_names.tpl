{{- /*
Names. A run is a release, so the Job has the release's name; all other names are derived from it here. Volcano's svc plugin owns a
Service, a ConfigMap and a NetworkPolicy named <job> or <job>-svc, and deletes them whenever it kills the Job's pods, so the chart's
objects have other names.
*/ -}}

{{- /* The name of the Job. Usage: {{ include "train.name" . }} */ -}}
{{- define "train.name" -}}{{ .Release.Name }}{{- end -}}

{{- /*
The container of the Job's pods, and of the pod of `helm test`. Volcano takes a pod's exit code from the first of its container
statuses, which the kubelet sorts by name: this one has to come before those that a webhook injects, such as istio-proxy.
Usage: {{ include "train.name.container" . }}
*/ -}}
{{- define "train.name.container" -}}0-runner{{- end -}}

{{- /* The Service of rank 0. Usage: {{ include "train.name.service" . }} */ -}}
{{- define "train.name.service" -}}{{ .Release.Name }}-master{{- end -}}

{{- /* The ConfigMap with runner and settings. Usage: {{ include "train.name.run" . }} */ -}}
{{- define "train.name.run" -}}{{ .Release.Name }}-run{{- end -}}

{{- /* The ResourceClaimTemplate for devices. Usage: {{ include "train.name.devices" . }} */ -}}
{{- define "train.name.devices" -}}{{ .Release.Name }}-devices{{- end -}}

{{- /* The workspace's claim: the user's, or the release's. Usage: {{ include "train.name.claim" . }} */ -}}
{{- define "train.name.claim" -}}{{ .Run.values.workspace.claimName | default (printf "%s-workspace" .Release.Name) }}{{- end -}}

{{- /* The ServiceAccount of the pods: the user's, or the release's. Usage: {{ include "train.name.serviceAccount" . }} */ -}}
{{- define "train.name.serviceAccount" -}}{{ .Run.values.serviceAccount.name | default .Release.Name }}{{- end -}}
