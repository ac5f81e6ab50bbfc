{{- /* Labels and annotations of the pods: those of the run, of Volcano and of the security profile are not the user's. */ -}}
{{- define "train.rules.pod" -}}
{{- $violations := list -}}
{{- $disabled := concat (include "train.sidecars.labels" . | fromJson | keys) (include "train.sidecars.annotations" . | fromJson | keys) -}}
{{- range $section := list "podLabels" "podAnnotations" -}}
{{- range $key := get $.Run.values $section | keys | sortAlpha -}}
{{- if regexMatch "^app[.]kubernetes[.]io/(name|instance|managed-by|part-of)$|^([^/]*[.])?(helm[.]sh|trainchart[.]dev)/" $key -}}
{{- $violations = append $violations (printf "%s: has %s, by which Helm and trainchart find the run; use another key" $section $key) -}}
{{- else if regexMatch "^(([^/]*[.])?volcano[.]sh|scheduling[.]k8s[.]io)/" $key -}}
{{- $violations = append $violations (printf "%s: has %s, but keys of Volcano are set by Volcano and by the accelerator profile; remove it" $section $key) -}}
{{- else if regexMatch "^(container[.])?(seccomp|apparmor)[.]security[.](alpha|beta)[.]kubernetes[.]io/" $key -}}
{{- $violations = append $violations (printf "%s: has %s, but every run keeps the security profile of Pod Security restricted; remove it" $section $key) -}}
{{- else if has $key $disabled -}}
{{- $violations = append $violations (printf "%s: has %s, which sidecars: disable sets; remove it, or set sidecars: allow" $section $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- /* The schema checks the characters of these keys and, as it cannot measure a part of one, their whole length. */ -}}
{{- $keys := pick .Run.values "nodeSelector" "tolerations" "affinity" "topologySpread" -}}
{{- $_ := set $keys "podLabels" (keys .Run.values.podLabels) -}}
{{- $_ := set $keys "podAnnotations" (keys .Run.values.podAnnotations) -}}
{{- range $section, $found := $keys -}}
{{- range regexFindAll "\"[^\"/]{254,}/" (toJson $found) -1 -}}
{{- $violations = append $violations (printf "%s: has a key whose part before the / has %d characters, but Kubernetes allows 253; shorten it" $section (sub (len .) 2)) -}}
{{- end -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}
