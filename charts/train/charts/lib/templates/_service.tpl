{{- /* The Service of rank 0. Usage: {{ include "train.service" . }} */ -}}
{{- define "train.service" -}}
{{- /* Rank 0, where the others meet. Headless: the name is its pod's own address, also on rank 0, and before the pod is ready. */}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "train.name.service" . | quote }}
  labels:
    {{- include "train.labels" . | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    volcano.sh/job-name: {{ include "train.name" . | quote }}
    volcano.sh/task-index: "0"
  ports:
    - name: rendezvous
      port: 23456
      targetPort: 23456
      protocol: TCP
{{- end -}}
