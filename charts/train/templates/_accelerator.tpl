{{- /*
Accelerators. A profile (files/accelerators/<name>.yaml) says for count, corePercent and memory which resource asks for it,
its range, and for memory how much one unit of the resource is. Nothing here knows a vendor.
*/ -}}

{{- /*
Resource limits for the accelerator, as JSON: name -> integer, as text. Limits only: Kubernetes takes the request from them.
Usage: {{ include "train.accelerator.limits" (dict "values" $values "profile" $profile) | fromJson }}
*/ -}}
{{- define "train.accelerator.limits" -}}
{{- $limits := dict -}}
{{- $accelerator := .values.accelerator -}}
{{- range $key, $resource := .profile.resources -}}
{{- $asked := get $accelerator $key -}}
{{- if $asked -}}
{{- $amount := int64 0 -}}
{{- if $resource.unit -}}
{{- $amount = div (include "train.quantity" $asked | int64) (include "train.quantity" $resource.unit | int64) -}}
{{- else -}}
{{- $amount = int64 $asked -}}
{{- end -}}
{{- $_ := set $limits (get $accelerator.resourceNames $key | default $resource.name) (toString $amount) -}}
{{- end -}}
{{- end -}}
{{- $limits | toJson -}}
{{- end -}}

{{- /*
Training processes per pod: one, or one per device.
Usage: {{ include "train.accelerator.processes" (dict "values" $values "profile" $profile) }}
*/ -}}
{{- define "train.accelerator.processes" -}}
{{- if eq .profile.processes "perDevice" -}}{{ max 1 (.values.accelerator.count | default 1 | int) }}{{- else -}}1{{- end -}}
{{- end -}}
