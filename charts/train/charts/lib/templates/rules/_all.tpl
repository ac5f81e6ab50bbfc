{{- /*
The rules: what spans several values, or needs quantities or names. The schema has checked each value's shape before.
Every group (rules/_<group>.tpl) looks at .Run and returns a JSON list of messages, each with the key, the
value found and the fix; all of them are told at once.
Usage: {{ include "train.rules" . }}
*/ -}}
{{- define "train.rules" -}}
{{- $broken := list -}}
{{- range list "names" "sources" "folders" "accelerator" "topology" "resources" "workspace" "train" "tune" "network" "placement" -}}
{{- $broken = concat $broken (include (printf "train.rules.%s" .) $ | fromJsonArray) -}}
{{- end -}}
{{- if $broken -}}
{{- fail (printf "\ntrainchart: these values cannot run:\n  - %s\n" (join "\n  - " $broken)) -}}
{{- end -}}
{{- end -}}
