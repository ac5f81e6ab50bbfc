{{- /* The ResourceClaimTemplate for devices. Usage: {{ include "train.devices" . }} */ -}}
{{- define "train.devices" -}}
{{- with .Run.profile.deviceClass -}}
{{- /* Dynamic resource allocation: every pod gets its own claim from this template. */ -}}
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata:
  name: {{ include "train.name.devices" $ | quote }}
  {{- include "train.metadata" $ | nindent 2 }}
spec:
  spec:
    devices:
      requests:
        - name: devices
          exactly:
            deviceClassName: {{ quote . }}
            allocationMode: ExactCount
            count: {{ int $.Run.values.accelerator.count }}
{{- end }}
{{- end -}}
