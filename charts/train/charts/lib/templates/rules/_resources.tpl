{{- /* Requests must not exceed limits, nor shared memory the pod's memory. */ -}}
{{- define "train.rules.resources" -}}
{{- $violations := list -}}
{{- $requests := .Run.values.resources.requests | default dict -}}
{{- $limits := .Run.values.resources.limits | default dict -}}
{{- $small := and $limits.memory (include "train.bytes.meant" $limits.memory) -}}
{{- if $small -}}
{{- $violations = append $violations (printf "resources.limits.memory: is %v, which is %s, and no program runs in that; write %s" $limits.memory (include "train.bytes.are" $limits.memory) $small) -}}
{{- end -}}
{{- range $key := list "cpu" "memory" -}}
{{- $request := get $requests $key -}}
{{- $limit := get $limits $key -}}
{{- if and (eq $key "memory") $small -}}
{{- else if and $request $limit (gt (include "train.thousandths" $request | float64) (include "train.thousandths" $limit | float64)) -}}
{{- $violations = append $violations (printf "resources.requests.%s: %v is more than resources.limits.%s %v; lower the request or raise the limit" $key $request $key $limit) -}}
{{- end -}}
{{- end -}}
{{- if and $limits.memory (not $small) (gt (include "train.quantity" .Run.values.sharedMemory | int64) (include "train.quantity" $limits.memory | int64)) -}}
{{- $violations = append $violations (printf "sharedMemory: %v is more than resources.limits.memory %v, which includes it; lower it" .Run.values.sharedMemory $limits.memory) -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}
