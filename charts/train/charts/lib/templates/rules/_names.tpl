{{- /* Names derived from the release's must be valid: a Service's begins with a letter, a pod's has at most 63 characters. An owner is
named completely. */ -}}
{{- define "train.rules.names" -}}
{{- $violations := list -}}
{{- $name := .Release.Name -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- $violations = append $violations (printf "release name: %q must begin with a letter and contain only a-z, 0-9 and '-'; install under another name" $name) -}}
{{- end -}}
{{- if gt (len $name) 50 -}}
{{- $violations = append $violations (printf "release name: %q has %d characters, but at most 50 leave room for the names derived from it; install under a shorter name" $name (len $name)) -}}
{{- end -}}
{{- $owner := .Run.values.owner -}}
{{- $missing := list -}}
{{- range $key := list "apiVersion" "kind" "name" "uid" -}}
{{- if not (hasKey $owner $key) -}}
{{- $missing = append $missing (printf "owner.%s" $key) -}}
{{- end -}}
{{- end -}}
{{- if and $owner $missing -}}
{{- $violations = append $violations (printf "owner: %s is missing; set apiVersion, kind, name and uid of an object in the release's namespace, or leave owner empty" (join ", " $missing)) -}}
{{- end -}}
{{- if eq .Run.values.queue "root" -}}
{{- $violations = append $violations "queue: is root, the parent of all queues, which accepts no Job; set another queue, such as default" -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}
