{{- /* The pod of `helm test`. Usage: {{ include "train.check" . }} */ -}}
{{- define "train.check" -}}
{{- /* A scratch workspace: the claim may be bound to another node, or in use by the run. */ -}}
{{- $scratch := dict "values" (dict "workspace" (dict "type" "emptyDir" "size" "1Gi")) -}}
{{- $check := merge (dict "Run" (mergeOverwrite (deepCopy .Run) $scratch)) . -}}
{{- /* What only the trainer has is not looked at, and no claim is made for it. */ -}}
{{- $_ := set $check.Run.values "volumes" list -}}
{{- /* `helm test` checks that the release's settings, image and Secrets give access to every source. */}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ printf "%s-check" (include "train.name" .) | quote }}
  labels: {{ mergeOverwrite (include "train.pod.labels" . | fromJson) (include "train.labels" . | fromYaml) | include "train.json" }}
  {{- with include "train.owner" . | trim }}{{ nindent 2 . }}{{ end }}
  {{- /* Not hook-succeeded: Helm 3 would delete the pod before --logs reads it. The pod stays until the next check. */}}
  {{- $hook := dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation" }}
  annotations: {{ mergeOverwrite (include "train.pod.annotations" . | fromJson) $hook | include "train.json" }}
spec:
  {{- include "train.pod.spec" $check | nindent 2 }}
  activeDeadlineSeconds: 300
  containers:
    - name: {{ include "train.name.container" . }}
      image: {{ .Run.values.image | quote }}
      imagePullPolicy: {{ .Run.values.imagePullPolicy | quote }}
      command: [python3, -m, runner, --check]
      workingDir: /trainchart
      env:
        {{- include "train.pod.env" $check | nindent 8 }}
      resources:
        requests: {cpu: 100m, memory: 128Mi}
        limits: {cpu: "1", memory: 512Mi}
      securityContext:
        {{- include "train.pod.securityContext" . | nindent 8 }}
      volumeMounts:
        {{- include "train.pod.mounts" $check | nindent 8 }}
  volumes:
    {{- include "train.pod.volumes" $check | nindent 4 }}
{{- end -}}
