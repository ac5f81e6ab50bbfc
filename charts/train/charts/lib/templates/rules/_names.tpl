{{- /* Names derived from the release's fit Kubernetes and Volcano: a Service's name begins with a letter, a pod's has 63 characters. */ -}}
{{- define "train.rules.names" -}}
{{- $broken := list -}}
{{- $name := .Release.Name -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- $broken = append $broken (printf "release name: %q must begin with a letter and hold only a-z, 0-9 and '-'; install under another name" $name) -}}
{{- end -}}
{{- if gt (len $name) 50 -}}
{{- $broken = append $broken (printf "release name: %q has %d characters, and names derived from it need room: at most 50; install under a shorter name" $name (len $name)) -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
