{{- /* A NetworkPolicy that is asked for is made. */ -}}
{{- define "train.rules.network" -}}
{{- $broken := list -}}
{{- if and .Run.values.networkPolicy.egress (not .Run.values.networkPolicy.enabled) -}}
{{- $broken = append $broken "networkPolicy.egress: has rules, and networkPolicy.enabled false makes no policy that they would be part of; set networkPolicy.enabled: true, or leave the rules out" -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
