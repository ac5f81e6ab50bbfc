{{- /* Requests within limits, as quantities, and shared memory within the pod's memory. */ -}}
{{- define "train.rules.resources" -}}
{{- $broken := list -}}
{{- $requests := .Run.values.resources.requests | default dict -}}
{{- $limits := .Run.values.resources.limits | default dict -}}
{{- range $key := list "cpu" "memory" -}}
{{- $request := get $requests $key -}}
{{- $limit := get $limits $key -}}
{{- if and $request $limit (gt (include "train.thousandths" $request | float64) (include "train.thousandths" $limit | float64)) -}}
{{- $broken = append $broken (printf "resources.requests.%s: %v is more than resources.limits.%s %v; lower the request or raise the limit" $key $request $key $limit) -}}
{{- end -}}
{{- end -}}
{{- if and $limits.memory (gt (include "train.quantity" .Run.values.sharedMemory | int64) (include "train.quantity" $limits.memory | int64)) -}}
{{- $broken = append $broken (printf "sharedMemory: %v is more than resources.limits.memory %v, which it counts towards; make it smaller" .Run.values.sharedMemory $limits.memory) -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
