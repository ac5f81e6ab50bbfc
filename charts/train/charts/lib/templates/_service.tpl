{{- /* The Service of rank 0. Usage: {{ include "train.service" . }} */ -}}
{{- define "train.service" -}}
{{- /* The rendezvous. Headless, so the name resolves to the address of rank 0's pod, also on rank 0 and before it is ready. */}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "train.name.service" . | quote }}
  {{- include "train.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    volcano.sh/job-name: {{ include "train.name" . | quote }}
    volcano.sh/task-index: "0"
  ports:
    - name: rendezvous
      port: {{ int .Run.pod.port }}
      targetPort: {{ int .Run.pod.port }}
      protocol: TCP
{{- end -}}
