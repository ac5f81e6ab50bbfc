{{- /* The notes that Helm prints after the installation. Usage: {{ include "train.notes" . }} */ -}}
{{- define "train.notes" -}}
{{- $values := .Run.values -}}
{{- $namespace := .Release.Namespace -}}
{{- $name := include "train.name" . -}}
{{- $directory := include "train.workspace.directory" . | include "train.printable" -}}
Run {{ $name }}: {{ .Run.family.title }} on {{ include "train.printable" .Run.profile.title }}, {{ int $values.replicas }} pod(s) in queue {{ include "train.printable" $values.queue }}.

Follow it with the trainchart tools (the exit code of wait is that of the run):
{{- range list "wait" "status" "logs" "result" "stop" }}
  trainchart {{ . }} {{ $name }} -n {{ $namespace }}
{{- end }}

Or with kubectl:
  kubectl -n {{ $namespace }} get vcjob {{ $name }} -w
  kubectl -n {{ $namespace }} logs -f {{ $name }}-train-0
{{- if gt (int $values.replicas) 1 }}
All of its pods (if one of them ends the run with an error, only that one remains):
  kubectl -n {{ $namespace }} logs -f -l volcano.sh/job-name={{ $name }} --prefix --tail=-1
{{- end }}

Wait until it finishes ("helm --wait" does not support Volcano Jobs). Completed is success; Failed, Terminated and Aborted are failures:
  kubectl -n {{ $namespace }} wait vcjob/{{ $name }} --for=jsonpath='{.status.state.phase}'=Completed --timeout={{ include "train.printable" $values.timeLimit }}

Print its result, or why it failed, as JSON. (If it prints `exec: "python3": executable file not found`, the image has no python3.)
  kubectl -n {{ $namespace }} get pod {{ $name }}-train-0 -o jsonpath='{.status.containerStatuses[0].state.terminated.message}'

If no pod appears within a minute, the events of the PodGroup tell why:
  kubectl -n {{ $namespace }} describe podgroup -l app.kubernetes.io/instance={{ $name }}

Check the repositories, revisions and Secrets:
  helm test {{ $name }} -n {{ $namespace }} --logs
{{ if eq $values.publish.type "git" }}
The result goes to {{ include "train.printable" $values.publish.repository }}, branch {{ $values.publish.branch | default "sft-<date>-<time>" | include "train.printable" }}.
{{- else if eq $values.publish.type "s3" }}
The result goes to {{ include "train.printable" (printf "%s/%s" (trimSuffix "/" $values.publish.endpoint) $values.publish.bucket) }}, folder {{ list ($values.publish.prefix | default "" | trimAll "/") ($values.publish.folder | default (printf "%s-<8 characters of the Job's UID>" $name)) | compact | join "/" | include "train.printable" }}.
{{- else }}
The result stays in the workspace, in {{ $directory }}/artifacts.
{{- end }}
{{- if include "train.workspace.temporary" . }}
The logs of earlier attempts are lost with their pods. The workspace is deleted with its pod: {{ if gt (int $values.replicas) 1 }}every pod has its own clone, and {{ end }}a restarted run starts from scratch.
{{- else }}
All pods share one clone, and a restarted run resumes from its last checkpoint. So does a new release on the same claim with workspace.directory: {{ $directory }} and the same settings.
The logs of every attempt are kept there, in {{ $directory }}/logs.
{{- end }}
{{- if eq $values.workspace.type "newClaim" }}
"helm uninstall {{ $name }}" {{ if $values.workspace.keep }}keeps{{ else }}deletes{{ end }} the workspace, claim {{ $name }}-workspace.
{{- else if eq $values.workspace.type "existingClaim" }}
The workspace is claim {{ include "train.printable" $values.workspace.claimName }}; "helm uninstall {{ $name }}" keeps it.
{{- end }}
{{- with $values.owner }}
It belongs to {{ .kind }} {{ .name }}, and is removed with it.
{{- end }}
"helm upgrade" does not change a run: with other values it is refused. Install another run as another release.
{{- with $values.ttlAfterFinished }}
{{ include "train.printable" . }} after it finishes, the Job is removed with its pods and their logs; the release stays, and does not start it again.
{{- end }}
{{- range include "train.warnings" . | fromJsonArray }}

Warning: {{ include "train.printable" . }}
{{- end }}
{{- end -}}
