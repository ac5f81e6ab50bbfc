{{- /* The ServiceAccount. Usage: {{ include "train.rbac" . }} */ -}}
{{- define "train.rbac" -}}
{{- if not .Run.values.serviceAccount.name -}}
{{- /* The pods' account has no Role, and its token is not mounted. The submitter's rights are in deploy/submitter.yaml. */}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "train.name.serviceAccount" . | quote }}
  {{- include "train.metadata" . | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
{{- end -}}
