{{- /* How many processes the trainer can be, and that a batch can be shared among them. */ -}}
{{- define "train.rules.topology" -}}
{{- $broken := list -}}
{{- $values := .Run.values -}}
{{- $family := .Run.family -}}
{{- /* A trial of a search is a training in one pod. */ -}}
{{- $pods := ternary 1 (int $values.replicas) (gt (int ($values.tune.trials | default 0)) 0) -}}
{{- $processes := mul $pods (include "train.accelerator.processes" .) -}}
{{- if and $family.maxReplicas (gt $pods (int $family.maxReplicas)) -}}
{{- $broken = append $broken (printf "replicas: %d is more than %s can use: %s; set replicas: %d" (int $values.replicas) $family.title $family.maxReplicasReason (int $family.maxReplicas)) -}}
{{- else if gt $processes 1 -}}
{{- if not (has .Run.profile.backend $family.multiProcessBackends) -}}
{{- $broken = append $broken (printf "replicas: %d on accelerator profile %s is %d training processes, and %s trains in one process on %s; set replicas: 1, or choose an accelerator" (int $values.replicas) .Run.profile.name $processes $family.title .Run.profile.backend) -}}
{{- else if eq (toString $values.train.device) "cpu" -}}
{{- $broken = append $broken (printf "train.device: is cpu, and %s cannot train on it in %d processes; leave train.device empty, or set replicas: 1" $family.title $processes) -}}
{{- end -}}
{{- with $family.globalBatch -}}
{{- $batch := get $values.train (trimPrefix "train." .) | int -}}
{{- if mod $batch $processes -}}
{{- $broken = append $broken (printf "%s: %d is the batch of all %d processes together and must be divisible by their number; set a multiple of %d" . $batch $processes $processes) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
