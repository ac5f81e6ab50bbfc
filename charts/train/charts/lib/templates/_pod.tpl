{{- /*
The pod of a run, for the Job and for `helm test`. It complies with the Pod Security Standard "restricted", has no token of the
cluster, and mounts all secrets as files.
*/ -}}

{{- /*
Labels and annotations that keep a service mesh from injecting its sidecar, as JSON: with one, a pod stays running after its training
has ended. Both are those that the mesh documents.
Usage: {{ include "train.sidecars.labels" . | fromJson }}
*/ -}}
{{- define "train.sidecars.labels" -}}
{{- eq .Run.values.sidecars "disable" | ternary (dict "sidecar.istio.io/inject" "false") dict | toJson -}}
{{- end -}}

{{- define "train.sidecars.annotations" -}}
{{- eq .Run.values.sidecars "disable" | ternary (dict "sidecar.istio.io/inject" "false" "linkerd.io/inject" "disabled") dict | toJson -}}
{{- end -}}

{{- /*
Annotations that allowed sidecars take, as JSON: a mesh whose sidecars are ordinary containers lets them start before the run, and
be ended by it (files/features/sidecars); `kubectl logs` shows the run.
Usage: {{ include "train.sidecars.allowed" . | fromJson }}
*/ -}}
{{- define "train.sidecars.allowed" -}}
{{- $hold := dict "holdApplicationUntilProxyStarts" true | toJson -}}
{{- $container := include "train.name.container" . -}}
{{- $allowed := dict "proxy.istio.io/config" $hold "config.linkerd.io/proxy-admin-shutdown" "enabled" "kubectl.kubernetes.io/default-container" $container -}}
{{- eq .Run.values.sidecars "allow" | ternary $allowed dict | toJson -}}
{{- end -}}

{{- /*
The labels of a pod, as JSON: the user's, and those that select the run.
Usage: {{ include "train.pod.labels" . }}
*/ -}}
{{- define "train.pod.labels" -}}
{{- $labels := include "train.labels.selector" . | fromYaml -}}
{{- mergeOverwrite dict .Run.values.podLabels (include "train.sidecars.labels" . | fromJson) $labels | include "train.json" -}}
{{- end -}}

{{- /*
The annotations of a pod, as JSON: the accelerator profile's, the choice of its devices and those of sidecars, and over them the user's.
Usage: {{ include "train.pod.annotations" . | fromJson }}
*/ -}}
{{- define "train.pod.annotations" -}}
{{- mergeOverwrite dict (.Run.profile.annotations | default dict) (include "train.accelerator.choices" . | fromJson) (include "train.sidecars.allowed" . | fromJson) .Run.values.podAnnotations (include "train.sidecars.annotations" . | fromJson) | include "train.json" -}}
{{- end -}}

{{- /*
The common part of the pod specs, without containers.
Usage: {{ include "train.pod.spec" . | nindent 6 }}
*/ -}}
{{- define "train.pod.spec" -}}
restartPolicy: Never
serviceAccountName: {{ include "train.name.serviceAccount" . | quote }}
automountServiceAccountToken: {{ .Run.values.serviceAccount.automount }}
enableServiceLinks: false
{{- with .Run.values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ quote . }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ int64 .Run.values.securityContext.runAsUser }}
  runAsGroup: {{ int64 .Run.values.securityContext.runAsGroup }}
  fsGroup: {{ int64 .Run.values.securityContext.fsGroup }}
  {{- /* Avoids walking through a large workspace at every start. */}}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Run.values.nodeSelector }}
nodeSelector: {{ include "train.json" . }}
{{- end }}
{{- with .Run.values.tolerations }}
tolerations: {{ include "train.json" . }}
{{- end }}
{{- with .Run.values.affinity }}
affinity: {{ include "train.json" . }}
{{- end }}
{{- end -}}

{{- /*
The container's security context.
Usage: {{ include "train.pod.securityContext" . | nindent 12 }}
*/ -}}
{{- define "train.pod.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /*
The environment of the runner. Volcano's annotations have the run's identity and attempt. The values' `env` is only for the trainer,
and is part of the settings.
Usage: {{ include "train.pod.env" . | nindent 12 }}
*/ -}}
{{- define "train.pod.env" -}}
- name: HOME
  value: /tmp/home
- name: JOB_ATTEMPT
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.annotations['volcano.sh/job-retry-count']
- name: JOB_GROUP
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.annotations['scheduling.k8s.io/group-name']
- name: POD_IP
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: status.podIP
- name: POD_NAME
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.namespace
{{- range $name, $value := include "train.pod.proxy" . | fromJson }}
- name: {{ $name }}
  value: {{ quote $value }}
{{- end }}
{{- end -}}

{{- /*
The variables of `proxy`, as JSON, in both spellings: curl, and so git, reads http_proxy in lower case only. What is inside the cluster
is reached without it.
Usage: {{ include "train.pod.proxy" . | fromJson }}
*/ -}}
{{- define "train.pod.proxy" -}}
{{- $proxy := .Run.values.proxy -}}
{{- $found := dict -}}
{{- with $proxy.httpProxy }}{{ $_ := set $found "HTTP_PROXY" . }}{{ end -}}
{{- with $proxy.httpsProxy }}{{ $_ := set $found "HTTPS_PROXY" . }}{{ end -}}
{{- if or $found $proxy.noProxy -}}
{{- $inside := list "localhost" "127.0.0.1" "::1" ".svc" ".cluster.local" (include "train.name.service" .) -}}
{{- $_ := set $found "NO_PROXY" (eq ($proxy.noProxy | default "") "*" | ternary "*" (prepend $inside ($proxy.noProxy | default "") | compact | join ",")) -}}
{{- end -}}
{{- range $name, $value := $found }}{{ $_ := set $found (lower $name) $value }}{{ end -}}
{{- $found | toJson -}}
{{- end -}}

{{- /*
The volume mounts of the container.
Usage: {{ include "train.pod.mounts" . | nindent 12 }}
*/ -}}
{{- define "train.pod.mounts" -}}
{{- $mounts := .Run.pod.mounts -}}
- name: run
  mountPath: /trainchart
  readOnly: true
{{- if include "train.ssh" . }}
- name: run
  mountPath: /etc/passwd
  subPath: passwd
  readOnly: true
{{- end }}
- name: workspace
  mountPath: {{ $mounts.workspace }}
- name: tmp
  mountPath: /tmp
- name: shm
  mountPath: /dev/shm
{{- range $name, $_ := include "train.secrets" . | fromJson }}
- name: {{ $name }}
  mountPath: {{ $mounts.secrets }}/{{ $name }}
  readOnly: true
{{- end }}
{{- if include "train.programSecrets" . | fromJson }}
- name: program-secrets
  mountPath: {{ $mounts.secrets }}/program
  readOnly: true
{{- end }}
{{- if .Run.values.caBundle.configMapName }}
- name: ca
  mountPath: {{ $mounts.secrets }}/ca
  readOnly: true
{{- end }}
{{- range $name := include "train.sources" . | fromJsonArray }}
{{- $source := get $.Run.values $name }}
{{- if eq $source.type "claim" }}
- name: {{ $name }}
  mountPath: {{ $mounts.sources }}/{{ $name }}
  {{- with $source.subPath }}
  subPath: {{ quote . }}
  {{- end }}
  readOnly: true
{{- end }}
{{- end }}
{{- range .Run.values.volumes }}
- name: volume-{{ .name }}
  mountPath: {{ quote .mountPath }}
  {{- with .subPath }}
  subPath: {{ quote . }}
  {{- end }}
  {{- if or .readOnly .configMapName .secretName }}
  readOnly: true
  {{- end }}
{{- end }}
{{- if .Run.values.cache.claimName }}
- name: cache
  mountPath: {{ $mounts.cache }}
  {{- if .Run.values.cache.readOnly }}
  readOnly: true
  {{- end }}
{{- end }}
{{- end -}}

{{- /*
A volume with keys of a Secret, each as a file. It is optional so that the runner can report a missing Secret or key; otherwise the
pod would never start.
Usage: {{ include "train.pod.secret" (dict "name" VOLUME "secret" SECRET "keys" LIST) }}
*/ -}}
{{- define "train.pod.secret" -}}
- name: {{ .name }}
  secret:
    secretName: {{ quote .secret }}
    defaultMode: 0440
    optional: true
    items:
      {{- range .keys | compact | uniq }}
      - key: {{ quote . }}
        path: {{ quote . }}
      {{- end }}
{{- end -}}

{{- /*
A claim that Kubernetes makes for every pod, and deletes with it.
Usage: {{ include "train.pod.ephemeral" (dict "size" "5Gi" "storageClassName" CLASS) | nindent 2 }}
*/ -}}
{{- define "train.pod.ephemeral" -}}
ephemeral:
  volumeClaimTemplate:
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClassName }}
      storageClassName: {{ quote . }}
      {{- end }}
      resources:
        requests:
          storage: {{ include "train.amount" .size | quote }}
{{- end -}}

{{- /*
A claim of the pod, as a volume that is read-only where `readOnly` is given. A claim that the pod also writes to is read-only in its
mounts alone: the kubelet mounts a claim once for a pod, read-only for all of its volumes if it is for one.
Usage: {{ include "train.pod.claim" (dict "name" CLAIM "readOnly" BOOL "context" $) | nindent 2 }}
*/ -}}
{{- define "train.pod.claim" -}}
{{- $values := .context.Run.values -}}
{{- $written := list -}}
{{- if not (include "train.workspace.temporary" .context) -}}
{{- $written = append $written (include "train.name.claim" .context) -}}
{{- end -}}
{{- range append $values.volumes $values.cache -}}
{{- if not .readOnly -}}
{{- $written = append $written .claimName -}}
{{- end -}}
{{- end -}}
persistentVolumeClaim:
  claimName: {{ quote .name }}
  {{- if and .readOnly (not (has .name $written)) }}
  readOnly: true
  {{- end }}
{{- end -}}

{{- /*
The volumes of the pod.
Usage: {{ include "train.pod.volumes" . | nindent 8 }}
*/ -}}
{{- define "train.pod.volumes" -}}
{{- $values := .Run.values -}}
- name: run
  configMap:
    name: {{ include "train.name.run" . | quote }}
    {{- /* Git executes the credential helper. */}}
    defaultMode: 0555
    items:
      {{- include "train.run.items" . | nindent 6 }}
- name: workspace
{{- if eq $values.workspace.type "emptyDir" }}
  emptyDir:
    sizeLimit: {{ include "train.amount" $values.workspace.size | quote }}
{{- else if eq $values.workspace.type "ephemeral" }}
  {{- include "train.pod.ephemeral" $values.workspace | nindent 2 }}
{{- else }}
  {{- include "train.pod.claim" (dict "name" (include "train.name.claim" .) "readOnly" false "context" .) | nindent 2 }}
{{- end }}
- name: tmp
  emptyDir: {}
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ include "train.amount" $values.sharedMemory | quote }}
{{- range $name, $mounted := include "train.secrets" . | fromJson }}
{{ include "train.pod.secret" (merge (dict "name" $name) $mounted) }}
{{- end }}
{{- with include "train.programSecrets" . | fromJson }}
- name: program-secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $path, $secret := . }}
      - secret:
          name: {{ quote $secret.secretName }}
          {{- /* As in train.pod.secret. */}}
          optional: true
          items:
            - key: {{ quote $secret.key }}
              path: {{ quote $path }}
      {{- end }}
{{- end }}
{{- if $values.caBundle.configMapName }}
- name: ca
  configMap:
    name: {{ $values.caBundle.configMapName | quote }}
    optional: true
    items:
      - key: {{ $values.caBundle.key | quote }}
        path: ca.crt
{{- end }}
{{- range $name := include "train.sources" . | fromJsonArray }}
{{- $source := get $values $name }}
{{- if eq $source.type "claim" }}
- name: {{ $name }}
  {{- include "train.pod.claim" (dict "name" $source.claimName "readOnly" true "context" $) | nindent 2 }}
{{- end }}
{{- end }}
{{- range $values.volumes }}
- name: volume-{{ .name }}
  {{- if .claimName }}
  {{- include "train.pod.claim" (dict "name" .claimName "readOnly" .readOnly "context" $) | nindent 2 }}
  {{- else if .configMapName }}
  configMap:
    name: {{ quote .configMapName }}
  {{- else if .secretName }}
  secret:
    secretName: {{ quote .secretName }}
    defaultMode: 0440
  {{- else }}
  {{- include "train.pod.ephemeral" .ephemeral | nindent 2 }}
  {{- end }}
{{- end }}
{{- with $values.cache.claimName }}
- name: cache
  {{- include "train.pod.claim" (dict "name" . "readOnly" $values.cache.readOnly "context" $) | nindent 2 }}
{{- end }}
{{- end -}}
