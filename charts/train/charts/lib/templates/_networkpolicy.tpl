{{- /*
The NetworkPolicy: nobody but the run's own pods may connect to them (the rendezvous of trainers knows no password). Volcano's svc
plugin would make one for ingress too, but deletes it whenever it kills the Job's pods, and knows no egress.
Usage: {{ include "train.networkpolicy" . }}
*/ -}}
{{- define "train.networkpolicy" -}}
{{- if .Run.values.networkPolicy.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- /* Not the Job's own name: a NetworkPolicy of that name is Volcano's to delete. */}}
  name: {{ include "train.name.run" . | quote }}
  labels:
    {{- include "train.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "train.labels.selector" . | nindent 6 }}
  policyTypes:
    - Ingress
    {{- if .Run.values.networkPolicy.egress }}
    - Egress
    {{- end }}
  ingress:
    - from:
        - podSelector:
            matchLabels:
              {{- include "train.labels.selector" . | nindent 14 }}
  {{- with .Run.values.networkPolicy.egress }}
  egress:
    - to:
        - podSelector:
            matchLabels:
              {{- include "train.labels.selector" $ | nindent 14 }}
    {{- range . }}
    - {{ include "train.json" . }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}
