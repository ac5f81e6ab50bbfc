{{- /* The profile determines which of count, corePercent and memory can be set, their ranges, and how its devices are chosen. */ -}}
{{- define "train.rules.accelerator" -}}
{{- $violations := list -}}
{{- $accelerator := .Run.values.accelerator -}}
{{- $profile := .Run.profile -}}
{{- $several := gt (int ($accelerator.count | default 0)) 1 -}}
{{- $choices := $profile.choices | default dict -}}
{{- if and $accelerator.types (not $choices.types) -}}
{{- $violations = append $violations (printf "accelerator.types: is %s, but profile %s has no annotation for types of devices; leave it empty, and choose nodes by nodeSelector" (join ", " $accelerator.types) $profile.name) -}}
{{- end -}}
{{- if and $accelerator.mode (not (has $accelerator.mode ($choices.modes | default list))) -}}
{{- $known := empty $choices.modes | ternary "has no modes; leave it empty" (printf "has %s; choose one of them" (join ", " $choices.modes)) -}}
{{- $violations = append $violations (printf "accelerator.mode: is %q, but profile %s %s" $accelerator.mode $profile.name $known) -}}
{{- end -}}
{{- with $accelerator.schedulerName -}}
{{- if eq . "volcano" -}}
{{- $violations = append $violations (printf "accelerator.schedulerName: is %q, but the key is for another scheduler than Volcano; leave it empty" .) -}}
{{- else if or $profile.deviceClass (empty $profile.resources) -}}
{{- $violations = append $violations (printf "accelerator.schedulerName: is %q, but Volcano places the pods of profile %s; leave it empty" . $profile.name) -}}
{{- end -}}
{{- end -}}
{{- $scheduler := include "train.accelerator.scheduler" . -}}
{{- if and $scheduler (gt (int .Run.values.replicas) 1) -}}
{{- $instead := ($profile.scheduler | default dict).forGangs | default "choose a profile that Volcano places" -}}
{{- $violations = append $violations (printf "replicas: is %v, but %s, the scheduler of profile %s, places each pod alone, and the pods of a gang must start together; set replicas: 1, or %s" .Run.values.replicas $scheduler $profile.name $instead) -}}
{{- end -}}
{{- if not (has $profile.backend .Run.family.backends) -}}
{{- $violations = append $violations (printf "accelerator.profile: %s is a %s device, but %s trains on %s; choose a profile for one of them" $profile.name $profile.backend .Run.family.title (join ", " .Run.family.backends)) -}}
{{- end -}}
{{- $variant := $accelerator.variant | default "" -}}
{{- if and $profile.variants $profile.variantPattern -}}
{{- if not (regexMatch $profile.variantPattern $variant) -}}
{{- $violations = append $violations (printf "accelerator.variant: is %q, but profile %s needs one as the device plugin names it, such as %s" $variant $profile.name (join ", " $profile.variants)) -}}
{{- end -}}
{{- else if and $profile.variants (not (has $variant $profile.variants)) -}}
{{- $violations = append $violations (printf "accelerator.variant: is %q, but profile %s needs one of %s" $variant $profile.name (join ", " $profile.variants)) -}}
{{- else if and $accelerator.variant (not $profile.variants) -}}
{{- $violations = append $violations (printf "accelerator.variant: is %q, but profile %s has no variants; leave it empty" $accelerator.variant $profile.name) -}}
{{- end -}}
{{- /* The user may define profiles and resource names, so they are checked too. */ -}}
{{- $path := printf "accelerator.profiles.%s.resources" $profile.name -}}
{{- $names := dict -}}
{{- range $key, $resource := $profile.resources -}}
{{- $name := include "train.accelerator.resource" (dict "root" $ "key" $key) -}}
{{- $where := ternary (printf "accelerator.resourceNames.%s" $key) (printf "%s.%s.name" $path $key) (not (empty (get $accelerator.resourceNames $key))) -}}
{{- if not $profile.deviceClass -}}
{{- if not $name -}}
{{- $violations = append $violations (printf "%s: is empty, so nothing would request it; set the resource of the device plugin, such as vendor.example.com/gpu" $where) -}}
{{- else if or (gt (len (dir $name)) 244) (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $name)) -}}
{{- $violations = append $violations (printf "%s: is %q, but the resource of a device plugin has a domain and a name, such as vendor.example.com/gpu; correct it" $where $name) -}}
{{- else if regexMatch "^requests[.]|(^|[.])kubernetes[.]io/" $name -}}
{{- $violations = append $violations (printf "%s: is %q, which Kubernetes reserves; set the resource of the device plugin, such as vendor.example.com/gpu" $where $name) -}}
{{- else if hasKey $names $name -}}
{{- $violations = append $violations (printf "%s: is %q, like the resource of %s, and one would replace the other; use different resources" $where $name (get $names $name)) -}}
{{- end -}}
{{- $_ := set $names $name $key -}}
{{- end -}}
{{- if and (hasKey $resource "unit") (lt (include "train.quantity" $resource.unit | int64) 1) -}}
{{- $violations = append $violations (printf "%s.%s.unit: is %v, but must be at least one byte; set the memory of one unit, such as 1Mi" $path $key $resource.unit) -}}
{{- end -}}
{{- end -}}
{{- range $key := concat (keys ($profile.annotations | default dict)) (compact (list $choices.types $choices.mode)) -}}
{{- if regexMatch "^(container[.])?(seccomp|apparmor)[.]security[.](alpha|beta)[.]kubernetes[.]io/" $key -}}
{{- $violations = append $violations (printf "accelerator.profiles.%s: has the annotation %s, but every run keeps the security profile of Pod Security restricted; remove it" $profile.name $key) -}}
{{- end -}}
{{- end -}}
{{- if and $profile.deviceClass (not (hasKey $profile.resources "count")) -}}
{{- $violations = append $violations (printf "%s.count: is missing, but a claim of class %s requests a number of devices; add count: {}" $path $profile.deviceClass) -}}
{{- end -}}
{{- range $key := list "count" "corePercent" "memory" -}}
{{- $requested := get $accelerator $key -}}
{{- $known := hasKey $profile.resources $key -}}
{{- $resource := get $profile.resources $key | default dict -}}
{{- if and $requested (not $known) -}}
{{- $allowed := empty $profile.resources | ternary "none of count, corePercent, memory" (keys $profile.resources | sortAlpha | join ", " | printf "only %s") -}}
{{- $violations = append $violations (printf "accelerator.%s: is %v, but profile %s supports %s; leave it empty or choose another profile" $key $requested $profile.name $allowed) -}}
{{- else if and $requested $several $resource.oneDevice -}}
{{- $violations = append $violations (printf "accelerator.%s: is %v, but with count %d profile %s allocates whole devices; leave it empty, or set accelerator.count: 1" $key $requested (int $accelerator.count) $profile.name) -}}
{{- else if and $requested $resource.unit -}}
{{- $bytes := include "train.quantity" $requested | int64 -}}
{{- $unit := include "train.quantity" $resource.unit | int64 -}}
{{- if lt $unit 1 -}}
{{- else if and (lt $bytes $unit) (include "train.bytes.meant" $requested) -}}
{{- $violations = append $violations (printf "accelerator.%s: is %v, which is %s, less than %s, the unit of profile %s; write %s" $key $requested (include "train.bytes.are" $requested) $resource.unit $profile.name (include "train.bytes.meant" $requested)) -}}
{{- else if or (lt $bytes $unit) (mod $bytes $unit) -}}
{{- $violations = append $violations (printf "accelerator.%s: %v is not a whole multiple of %s, the unit of profile %s; round it" $key $requested $resource.unit $profile.name) -}}
{{- end -}}
{{- else if and $requested $resource.max (gt (int64 $requested) (int64 $resource.max)) -}}
{{- $violations = append $violations (printf "accelerator.%s: is %v, but profile %s allows at most %v; lower it" $key $requested $profile.name $resource.max) -}}
{{- end -}}
{{- if and (get $accelerator.resourceNames $key) (or (not $known) $profile.deviceClass) -}}
{{- $violations = append $violations (printf "accelerator.resourceNames.%s: is %q, but profile %s requests it by no resource; leave it empty" $key (get $accelerator.resourceNames $key) $profile.name) -}}
{{- end -}}
{{- end -}}
{{- if and (hasKey $profile.resources "count") (not $accelerator.count) -}}
{{- $violations = append $violations (printf "accelerator.count: is empty, but profile %s needs it; set the devices per pod, such as 1" $profile.name) -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}
