{{- /*
Accelerators. A profile (files/accelerators/<name>.yaml, or the user's) has the resource that requests each of count, corePercent and
memory, its range, and for memory the size of one unit of the resource. No template knows a vendor.
*/ -}}

{{- /*
Returns the name of the resource that a key requests: the user's, or the profile's with its {variant} replaced.
Usage: {{ include "train.accelerator.resource" (dict "root" . "key" "count") }}
*/ -}}
{{- define "train.accelerator.resource" -}}
{{- $accelerator := .root.Run.values.accelerator -}}
{{- $name := (get .root.Run.profile.resources .key).name | default "" -}}
{{- get $accelerator.resourceNames .key | default ($name | replace "{variant}" ($accelerator.variant | default "")) -}}
{{- end -}}

{{- /*
Returns the resource limits of the accelerator, as JSON: integers as text, by name. Only limits: Kubernetes derives the requests.
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
Returns the number of training processes per pod: one, or one per device.
Usage: {{ include "train.accelerator.processes" . }}
*/ -}}
{{- define "train.accelerator.processes" -}}
{{- if eq .Run.profile.processes "perDevice" -}}{{ max 1 (.Run.values.accelerator.count | default 1 | int) }}{{- else -}}1{{- end -}}
{{- end -}}
