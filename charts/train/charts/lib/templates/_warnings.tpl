{{- /*
What will run, but perhaps not as its user thinks: told in NOTES and by `trainchart validate`, one line each, with the key.
Usage: {{ range include "train.warnings" . | fromJsonArray }}
*/ -}}
{{- define "train.warnings" -}}
{{- $values := .Run.values -}}
{{- $devices := $values.accelerator.count | default 0 | int -}}
{{- $warnings := list -}}
{{- if and (gt $devices 1) (lt (include "train.quantity" $values.sharedMemory | int64) (include "train.quantity" "4Gi" | int64)) -}}
{{- $warnings = append $warnings (printf "sharedMemory: %v is little for %d devices, whose processes exchange data through it; 4Gi or more is usual" $values.sharedMemory $devices) -}}
{{- end -}}
{{- if regexMatch "(^[^:]*|/[^:]*|:latest)$" $values.image -}}
{{- $warnings = append $warnings (printf "image: %q has no tag, or latest: another run may train with another image; name a version or a digest" $values.image) -}}
{{- end -}}
{{- $home := include "train.git.home" . -}}
{{- $used := false -}}
{{- range $section, $credentials := include "train.git.credentials" . | fromJson -}}
{{- $used = or $used (eq $credentials.key "git.secretName") -}}
{{- if and $values.git.secretName (not $credentials.secret) -}}
{{- $warnings = append $warnings (printf "%s.repository: is on another server than %s.repository, and git.secretName is for that one alone, so it is fetched without credentials; set %s.secretName unless it is public" $section $home $section) -}}
{{- end -}}
{{- end -}}
{{- if and $values.git.secretName (not $used) -}}
{{- $warnings = append $warnings (printf "git.secretName: is %q, and no repository of this run needs it, so it is not mounted; leave it empty" $values.git.secretName) -}}
{{- end -}}
{{- if and (eq $values.workspace.type "emptyDir") (eq $values.publish.type "git") -}}
{{- $warnings = append $warnings (printf "workspace.type: emptyDir loses the result when it cannot be pushed within publish.patience (%s); on a claim it stays" $values.publish.patience) -}}
{{- end -}}
{{- range $name, $value := $values.env -}}
{{- if regexMatch "://[^/ ]*@" $value -}}
{{- $warnings = append $warnings (printf "env.%s: holds a user or password, and is shown to everybody who may read the release; use one without" $name) -}}
{{- end -}}
{{- end -}}
{{- $warnings | toJson -}}
{{- end -}}
