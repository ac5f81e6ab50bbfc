{{- /* The profile decides which of count, corePercent and memory may be set, and in which range. */ -}}
{{- define "train.rules.accelerator" -}}
{{- $broken := list -}}
{{- $accelerator := .values.accelerator -}}
{{- $profile := .profile -}}
{{- range $key := list "count" "corePercent" "memory" -}}
{{- $asked := get $accelerator $key -}}
{{- $resource := get $profile.resources $key -}}
{{- if and $asked (not $resource) -}}
{{- $can := keys $profile.resources | sortAlpha | join ", " | default "none of count, corePercent, memory" -}}
{{- $broken = append $broken (printf "accelerator.%s: is %v, but profile %s takes %s; leave it empty or choose another profile" $key $asked $profile.name $can) -}}
{{- else if and $asked $resource.unit -}}
{{- $bytes := include "train.quantity" $asked | int64 -}}
{{- $unit := include "train.quantity" $resource.unit | int64 -}}
{{- if or (lt $bytes $unit) (mod $bytes $unit) -}}
{{- $broken = append $broken (printf "accelerator.%s: %v is not a whole multiple of %s, the unit of %s; round it" $key $asked $resource.unit $resource.name) -}}
{{- end -}}
{{- else if $asked -}}
{{- if or (lt (int64 $asked) (int64 ($resource.min | default 1))) (gt (int64 $asked) (int64 ($resource.max | default $asked))) -}}
{{- $broken = append $broken (printf "accelerator.%s: %v is out of range for profile %s; set %v to %v" $key $asked $profile.name ($resource.min | default 1) ($resource.max | default "as many as a node has")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $profile.resources.count (not $accelerator.count) -}}
{{- $broken = append $broken (printf "accelerator.count: is empty, and profile %s needs it; set the devices per pod, such as 1" $profile.name) -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
