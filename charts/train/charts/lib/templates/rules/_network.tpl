{{- /* Egress rules need the NetworkPolicy. */ -}}
{{- define "train.rules.network" -}}
{{- $violations := list -}}
{{- if and .Run.values.networkPolicy.egress (not .Run.values.networkPolicy.enabled) -}}
{{- $violations = append $violations "networkPolicy.egress: has rules, but networkPolicy.enabled is false, so there is no policy to contain them; set networkPolicy.enabled: true, or remove the rules" -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}
