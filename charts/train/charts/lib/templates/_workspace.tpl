{{- /* The run's folder in the workspace. Usage: {{ include "train.workspace.directory" . }} */ -}}
{{- define "train.workspace.directory" -}}{{ .Run.values.workspace.directory | default .Release.Name }}{{- end -}}

{{- /*
Returns "true" if every pod has a workspace of its own, which is deleted with it.
Usage: {{ if include "train.workspace.temporary" . }}
*/ -}}
{{- define "train.workspace.temporary" -}}
{{- if has .Run.values.workspace.type (list "emptyDir" "ephemeral") -}}
true
{{- end -}}
{{- end -}}

{{- /* The claim of the workspace. Usage: {{ include "train.workspace" . }} */ -}}
{{- define "train.workspace" -}}
{{- if eq .Run.values.workspace.type "newClaim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ include "train.name.claim" . | quote }}
  {{- if .Run.values.workspace.keep }}
  {{- /* Without an owner, with which it would be removed. */}}
  labels:
    {{- include "train.labels" . | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
  {{- else }}
  {{- include "train.metadata" . | nindent 2 }}
  {{- end }}
spec:
  accessModes:
    - {{ .Run.values.workspace.accessMode | quote }}
  {{- with .Run.values.workspace.storageClassName }}
  storageClassName: {{ quote . }}
  {{- end }}
  resources:
    requests:
      storage: {{ include "train.amount" .Run.values.workspace.size | quote }}
{{- end }}
{{- end -}}
