{{- /*
Names. One run is one release, so the Job is named like the release; every other name is derived from it here.
Volcano's svc plugin owns a Service, a ConfigMap and a NetworkPolicy that begin with the Job's name
(<job>, <job>-svc): the chart's own names differ, for the plugin deletes its own whenever it kills the Job's pods.
*/ -}}

{{- /* The name of the Job. Usage: {{ include "train.name" . }} */ -}}
{{- define "train.name" -}}{{ .Release.Name }}{{- end -}}

{{- /* The Service of rank 0. Usage: {{ include "train.name.service" . }} */ -}}
{{- define "train.name.service" -}}{{ .Release.Name }}-master{{- end -}}

{{- /* The ConfigMap with runner and settings. Usage: {{ include "train.name.run" . }} */ -}}
{{- define "train.name.run" -}}{{ .Release.Name }}-run{{- end -}}

{{- /*
The workspace's claim: the release's own, or the one that exists.
Usage: {{ include "train.name.claim" (dict "root" . "values" $values) }}
*/ -}}
{{- define "train.name.claim" -}}
{{- if eq .values.workspace.type "existingClaim" -}}{{ .values.workspace.claimName }}{{- else -}}{{ .root.Release.Name }}-workspace{{- end -}}
{{- end -}}

{{- /* The ServiceAccount of the pods. Usage: {{ include "train.name.serviceAccount" . }} */ -}}
{{- define "train.name.serviceAccount" -}}{{ .Values.serviceAccount.name | default .Release.Name }}{{- end -}}
