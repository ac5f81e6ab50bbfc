{{- /*
Labels of every object of the chart.
Usage: {{ include "platform.labels" . | nindent 4 }}
*/ -}}
{{- define "platform.labels" -}}
app.kubernetes.io/name: platform
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: trainchart
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /*
Returns the trainings that engines get a template for, as JSON: a list of {name, family, parameters, inputs}. One per family, and one
of any family, which has no parameters. The inputs are the parameters and the text of a values file.
Usage: {{ range include "platform.trainings" . | fromJsonArray }}
*/ -}}
{{- define "platform.trainings" -}}
{{- $known := .Files.Get "files/parameters.json" | fromJson -}}
{{- $values := dict "name" "values" "description" "Text of a values file, of any family." -}}
{{- $trainings := list (dict "name" "training" "family" "" "parameters" list "inputs" (list $values)) -}}
{{- $words := "Text of a values file, for what has no parameter. A parameter that is not empty replaces what it says." -}}
{{- range $family := .Values.families | default (keys $known) | uniq | sortAlpha -}}
{{- with get $known $family -}}
{{- $inputs := append . (dict "name" "values" "description" $words "default" "") -}}
{{- $trainings = append $trainings (dict "name" (printf "%s-training" $family) "family" $family "parameters" . "inputs" $inputs) -}}
{{- end -}}
{{- end -}}
{{- toJson $trainings -}}
{{- end -}}

{{- /*
Returns what every training gives its engine, as JSON: a list of {name, description}. `submit --output` writes them.
Usage: {{ range include "platform.results" . | fromJsonArray }}
*/ -}}
{{- define "platform.results" -}}
{{- toJson (list
  (dict "name" "repository" "description" "Repository that the result was pushed to.")
  (dict "name" "branch" "description" "Branch of the result.")
  (dict "name" "commit" "description" "Commit of the result.")
  (dict "name" "metrics" "description" "Final metrics, as JSON.")
  (dict "name" "exit-code" "description" "Exit code of the run.")
) -}}
{{- end -}}

{{- /*
Returns the ServiceAccount that engines run steps as: the first of the submitters that has the right to Secrets; "" where none has.
Usage: serviceAccountName: {{ include "platform.account" . | quote }}
*/ -}}
{{- define "platform.account" -}}
{{- $accounts := list -}}
{{- range .Values.submitters -}}
{{- if and (eq (.kind | default "ServiceAccount") "ServiceAccount") (ne .secrets false) -}}
{{- $accounts = append $accounts .name -}}
{{- end -}}
{{- end -}}
{{- with $accounts }}{{ first . }}{{ end -}}
{{- end -}}

{{- /*
Returns the RBAC subjects of a list of submitters, in a namespace.
Usage: {{ include "platform.subjects" (dict "submitters" $submitters "namespace" .Release.Namespace) | trim | nindent 2 }}
*/ -}}
{{- define "platform.subjects" -}}
{{- range .submitters }}
{{- $kind := .kind | default "ServiceAccount" }}
- kind: {{ $kind }}
  name: {{ .name | quote }}
  {{- if eq $kind "ServiceAccount" }}
  namespace: {{ $.namespace | quote }}
  {{- else }}
  apiGroup: rbac.authorization.k8s.io
  {{- end }}
{{- end }}
{{- end -}}

{{- /*
What a container of the tools has in every engine, but for its command and resources: Pod Security "restricted", a root filesystem that
is read-only, and a folder for temporary files.
Usage: {{ include "platform.container" . | nindent 6 }}
*/ -}}
{{- define "platform.container" -}}
image: {{ .Values.image | quote }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
env:
  {{- /* By it, submit finds out whether its own pod is being evicted. */}}
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
volumeMounts:
  - {name: scratch, mountPath: /tmp}
{{- end -}}

{{- /*
Returns the resources of a step, without the empty ones.
Usage: resources: {{ include "platform.resources" . }}
*/ -}}
{{- define "platform.resources" -}}
{{- $resources := dict -}}
{{- range $kind := list "requests" "limits" -}}
{{- $amounts := dict -}}
{{- range $name, $amount := get $.Values.resources $kind -}}
{{- with $amount | toString | trimAll " " -}}{{- $_ := set $amounts $name . -}}{{- end -}}
{{- end -}}
{{- with $amounts -}}{{- $_ := set $resources $kind . -}}{{- end -}}
{{- end -}}
{{- toJson $resources -}}
{{- end -}}

{{- /*
Where pods of Argo and of the CronJob may run, and how they get the image; Tekton has these in the PipelineRun.
Usage: {{ with include "platform.pod" . | trim }}{{ nindent 2 . }}{{ end }}
*/ -}}
{{- define "platform.pod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- range $label, $value := . }}
  {{ quote $label }}: {{ quote $value }}
  {{- end }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- range . }}
  - operator: {{ .operator | default "Equal" | quote }}
    {{- range $field, $value := pick . "key" "value" "effect" }}
    {{ $field }}: {{ quote $value }}
    {{- end }}
    {{- with .tolerationSeconds }}
    tolerationSeconds: {{ int64 . }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}
