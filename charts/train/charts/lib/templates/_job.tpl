{{- /* The Volcano Job. Usage: {{ include "train.job" . }} */ -}}
{{- define "train.job" -}}
{{- $values := .Run.values -}}
{{- $profile := .Run.profile -}}
{{- $replicas := int $values.replicas -}}
{{- /* Volcano counts tries, not retries, and makes 3 of a 0. */ -}}
{{- $tries := add1 (int $values.retries) -}}
{{- /*
Volcano ends a Job as Failed, whatever its policies say, when it looks at the Job after its last pod has failed and before it has
come to that pod's event (docs/decisions/0022). So a run of one pod that may be tried again has a second task whose pod is never
made: it waits for the first one's to be ready, which it never says it is.
*/ -}}
{{- $guarded := and (eq $replicas 1) (gt (int $values.retries) 0) -}}
{{- /* Every field that Volcano's webhook would fill in is written out: an identical upgrade then changes nothing. */}}
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata:
  name: {{ include "train.name" . | quote }}
  labels:
    {{- include "train.labels" . | nindent 4 }}
  {{- if ne $values.workspace.type "emptyDir" }}
  annotations:
    {{- /* For `trainchart doctor`: which run works in which folder of a claim. */}}
    trainchart.dev/workspace-directory: {{ include "train.workspace.directory" . | quote }}
  {{- end }}
spec:
  schedulerName: volcano
  queue: {{ $values.queue | quote }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ quote . }}
  {{- end }}
  {{- /* The gang: all pods or none. */}}
  minAvailable: {{ $replicas }}
  maxRetry: {{ $tries }}
  {{- with $values.ttlAfterFinished }}
  {{- /* Volcano removes the Job and its pods this long after a run that is Completed, Failed or Terminated. */}}
  ttlSecondsAfterFinished: {{ include "train.seconds" . }}
  {{- end }}
  plugins:
    env: []
    svc:
      - --publish-not-ready-addresses=true
      - --disable-network-policy=true
  policies:
    {{- /* A user's error ends the run; the first match wins, so these come before the restart. */}}
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
        {{- /* All pods of the Job are more than there will ever be: its end is this task's. */}}
        - event: TaskCompleted
          action: CompleteJob
      {{- end }}
      template:
        metadata:
          labels:
            {{- include "train.labels.selector" . | nindent 12 }}
          {{- with $profile.annotations }}
          annotations: {{ include "train.json" . }}
          {{- end }}
        spec:
          {{- include "train.pod.spec" . | nindent 10 }}
          {{- with $profile.runtimeClassName }}
          runtimeClassName: {{ quote . }}
          {{- end }}
          {{- /* The runner keeps the limit itself, with words; this one is for a runner that cannot. */}}
          activeDeadlineSeconds: {{ add (include "train.seconds" $values.timeLimit) 300 }}
          {{- /* Time for the trainer to end in order, and to say so. */}}
          terminationGracePeriodSeconds: 60
          {{- if $profile.deviceClass }}
          resourceClaims:
            - name: devices
              resourceClaimTemplateName: {{ include "train.name.devices" . | quote }}
          {{- end }}
          containers:
            - name: train
              image: {{ $values.image | quote }}
              imagePullPolicy: {{ $values.imagePullPolicy | quote }}
              command: [python3, -m, runner]
              workingDir: /trainchart
              env:
                {{- include "train.pod.env" . | nindent 16 }}
              ports:
                - name: rendezvous
                  containerPort: 23456
                  protocol: TCP
              {{- with include "train.resources" . | fromJson }}
              resources: {{ include "train.json" . }}
              {{- end }}
              {{- if $guarded }}
              {{- /* Never asked, so the container never counts as ready. */}}
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
