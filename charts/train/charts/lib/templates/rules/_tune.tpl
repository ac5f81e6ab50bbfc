{{- /* A search needs parameters, a metric, and a workspace that all its pods share. */ -}}
{{- define "train.rules.tune" -}}
{{- $violations := list -}}
{{- $values := .Run.values -}}
{{- $tune := $values.tune -}}
{{- $trials := int ($tune.trials | default 0) -}}
{{- if gt $trials 0 -}}
{{- if not .Run.family.tunable -}}
{{- $violations = append $violations (printf "tune.trials: is %d, but family %s cannot be tuned; set it to 0" $trials $values.family) -}}
{{- end -}}
{{- if not $tune.metric -}}
{{- $violations = append $violations "tune.metric: is empty, but trials are compared by it; set a metric from the log of a training" -}}
{{- end -}}
{{- if not $tune.space -}}
{{- $violations = append $violations "tune.space: is empty, so all trials would be the same; add at least one parameter" -}}
{{- end -}}
{{- if lt $trials (int $values.replicas) -}}
{{- $violations = append $violations (printf "replicas: %d pods for tune.trials %d would leave some without a trial; lower replicas, or raise tune.trials" (int $values.replicas) $trials) -}}
{{- end -}}
{{- if and (gt (int $values.replicas) 1) (include "train.workspace.temporary" $) -}}
{{- $violations = append $violations (printf "workspace.type: is %s, but the %d pods of a search share one workspace; use a claim" $values.workspace.type (int $values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $parameter := $tune.space -}}
{{- $range := and (hasKey $parameter "low") (hasKey $parameter "high") -}}
{{- if eq (not (empty $parameter.choices)) $range -}}
{{- $violations = append $violations (printf "tune.space.%s: needs either choices, or low and high; set one of them" $name) -}}
{{- else if and $range (ge (float64 $parameter.low) (float64 $parameter.high)) -}}
{{- $violations = append $violations (printf "tune.space.%s: low %v is not less than high %v; correct the range" $name $parameter.low $parameter.high) -}}
{{- else if and $range $parameter.log (le (float64 $parameter.low) 0.0) -}}
{{- $violations = append $violations (printf "tune.space.%s: low is %v, but must be above 0 on a logarithmic scale; raise it, or set log: false" $name $parameter.low) -}}
{{- end -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}
