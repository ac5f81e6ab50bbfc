{{- /*
Accelerators. A profile (files/accelerators/<name>.yaml, or one of the user's) says for count, corePercent and memory which
resource asks for it, its range, and for memory how much one unit of the resource is. Nothing here knows a vendor.
*/ -}}

{{- /*
The name of the resource that a key asks for: the user's, or the profile's with its {variant} filled in.
Usage: {{ include "train.accelerator.resource" (dict "root" . "key" "count") }}
*/ -}}
{{- define "train.accelerator.resource" -}}
{{- $accelerator := .root.Run.values.accelerator -}}
{{- $name := (get .root.Run.profile.resources .key).name | default "" -}}
{{- get $accelerator.resourceNames .key | default ($name | replace "{variant}" ($accelerator.variant | default "")) -}}
{{- end -}}

{{- /*
Resource limits for the accelerator, as JSON: name -> integer, as text. Limits only: Kubernetes takes the request from them.
Usage: {{ include "train.accelerator.limits" . | fromJson }}
*/ -}}
{{- define "train.accelerator.limits" -}}
{{- $limits := dict -}}
{{- if not .Run.profile.deviceClass -}}
{{- range $key, $resource := .Run.profile.resources -}}
{{- with get $.Run.values.accelerator $key -}}
{{- $amount := int64 0 -}}
{{- if $resource.unit -}}
{{- $amount = div (include "train.quantity" . | int64) (include "train.quantity" $resource.unit | int64) -}}
{{- else -}}
{{- $amount = int64 . -}}
{{- end -}}
{{- $_ := set $limits (include "train.accelerator.resource" (dict "root" $ "key" $key)) (toString $amount) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $limits | toJson -}}
{{- end -}}

{{- /*
Training processes per pod: one, or one per device.
Usage: {{ include "train.accelerator.processes" . }}
*/ -}}
{{- define "train.accelerator.processes" -}}
{{- if eq .Run.profile.processes "perDevice" -}}{{ max 1 (.Run.values.accelerator.count | default 1 | int) }}{{- else -}}1{{- end -}}
{{- end -}}
