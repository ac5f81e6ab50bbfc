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
Returns which key of `accelerator` requests a resource, and with which profiles, as JSON: those of the run's, else of the chart's. No
profiles where nothing does.
Usage: {{ include "train.accelerator.requests" (dict "root" . "name" NAME) | fromJson }}
*/ -}}
{{- define "train.accelerator.requests" -}}
{{- $found := dict "profiles" list -}}
{{- range $key, $_ := .root.Run.profile.resources -}}
{{- if eq $.name (include "train.accelerator.resource" (dict "root" $.root "key" $key)) -}}
{{- $_ := set $found "key" $key -}}
{{- $_ := set $found "profiles" (list $.root.Run.profile.name) -}}
{{- end -}}
{{- end -}}
{{- if not $found.profiles -}}
{{- range $path, $_ := .root.Subcharts.lib.Files.Glob "files/accelerators/*.yaml" -}}
{{- range $key, $resource := ($.root.Subcharts.lib.Files.Get $path | fromYaml).resources -}}
{{- $pattern := regexQuoteMeta ($resource.name | default "") | replace "\\{variant\\}" "[-A-Za-z0-9_.]+" | printf "^%s$" -}}
{{- if regexMatch $pattern $.name -}}
{{- $_ := set $found "key" $key -}}
{{- $_ := set $found "profiles" (append $found.profiles (base $path | trimSuffix ".yaml")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
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

{{- /*
Returns the name of the scheduler that places the pod; empty where it is Volcano.
Usage: {{ include "train.accelerator.scheduler" . }}
*/ -}}
{{- define "train.accelerator.scheduler" -}}
{{- .Run.values.accelerator.schedulerName | default (.Run.profile.scheduler | default dict).name | default "" -}}
{{- end -}}

{{- /*
Returns the annotations that choose among devices, as JSON.
Usage: {{ include "train.accelerator.choices" . | fromJson }}
*/ -}}
{{- define "train.accelerator.choices" -}}
{{- $choices := .Run.profile.choices | default dict -}}
{{- $annotations := dict -}}
{{- range $key, $value := dict "types" (join "," .Run.values.accelerator.types) "mode" .Run.values.accelerator.mode -}}
{{- if and $value (get $choices $key) -}}
{{- $_ := set $annotations (get $choices $key) $value -}}
{{- end -}}
{{- end -}}
{{- $annotations | toJson -}}
{{- end -}}
