{{- /*
Labels that select the objects of one run; they never change, so pods carry these alone.
Usage: {{ include "train.labels.selector" . }}
*/ -}}
{{- define "train.labels.selector" -}}
app.kubernetes.io/name: train
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- /*
Labels of the objects themselves. The chart's version is only here: in the pod template it would make an upgrade of the
chart a change of the Job, which Volcano refuses.
Usage: {{ include "train.labels" . | nindent 4 }}
*/ -}}
{{- define "train.labels" -}}
{{ include "train.labels.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: trainchart
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
trainchart.dev/family: {{ .Run.values.family | quote }}
{{- end -}}
