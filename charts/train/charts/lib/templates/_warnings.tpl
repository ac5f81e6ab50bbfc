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
{{- $warnings | toJson -}}
{{- end -}}
