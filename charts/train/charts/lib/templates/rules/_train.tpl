{{- /* The family's own settings are those it has defaults for: anything else is a typing mistake. */ -}}
{{- define "train.rules.train" -}}
{{- $broken := list -}}
{{- $known := .Run.family.defaults.train | default dict -}}
{{- $family := .Run.values.family -}}
{{- range $key := keys (.Values.train | default dict) | sortAlpha -}}
{{- if not (hasKey $known $key) -}}
{{- $broken = append $broken (printf "train.%s: family %s has no such setting; it has %s" $key $family (keys $known | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- if eq .Run.profile.backend "cpu" -}}
{{- range $key := .Run.family.acceleratorOnly -}}
{{- if eq (get $.Run.values.train (trimPrefix "train." $key) | toString) "true" -}}
{{- $broken = append $broken (printf "%s: is true, and profile %s has no device for it; set it to false" $key $.Run.profile.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $setting := .Run.family.requiredSettings -}}
{{- if empty (get $.Run.values.train (trimPrefix "train." $setting)) -}}
{{- $broken = append $broken (printf "%s: is empty, and family %s cannot run without it; docs/values.md shows what it may be" $setting $family) -}}
{{- end -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
