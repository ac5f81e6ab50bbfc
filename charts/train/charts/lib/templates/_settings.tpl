{{- /*
The runner's settings, as indented JSON: see docs/runner.md, which is their contract.
Usage: {{ include "train.settings" . }}
*/ -}}
{{- define "train.settings" -}}
{{- $values := .Run.values -}}
{{- $family := .Run.family -}}
{{- $profile := .Run.profile -}}
{{- $sources := dict -}}
{{- if $values.model.repository -}}
{{- $_ := set $sources "model" (dict "repository" $values.model.repository "revision" ($values.model.revision | default "") "path" ($family.modelPath | default "model")) -}}
{{- end -}}
{{- if $values.dataset.repository -}}
{{- $_ := set $sources "dataset" (dict "repository" $values.dataset.repository "revision" ($values.dataset.revision | default "") "path" ($values.dataset.path | default "dataset")) -}}
{{- end -}}
{{- $publish := dict "type" $values.publish.type -}}
{{- if eq $values.publish.type "git" -}}
{{- $publish = dict "type" "git" "repository" $values.publish.repository "branch" ($values.publish.branch | default "") -}}
{{- end -}}
{{- $model := $values.publish.modelName | default (trimSuffix ".git" (base (trimSuffix "/" ($values.publish.repository | default .Release.Name)))) -}}
{{- $_ := set $publish "modelName" $model -}}
{{- $_ := set $publish "maxBatchSize" (int $values.publish.maxBatchSize) -}}
{{- dict
  "version" 1
  "run" (dict "name" .Release.Name "timeLimitSeconds" (include "train.seconds" $values.timeLimit | int64))
  "family" (dict "name" $values.family "framework" $family.framework "task" $family.task "launcher" $family.launcher)
  "workspace" (dict
    "path" "/workspace"
    "directory" ($values.workspace.directory | default .Release.Name)
    "shared" (ne $values.workspace.type "emptyDir")
    "sizeBytes" (ternary (include "train.quantity" $values.workspace.size | int64) 0 (eq $values.workspace.type "emptyDir")))
  "git" (dict
    "credentials" (ternary "/var/run/trainchart/git" "" (not (empty $values.git.secretName)))
    "secretName" ($values.git.secretName | default "")
    "userKey" $values.git.userKey
    "tokenKey" $values.git.tokenKey
    "caBundle" (ternary "/var/run/trainchart/ca/ca.crt" "" (not (empty $values.git.caBundle.configMapName)))
    "allowPlainHttp" $values.git.allowPlainHttp)
  "sources" $sources
  "accelerator" (dict "profile" $profile.name "backend" $profile.backend "count" (int ($values.accelerator.count | default 0)))
  "sharedMemoryBytes" (include "train.quantity" $values.sharedMemory | int64)
  "topology" (dict
    "replicas" (int $values.replicas)
    "processes" (include "train.accelerator.processes" . | int)
    "service" (include "train.name.service" .)
    "port" 23456
    "joinSeconds" 600
    "peerGraceSeconds" 30)
  "train" $values.train
  "publish" $publish
  | toPrettyJson -}}
{{- end -}}
