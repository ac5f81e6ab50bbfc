{{- /*
The rules: conditions on several values, or on quantities and names. The schema has already checked the shape of each value. Every
group (rules/_<group>.tpl) checks .Run and returns a JSON list of messages, each with the key, its value and the fix; all are reported
together.
Usage: {{ include "train.rules" . }}
*/ -}}
{{- define "train.rules" -}}
{{- $violations := list -}}
{{- range list "names" "sources" "secrets" "folders" "accelerator" "topology" "resources" "workspace" "train" "tune" "network" "placement" "pod" "volumes" -}}
{{- $violations = concat $violations (include (printf "train.rules.%s" .) $ | fromJsonArray) -}}
{{- end -}}
{{- if $violations -}}
{{- fail (printf "\ntrainchart: these values cannot run:\n  - %s\n" (join "\n  - " $violations)) -}}
{{- end -}}
{{- end -}}
