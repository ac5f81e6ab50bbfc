{{- /*
The runner's settings, as indented JSON: see docs/runner.md, which is their contract.
Usage: {{ include "train.settings" . }}
*/ -}}
{{- define "train.settings" -}}
{{- $values := .Run.values -}}
{{- $family := .Run.family -}}
{{- $profile := .Run.profile -}}
{{- $sources := dict -}}
{{- $paths := dict "model" ($family.modelPath | default "model") "dataset" ($values.dataset.path | default "dataset" | clean) -}}
{{- range $name := include "train.sources" . | fromJsonArray -}}
{{- $source := get $values $name -}}
{{- $entry := dict "type" $source.type "path" (get $paths $name) "cached" $source.cached -}}
{{- if eq $source.type "git" -}}
{{- $entry = merge $entry (dict "repository" $source.repository "revision" ($source.revision | default "")) -}}
{{- else if eq $source.type "claim" -}}
{{- $entry = merge $entry (dict "claim" $source.claimName "mount" (printf "/sources/%s" $name)) -}}
{{- else -}}
{{- $credentials := ternary (printf "/var/run/trainchart/%s" $name) "" (not (empty $source.secretName)) -}}
{{- $entry = merge $entry (dict "endpoint" (trimSuffix "/" $source.endpoint) "bucket" $source.bucket "prefix" ($source.prefix | default "") "region" $source.region "credentials" $credentials "secretName" ($source.secretName | default "") "accessKeyKey" $source.accessKeyKey "secretKeyKey" $source.secretKeyKey) -}}
{{- end -}}
{{- $_ := set $sources $name $entry -}}
{{- end -}}
{{- $publish := dict "type" $values.publish.type -}}
{{- if eq $values.publish.type "git" -}}
{{- $publish = dict "type" "git" "repository" $values.publish.repository "branch" ($values.publish.branch | default "") "patienceSeconds" (include "train.seconds" $values.publish.patience | int64) -}}
{{- end -}}
{{- $model := $values.publish.modelName | default (trimSuffix ".git" (base (trimSuffix "/" ($values.publish.repository | default .Release.Name)))) -}}
{{- $_ := set $publish "modelName" $model -}}
{{- $_ := set $publish "maxBatchSize" (int $values.publish.maxBatchSize) -}}
{{- dict
  "version" 1
  "run" (dict "name" .Release.Name "timeLimitSeconds" (include "train.seconds" $values.timeLimit | int64))
  "family" (dict "name" $values.family "framework" $family.framework "task" $family.task "launcher" $family.launcher "features" ($family.features | default list) "libraries" ($family.libraries | default list) "writesBeside" ($family.writesBeside | default dict))
  "workspace" (dict
    "path" "/workspace"
    "directory" (include "train.workspace.directory" .)
    "shared" (ne $values.workspace.type "emptyDir")
    "sizeBytes" (ternary (include "train.quantity" $values.workspace.size | int64) 0 (eq $values.workspace.type "emptyDir")))
  "git" (dict
    "credentials" (include "train.git.credentials" . | fromJson)
    "userKey" $values.git.userKey
    "tokenKey" $values.git.tokenKey
    "caBundle" (ternary "/var/run/trainchart/ca/ca.crt" "" (not (empty $values.git.caBundle.configMapName)))
    "allowPlainHttp" $values.git.allowPlainHttp)
  "sources" $sources
  "cache" (dict "path" (ternary "/cache" "" (not (empty $values.cache.claimName))) "readOnly" $values.cache.readOnly)
  "mlflow" (dict
    "trackingUri" ($values.mlflow.trackingUri | default "")
    "experiment" ($values.mlflow.experiment | default .Release.Namespace)
    "credentials" (ternary "/var/run/trainchart/mlflow" "" (not (empty $values.mlflow.secretName)))
    "secretName" ($values.mlflow.secretName | default "")
    "allowPlainHttp" $values.mlflow.allowPlainHttp
    "tokenKey" ($values.mlflow.tokenKey | default "")
    "userKey" ($values.mlflow.userKey | default "")
    "passwordKey" ($values.mlflow.passwordKey | default ""))
  "env" ($values.env | default dict)
  "image" $values.image
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
  "tune" (dict
    "trials" (int ($values.tune.trials | default 0))
    "metric" ($values.tune.metric | default "")
    "goal" $values.tune.goal
    "gracePeriod" (int ($values.tune.gracePeriod | default 0))
    "failureLimit" (int $values.tune.failureLimit)
    "seed" (int $values.tune.seed)
    "space" $values.tune.space)
  "publish" $publish
  | toPrettyJson | include "train.json.escaped" -}}
{{- end -}}
