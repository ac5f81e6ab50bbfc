{{- /*
Labels that select the objects of one run. They never change, so pods have only these.
Usage: {{ include "train.labels.selector" . }}
*/ -}}
{{- define "train.labels.selector" -}}
app.kubernetes.io/name: train
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- /*
Labels of the objects. Only they have the chart's version: in the pod template it would change the Job with every upgrade of the
chart, which Volcano refuses.
Usage: {{ include "train.labels" . | nindent 4 }}
*/ -}}
{{- define "train.labels" -}}
{{ include "train.labels.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: trainchart
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
trainchart.dev/family: {{ .Run.values.family | quote }}
{{- end -}}

{{- /*
Labels of an object, and the owner that it is removed with.
Usage: {{ include "train.metadata" . | nindent 2 }}
*/ -}}
{{- define "train.metadata" -}}
labels:
  {{- include "train.labels" . | nindent 2 }}
{{- include "train.owner" . }}
{{- end -}}

{{- /*
The owner that an object is removed with. The owner is not its controller, and does not wait for it when it is deleted, which would
take more rights.
Usage: {{ include "train.owner" . | nindent 2 }}
*/ -}}
{{- define "train.owner" -}}
{{- with .Run.values.owner }}
ownerReferences:
  - apiVersion: {{ quote .apiVersion }}
    kind: {{ quote .kind }}
    name: {{ quote .name }}
    uid: {{ quote .uid }}
{{- end }}
{{- end -}}
