{{- /* The ConfigMap of the run, see _run.tpl. Usage: {{ include "train.configmap" . }} */ -}}
{{- define "train.configmap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "train.name.run" . | quote }}
  {{- include "train.metadata" . | nindent 2 }}
immutable: true
data:
  {{- include "train.run.data" . }}
{{- end -}}
