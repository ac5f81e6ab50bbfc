{{- /* The Volcano Job. Usage: {{ include "train.job" . }} */ -}}
{{- define "train.job" -}}
{{- $values := .Run.values -}}
{{- $profile := .Run.profile -}}
{{- $replicas := int $values.replicas -}}
{{- /* Volcano counts attempts, not retries, and replaces 0 by 3. */ -}}
{{- $tries := add1 (int $values.retries) -}}
{{- /*
Volcano ends a Job as Failed, regardless of its policies, if it processes the Job after its last pod has failed and before that pod's
event (docs/decisions/0022). Therefore a run of one pod with retries has a second task whose pod is never created: it depends on the
first task's pod being ready, which it never is.
*/ -}}
{{- $guarded := and (eq $replicas 1) (gt (int $values.retries) 0) -}}
{{- /* All fields that Volcano's webhook would default are set, so that an identical upgrade changes nothing. */}}
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata:
  name: {{ include "train.name" . | quote }}
  {{- include "train.metadata" . | nindent 2 }}
  {{- with include "train.job.annotations" . | fromJson }}
  annotations: {{ include "train.json" . }}
  {{- end }}
spec:
  schedulerName: volcano
  queue: {{ $values.queue | quote }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ quote . }}
  {{- end }}
  {{- with $values.networkTopology.mode }}
  networkTopology: {{ include "train.json" $values.networkTopology }}
  {{- end }}
  {{- /* Gang scheduling: all pods or none. */}}
  minAvailable: {{ $replicas }}
  maxRetry: {{ $tries }}
  {{- with $values.ttlAfterFinished }}
  {{- /* Volcano removes the Job and its pods this long after it is Completed, Failed or Terminated. */}}
  ttlSecondsAfterFinished: {{ include "train.seconds" . }}
  {{- end }}
  plugins:
    env: []
    svc:
      - --publish-not-ready-addresses=true
      - --disable-network-policy=true
  policies:
    {{- /* A user's error ends the run. The first matching policy applies, so these precede the restart. */}}
    {{- range (.Subcharts.lib.Files.Get "files/runner/exit_codes.json" | fromJson).codes }}
    {{- if and .code (not .retried) }}
    - exitCode: {{ int .code }}
      action: TerminateJob
    {{- end }}
    {{- end }}
    - events: [PodFailed, PodEvicted]
      action: RestartJob
  tasks:
    - name: train
      replicas: {{ $replicas }}
      minAvailable: {{ $replicas }}
      maxRetry: {{ $tries }}
      {{- if $guarded }}
      policies:
        {{- /* The guard's pod never exists, so the Job completes with this task. */}}
        - event: TaskCompleted
          action: CompleteJob
      {{- end }}
      template:
        metadata:
          labels: {{ include "train.pod.labels" . }}
          {{- with include "train.pod.annotations" . | fromJson }}
          annotations: {{ include "train.json" . }}
          {{- end }}
        spec:
          {{- include "train.pod.spec" . | nindent 10 }}
          {{- with include "train.accelerator.scheduler" . }}
          schedulerName: {{ quote . }}
          {{- end }}
          {{- with $values.runtimeClassName | default $profile.runtimeClassName }}
          runtimeClassName: {{ quote . }}
          {{- end }}
          {{- with $values.topologySpread }}
          topologySpreadConstraints:
            {{- /* Volcano's label, which only the pods of the gang have. */}}
            {{- $selector := dict "labelSelector" (dict "matchLabels" (dict "volcano.sh/job-name" (include "train.name" $))) }}
            {{- range . }}
            - {{ merge dict . $selector (dict "maxSkew" 1 "whenUnsatisfiable" "DoNotSchedule") | include "train.json" }}
            {{- end }}
          {{- end }}
          {{- /* The runner enforces timeLimit itself, with a message; this is a fallback. */}}
          activeDeadlineSeconds: {{ add (include "train.seconds" $values.timeLimit) 300 }}
          {{- /* Time for the trainer to stop, and for the runner to report it. */}}
          terminationGracePeriodSeconds: 60
          {{- if $profile.deviceClass }}
          resourceClaims:
            - name: devices
              resourceClaimTemplateName: {{ include "train.name.devices" . | quote }}
          {{- end }}
          containers:
            - name: {{ include "train.name.container" . }}
              image: {{ $values.image | quote }}
              imagePullPolicy: {{ $values.imagePullPolicy | quote }}
              command: [python3, -m, runner]
              workingDir: /trainchart
              env:
                {{- include "train.pod.env" . | nindent 16 }}
              ports:
                - name: rendezvous
                  containerPort: {{ int .Run.pod.port }}
                  protocol: TCP
              {{- with include "train.resources" . | fromJson }}
              resources: {{ include "train.json" . }}
              {{- end }}
              {{- if $guarded }}
              {{- /* The first probe is never due, so the container never becomes ready. */}}
              readinessProbe:
                tcpSocket:
                  port: rendezvous
                initialDelaySeconds: 2147483647
              {{- end }}
              securityContext:
                {{- include "train.pod.securityContext" . | nindent 16 }}
              volumeMounts:
                {{- include "train.pod.mounts" . | nindent 16 }}
          volumes:
            {{- include "train.pod.volumes" . | nindent 12 }}
    {{- if $guarded }}
    - name: guard
      replicas: 1
      minAvailable: 0
      maxRetry: {{ $tries }}
      dependsOn:
        name: [train]
      template:
        spec:
          restartPolicy: Never
          automountServiceAccountToken: false
          securityContext:
            runAsNonRoot: true
            runAsUser: {{ int64 $values.securityContext.runAsUser }}
            seccompProfile:
              type: RuntimeDefault
          containers:
            - name: guard
              image: {{ $values.image | quote }}
              imagePullPolicy: {{ $values.imagePullPolicy | quote }}
              command: ["true"]
              securityContext:
                {{- include "train.pod.securityContext" . | nindent 16 }}
    {{- end }}
{{- end -}}

{{- /* The annotations of the Job, as JSON. Usage: {{ include "train.job.annotations" . | fromJson }} */ -}}
{{- define "train.job.annotations" -}}
{{- $annotations := dict -}}
{{- if not (include "train.workspace.temporary" .) -}}
{{- /* `trainchart doctor` reads which run uses which folder of a claim. */ -}}
{{- $_ := set $annotations "trainchart.dev/workspace-directory" (include "train.workspace.directory" .) -}}
{{- end -}}
{{- with int .Run.values.accelerator.count -}}
{{- /* Of all pods: `trainchart list` counts device-hours by it, without knowing the resources of all vendors. */ -}}
{{- $_ := set $annotations "trainchart.dev/devices" (mul . (int $.Run.values.replicas) | toString) -}}
{{- end -}}
{{- if not .Run.values.preemptible -}}
{{- /* Volcano copies it to the pods, where its scheduler reads it. */ -}}
{{- $_ := set $annotations "volcano.sh/preemptable" "false" -}}
{{- end -}}
{{- $annotations | toJson -}}
{{- end -}}
