{{- /* The profile decides which of count, corePercent and memory may be set, in which range, and whether Volcano can place it. */ -}}
{{- define "train.rules.accelerator" -}}
{{- $broken := list -}}
{{- $accelerator := .Run.values.accelerator -}}
{{- $profile := .Run.profile -}}
{{- $several := gt (int ($accelerator.count | default 0)) 1 -}}
{{- with $profile.refused -}}
{{- $broken = append $broken (printf "accelerator.profile: %s cannot run: %s" $profile.name .) -}}
{{- end -}}
{{- if not (has $profile.backend .Run.family.backends) -}}
{{- $broken = append $broken (printf "accelerator.profile: %s is a %s device, and %s trains on %s; choose a profile of these" $profile.name $profile.backend .Run.family.title (join ", " .Run.family.backends)) -}}
{{- end -}}
{{- if and $profile.variants (not (has $accelerator.variant $profile.variants)) -}}
{{- $broken = append $broken (printf "accelerator.variant: is %q, and profile %s needs one of %s" ($accelerator.variant | default "") $profile.name (join ", " $profile.variants)) -}}
{{- else if and $accelerator.variant (not $profile.variants) -}}
{{- $broken = append $broken (printf "accelerator.variant: is %q, but profile %s has no variants; leave it empty" $accelerator.variant $profile.name) -}}
{{- end -}}
{{- /* A profile of the user's own, or other names for its resources, may say anything. */ -}}
{{- $path := printf "accelerator.profiles.%s.resources" $profile.name -}}
{{- $names := dict -}}
{{- range $key, $resource := $profile.resources -}}
{{- $name := include "train.accelerator.resource" (dict "root" $ "key" $key) -}}
{{- $where := ternary (printf "accelerator.resourceNames.%s" $key) (printf "%s.%s.name" $path $key) (not (empty (get $accelerator.resourceNames $key))) -}}
{{- if not $profile.deviceClass -}}
{{- if not $name -}}
{{- $broken = append $broken (printf "%s: is empty, and without a name nothing asks for it; name the resource of the device plugin, such as vendor.example.com/gpu" $where) -}}
{{- else if or (gt (len (dir $name)) 244) (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $name)) -}}
{{- $broken = append $broken (printf "%s: is %q, and the resource of a device plugin has a domain and a name, such as vendor.example.com/gpu; correct it" $where $name) -}}
{{- else if regexMatch "^requests[.]|(^|[.])kubernetes[.]io/" $name -}}
{{- $broken = append $broken (printf "%s: is %q, a name that Kubernetes keeps for itself; name the resource of the device plugin, such as vendor.example.com/gpu" $where $name) -}}
{{- else if hasKey $names $name -}}
{{- $broken = append $broken (printf "%s: is %q, as the resource of %s is, and one would replace the other; give each its own" $where $name (get $names $name)) -}}
{{- end -}}
{{- $_ := set $names $name $key -}}
{{- end -}}
{{- if and (hasKey $resource "unit") (lt (include "train.quantity" $resource.unit | int64) 1) -}}
{{- $broken = append $broken (printf "%s.%s.unit: is %v, and memory cannot be counted in less than a byte; give the memory of one unit, such as 1Mi" $path $key $resource.unit) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := $profile.annotations -}}
{{- if regexMatch "^(container[.])?(seccomp|apparmor)[.]security[.](alpha|beta)[.]kubernetes[.]io/" $key -}}
{{- $broken = append $broken (printf "accelerator.profiles.%s.annotations: has %s, and every run keeps the security profile of Pod Security restricted; leave it out" $profile.name $key) -}}
{{- end -}}
{{- end -}}
{{- if and $profile.deviceClass (not (hasKey $profile.resources "count")) -}}
{{- $broken = append $broken (printf "%s.count: is not there, and a claim of class %s asks for a number of devices; add count: {}" $path $profile.deviceClass) -}}
{{- end -}}
{{- range $key := list "count" "corePercent" "memory" -}}
{{- $asked := get $accelerator $key -}}
{{- $known := hasKey $profile.resources $key -}}
{{- $resource := get $profile.resources $key | default dict -}}
{{- if and $asked (not $known) -}}
{{- $can := keys $profile.resources | sortAlpha | join ", " | default "none of count, corePercent, memory" -}}
{{- $broken = append $broken (printf "accelerator.%s: is %v, but profile %s takes %s; leave it empty or choose another profile" $key $asked $profile.name $can) -}}
{{- else if and $asked $several $resource.oneDevice -}}
{{- $broken = append $broken (printf "accelerator.%s: is %v, but with count %d profile %s gives whole devices; leave it empty, or set accelerator.count: 1" $key $asked (int $accelerator.count) $profile.name) -}}
{{- else if and $asked $resource.unit -}}
{{- $bytes := include "train.quantity" $asked | int64 -}}
{{- $unit := include "train.quantity" $resource.unit | int64 -}}
{{- if lt $unit 1 -}}
{{- else if or (lt $bytes $unit) (mod $bytes $unit) -}}
{{- $broken = append $broken (printf "accelerator.%s: %v is not a whole multiple of %s, the unit of profile %s; round it" $key $asked $resource.unit $profile.name) -}}
{{- end -}}
{{- else if and $asked $resource.max (gt (int64 $asked) (int64 $resource.max)) -}}
{{- $broken = append $broken (printf "accelerator.%s: is %v, and profile %s allows at most %v; lower it" $key $asked $profile.name $resource.max) -}}
{{- end -}}
{{- if and (get $accelerator.resourceNames $key) (or (not $known) $profile.deviceClass) -}}
{{- $broken = append $broken (printf "accelerator.resourceNames.%s: is %q, but profile %s asks for it by no resource; leave it empty" $key (get $accelerator.resourceNames $key) $profile.name) -}}
{{- end -}}
{{- end -}}
{{- if and (hasKey $profile.resources "count") (not $accelerator.count) -}}
{{- $broken = append $broken (printf "accelerator.count: is empty, and profile %s needs it; set the devices per pod, such as 1" $profile.name) -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
