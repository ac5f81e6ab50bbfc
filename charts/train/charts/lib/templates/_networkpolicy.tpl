{{- /*
The NetworkPolicy: only the run's pods may connect to each other, because the rendezvous of trainers has no authentication. Volcano's
svc plugin could create one for ingress too, but deletes it whenever it kills the Job's pods, and does not support egress.
Usage: {{ include "train.networkpolicy" . }}
*/ -}}
{{- define "train.networkpolicy" -}}
{{- if .Run.values.networkPolicy.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- /* Not the Job's name: Volcano may delete a NetworkPolicy of that name. */}}
  name: {{ include "train.name.run" . | quote }}
  {{- include "train.metadata" . | nindent 2 }}
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
