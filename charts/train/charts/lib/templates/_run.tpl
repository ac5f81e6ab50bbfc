{{- /*
The ConfigMap that is mounted at /trainchart. Its keys cannot hold a slash: <folder>.<file> becomes <folder>/<file>.
*/ -}}

{{- /*
The files of the run, as JSON: path below /trainchart -> path in the chart. A family's data file is the chart's alone.
Usage: {{ include "train.files" . | fromJson }}
*/ -}}
{{- define "train.files" -}}
{{- $files := dict -}}
{{- range $path, $_ := .Subcharts.lib.Files.Glob "files/runner/*" -}}
{{- $_ := set $files (printf "runner/%s" (base $path)) $path -}}
{{- end -}}
{{- $_ := set $files "features/__init__.py" "files/features/__init__.py" -}}
{{- $_ := set $files "pod.json" "files/pod.json" -}}
{{- range $feature := include "train.features" . | fromJsonArray -}}
{{- range $path, $_ := $.Subcharts.lib.Files.Glob (printf "files/features/%s/*" $feature) -}}
{{- $_ := set $files (printf "features/%s/%s" $feature (base $path)) $path -}}
{{- end -}}
{{- end -}}
{{- range $path, $_ := .Subcharts.lib.Files.Glob (printf "files/families/%s/*" .Values.family) -}}
{{- if ne (base $path) "family.yaml" -}}
{{- $_ := set $files (printf "family/%s" (base $path)) $path -}}
{{- end -}}
{{- end -}}
{{- $files | toJson -}}
{{- end -}}

{{- /*
The optional parts of the runner that this run uses (folders of files/features/), as JSON.
Usage: {{ include "train.features" . | fromJsonArray }}
*/ -}}
{{- define "train.features" -}}
{{- $features := .Run.family.features | default list -}}
{{- range include "train.stores" . | fromJsonArray -}}
{{- $features = append $features "s3" -}}
{{- if (get $.Run.values .).workloadIdentity -}}
{{- $features = append $features "identity" -}}
{{- end -}}
{{- end -}}
{{- $features = append $features (get (dict "git" "push" "s3" "upload") .Run.values.publish.type) -}}
{{- if include "train.ssh" . -}}
{{- $features = append $features "ssh" -}}
{{- end -}}
{{- if or .Run.values.model.submodules .Run.values.dataset.submodules -}}
{{- $features = append $features "submodules" -}}
{{- end -}}
{{- if gt (int .Run.values.replicas) 1 -}}
{{- $features = append $features "gang" -}}
{{- end -}}
{{- if .Run.values.cache.claimName -}}
{{- $features = append $features "cache" -}}
{{- end -}}
{{- if .Run.values.mlflow.trackingUri -}}
{{- $features = append $features "mlflow" -}}
{{- end -}}
{{- if include "train.programSecrets" . | fromJson -}}
{{- $features = append $features "secrets" -}}
{{- end -}}
{{- if eq .Run.values.sidecars "allow" -}}
{{- $features = append $features "sidecars" -}}
{{- end -}}
{{- if include "train.resources.rdma" . -}}
{{- $features = append $features "rdma" -}}
{{- end -}}
{{- if .Run.values.tune.trials -}}
{{- $features = append $features "tune" -}}
{{- end -}}
{{- $features | uniq | compact | toJson -}}
{{- end -}}

{{- /*
The runner's settings (docs/runner.md), as indented JSON: the effective values under their own names, without those that are not the
run's, and under `run` what the values alone do not say. An upgrade is compared with them, value by value (_unchanged.tpl).
Usage: {{ include "train.settings" . }}
*/ -}}
{{- define "train.settings" -}}
{{- /* A Job that was refused for its queue or priority is created again with others; the ConfigMap then exists already. */ -}}
{{- $values := omit .Run.values "networkPolicy" "owner" "queue" "priorityClassName" "global" "lib" -}}
{{- $_ := set $values "workspace" (omit $values.workspace "keep") -}}
{{- $_ := set $values "run" (dict
  "version" (include "train.settings.version" . | int)
  "name" .Release.Name
  "namespace" .Release.Namespace
  "service" (include "train.name.service" .)
  "backend" .Run.profile.backend
  "processes" (include "train.accelerator.processes" . | int)
  "timeLimitSeconds" (include "train.seconds" $values.timeLimit | int64)
  "holdSeconds" (include "train.seconds" ($values.holdAfterFailure | default "0s") | int64)
  "patienceSeconds" (include "train.seconds" $values.publish.patience | int64)
  "sharedMemoryBytes" (include "train.quantity" $values.sharedMemory | int64)
  "workspaceBytes" (ternary (include "train.quantity" $values.workspace.size | int64) 0 (eq $values.workspace.type "emptyDir"))
  "rdma" (include "train.resources.rdma" . | empty | not)
  "credentials" (include "train.git.credentials" . | fromJson)
  "family" (pick .Run.family "framework" "task" "launcher" "modelPath" "features" "libraries" "writesBeside")) -}}
{{- $values | toPrettyJson | include "train.json.escaped" -}}
{{- end -}}

{{- /* The version of their form, which the runner knows too. Usage: {{ include "train.settings.version" . | int }} */ -}}
{{- define "train.settings.version" -}}2{{- end -}}

{{- /*
Data of the ConfigMap, indented by 2: the settings, and every program as it stands in the chart.
Usage: {{ include "train.run.data" . }}
*/ -}}
{{- define "train.run.data" }}
  settings.json: |
    {{- include "train.settings" . | nindent 4 }}
{{- if include "train.ssh" . }}
  {{- /* ssh runs for a user with a name only, and images do not know that of runAsUser. */}}
  passwd: |
    {{- $ids := .Run.values.securityContext }}
    trainchart:x:{{ int64 $ids.runAsUser }}:{{ int64 $ids.runAsGroup }}::/tmp/home:/usr/sbin/nologin
    root:x:0:0:root:/root:/usr/sbin/nologin
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
{{- end }}
{{- range $target, $path := .Run.files }}
  {{- /* The indicator is for a file that begins with a blank line or space. */}}
  {{ $target | replace "/" "." }}: |2
    {{- $.Subcharts.lib.Files.Get $path | trimSuffix "\n" | nindent 4 }}
{{- end }}
{{- end -}}

{{- /*
The volume's items: which key lies where.
Usage: {{ include "train.run.items" . | nindent 6 }}
*/ -}}
{{- define "train.run.items" -}}
- {key: settings.json, path: settings.json}
{{- if include "train.ssh" . }}
- {key: passwd, path: passwd}
{{- end }}
{{- range $target, $_ := .Run.files }}
- {key: {{ $target | replace "/" "." }}, path: {{ $target }}}
{{- end }}
{{- end -}}
