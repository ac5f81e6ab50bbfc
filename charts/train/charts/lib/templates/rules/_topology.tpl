{{- /* The trainer must support the number of processes, and the batch must be divisible by it. */ -}}
{{- define "train.rules.topology" -}}
{{- $violations := list -}}
{{- $values := .Run.values -}}
{{- $family := .Run.family -}}
{{- /* A trial of a search trains in one pod. */ -}}
{{- $pods := ternary 1 (int $values.replicas) (gt (int ($values.tune.trials | default 0)) 0) -}}
{{- $processes := mul $pods (include "train.accelerator.processes" .) -}}
{{- if and $family.maxReplicas (gt $pods (int $family.maxReplicas)) -}}
{{- $violations = append $violations (printf "replicas: %d is more than %s can use: %s; set replicas: %d" (int $values.replicas) $family.title $family.maxReplicasReason (int $family.maxReplicas)) -}}
{{- else if gt $processes 1 -}}
{{- if not (has .Run.profile.backend $family.multiProcessBackends) -}}
{{- $violations = append $violations (printf "replicas: %d on accelerator profile %s means %d training processes, but %s trains in one process on %s; set replicas: 1, or choose another accelerator" (int $values.replicas) .Run.profile.name $processes $family.title .Run.profile.backend) -}}
{{- else if eq (toString $values.train.device) "cpu" -}}
{{- $violations = append $violations (printf "train.device: is cpu, but %s cannot train on it in %d processes; leave train.device empty, or set replicas: 1" $family.title $processes) -}}
{{- end -}}
{{- with $family.globalBatch -}}
{{- $batch := get $values.train (trimPrefix "train." .) | int -}}
{{- if mod $batch $processes -}}
{{- $violations = append $violations (printf "%s: %d is the total batch of all %d processes, and must be divisible by their number; set a multiple of %d" . $batch $processes $processes) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}
