{{- /* A search has something to search, a way to compare, and a place that all its pods share. */ -}}
{{- define "train.rules.tune" -}}
{{- $broken := list -}}
{{- $values := .Run.values -}}
{{- $tune := $values.tune -}}
{{- $trials := int ($tune.trials | default 0) -}}
{{- if gt $trials 0 -}}
{{- if not .Run.family.tunable -}}
{{- $broken = append $broken (printf "tune.trials: is %d, and family %s cannot be tuned; set it to 0" $trials $values.family) -}}
{{- end -}}
{{- if not $tune.metric -}}
{{- $broken = append $broken "tune.metric: is empty, and trials are compared by it; name a metric as the log of a training calls it" -}}
{{- end -}}
{{- if not $tune.space -}}
{{- $broken = append $broken "tune.space: is empty, so that all trials would be alike; name at least one parameter" -}}
{{- end -}}
{{- if lt $trials (int $values.replicas) -}}
{{- $broken = append $broken (printf "replicas: %d pods for tune.trials %d would leave some without a trial; lower replicas, or raise tune.trials" (int $values.replicas) $trials) -}}
{{- end -}}
{{- if and (gt (int $values.replicas) 1) (eq $values.workspace.type "emptyDir") -}}
{{- $broken = append $broken (printf "workspace.type: is emptyDir, and the %d pods of a search share one workspace; use a claim" (int $values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $parameter := $tune.space -}}
{{- $range := and (hasKey $parameter "low") (hasKey $parameter "high") -}}
{{- if eq (not (empty $parameter.choices)) $range -}}
{{- $broken = append $broken (printf "tune.space.%s: needs either choices or low and high; give one of them" $name) -}}
{{- else if and $range (ge (float64 $parameter.low) (float64 $parameter.high)) -}}
{{- $broken = append $broken (printf "tune.space.%s: low %v is not less than high %v; correct the range" $name $parameter.low $parameter.high) -}}
{{- else if and $range $parameter.log (le (float64 $parameter.low) 0.0) -}}
{{- $broken = append $broken (printf "tune.space.%s: low is %v, and a range by its logarithm begins above 0; raise it, or set log: false" $name $parameter.low) -}}
{{- end -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
