{{- /* Names fit Kubernetes and Volcano, those derived from the release's too: a Service's name begins with a letter, a pod's has 63 characters. */ -}}
{{- define "train.rules.names" -}}
{{- $broken := list -}}
{{- $name := .Release.Name -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- $broken = append $broken (printf "release name: %q must begin with a letter and hold only a-z, 0-9 and '-'; install under another name" $name) -}}
{{- end -}}
{{- if gt (len $name) 50 -}}
{{- $broken = append $broken (printf "release name: %q has %d characters, and names derived from it need room: at most 50; install under a shorter name" $name (len $name)) -}}
{{- end -}}
{{- if eq .Run.values.queue "root" -}}
{{- $broken = append $broken "queue: is root, under which Volcano has all other queues, and which takes no Job; name one of those, such as default" -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
