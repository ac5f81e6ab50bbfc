{{- /*
Every further volume has one source and a name and path of its own, away from the paths of the run, of Kubernetes and of Volcano.
*/ -}}
{{- define "train.rules.volumes" -}}
{{- $violations := list -}}
{{- $taken := concat (values .Run.pod.mounts) (list "/trainchart" "/tmp" "/dev" "/proc" "/sys" "/etc/volcano" "/var/run/secrets" "/run/secrets" "/run/trainchart") | sortAlpha -}}
{{- if include "train.ssh" . -}}
{{- $taken = append $taken "/etc/passwd" -}}
{{- end -}}
{{- $names := list -}}
{{- $paths := list -}}
{{- range $index, $volume := .Run.values.volumes -}}
{{- $key := printf "volumes[%d]" $index -}}
{{- $sources := list -}}
{{- range $source := list "claimName" "configMapName" "secretName" "ephemeral" -}}
{{- if get $volume $source -}}
{{- $sources = append $sources $source -}}
{{- end -}}
{{- end -}}
{{- if not $sources -}}
{{- $violations = append $violations (printf "%s: %s has no source; set one of claimName, configMapName, secretName and ephemeral" $key $volume.name) -}}
{{- else if gt (len $sources) 1 -}}
{{- $violations = append $violations (printf "%s: %s has %s, but a volume has one source; make a volume of each" $key $volume.name (join " and " $sources)) -}}
{{- end -}}
{{- if has $volume.name $names -}}
{{- $violations = append $violations (printf "%s.name: %q is the name of another volume; rename one of them" $key $volume.name) -}}
{{- end -}}
{{- $names = append $names $volume.name -}}
{{- range $path := $taken -}}
{{- if or (eq $path $volume.mountPath) (include "train.folders.overlap" (list $path $volume.mountPath)) -}}
{{- $violations = append $violations (printf "%s.mountPath: %q and %s overlap, which the run or its container needs; use another, such as /mnt/%s" $key $volume.mountPath $path $volume.name) -}}
{{- end -}}
{{- end -}}
{{- if has $volume.mountPath $paths -}}
{{- $violations = append $violations (printf "%s.mountPath: %q is the path of another volume; use another, such as /mnt/%s" $key $volume.mountPath $volume.name) -}}
{{- end -}}
{{- $paths = append $paths $volume.mountPath -}}
{{- if and (has "ephemeral" $sources) (lt (include "train.quantity" ($volume.ephemeral.size | default 0) | int64) 1) -}}
{{- $violations = append $violations (printf "%s.ephemeral.size: is %v, but a claim requests at least one byte; set a size such as 20Gi" $key ($volume.ephemeral.size | default 0)) -}}
{{- end -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}
