{{- /* The family's settings are those with defaults: anything else is a mistake. */ -}}
{{- define "train.rules.train" -}}
{{- $violations := list -}}
{{- $known := .Run.family.defaults.train | default dict -}}
{{- $family := .Run.values.family -}}
{{- range $key := keys (.Values.train | default dict) | sortAlpha -}}
{{- if not (hasKey $known $key) -}}
{{- $violations = append $violations (printf "train.%s: family %s has no such setting; it has %s" $key $family (keys $known | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- if eq .Run.profile.backend "cpu" -}}
{{- range $key := .Run.family.acceleratorOnly -}}
{{- if eq (get $.Run.values.train (trimPrefix "train." $key) | toString) "true" -}}
{{- $violations = append $violations (printf "%s: is true, but profile %s has no device for it; set it to false" $key $.Run.profile.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $true := list -}}
{{- range $key := .Run.family.oneOf -}}
{{- if eq (get $.Run.values.train (trimPrefix "train." $key) | toString) "true" -}}
{{- $true = append $true $key -}}
{{- end -}}
{{- end -}}
{{- if gt (len $true) 1 -}}
{{- $violations = append $violations (printf "%s: is true, and so is %s; set one of them to false" (last $true) (initial $true | join ", ")) -}}
{{- end -}}
{{- $own := .Run.family.ownOptions | default dict -}}
{{- range $key := list "arguments" "options" -}}
{{- range $option := include "train.options" (dict "arguments" (get $.Run.values.train $key)) | fromJsonArray -}}
{{- if hasKey $own $option -}}
{{- $setting := get $own $option -}}
{{- $fix := "remove it" -}}
{{- if $setting -}}
{{- $fix = printf "set %s instead" $setting -}}
{{- end -}}
{{- $violations = append $violations (printf "train.%s: has %s, which the run sets itself; %s" $key $option $fix) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $setting := .Run.family.requiredSettings -}}
{{- if empty (get $.Run.values.train (trimPrefix "train." $setting)) -}}
{{- $violations = append $violations (printf "%s: is empty, but family %s needs it; `trainchart explain %s` says what it is" $setting $family $setting) -}}
{{- end -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}

{{- /*
Returns the names of the options in a family's arguments, as JSON: of a map its keys, those of maps inside it after a dot; of a list
those of --name, --name=value and name=value.
Usage: {{ include "train.options" (dict "arguments" .Run.values.train.arguments) | fromJsonArray }}
*/ -}}
{{- define "train.options" -}}
{{- $names := list -}}
{{- if kindIs "map" .arguments -}}
{{- range $key := keys .arguments | sortAlpha -}}
{{- $names = append $names $key -}}
{{- if kindIs "map" (get $.arguments $key) -}}
{{- range $inner := include "train.options" (dict "arguments" (get $.arguments $key)) | fromJsonArray -}}
{{- $names = append $names (printf "%s.%s" $key $inner) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" .arguments -}}
{{- range $argument := .arguments -}}
{{- if regexMatch "^--[A-Za-z]|^[A-Za-z0-9_]+=" $argument -}}
{{- $names = append $names (regexFind "[A-Za-z0-9_-]+" (trimPrefix "--" $argument)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end -}}
