{{- /* The ServiceAccount. Usage: {{ include "train.rbac" . }} */ -}}
{{- define "train.rbac" -}}
{{- if not .Run.values.serviceAccount.name -}}
{{- /* The pods' account: no Role is bound to it, and no token of it is mounted. What the submitter needs is deploy/submitter.yaml. */}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "train.name.serviceAccount" . | quote }}
  labels:
    {{- include "train.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end }}
{{- end -}}
