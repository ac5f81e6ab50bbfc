{{- /* A workspace that all pods can mount. */ -}}
{{- define "train.rules.workspace" -}}
{{- $broken := list -}}
{{- $workspace := .Run.values.workspace -}}
{{- if and (eq $workspace.type "existingClaim") (not $workspace.claimName) -}}
{{- $broken = append $broken "workspace.claimName: is empty, and workspace.type existingClaim needs it; name a PersistentVolumeClaim of this namespace" -}}
{{- end -}}
{{- if and (ne $workspace.type "existingClaim") $workspace.claimName -}}
{{- $broken = append $broken (printf "workspace.claimName: is %q, but workspace.type %s makes its own; leave it empty, or set workspace.type: existingClaim" $workspace.claimName $workspace.type) -}}
{{- end -}}
{{- if and (eq $workspace.type "newClaim") (lt (include "train.quantity" $workspace.size | int64) 1) -}}
{{- $broken = append $broken (printf "workspace.size: is %v, and a claim asks for at least a byte; give it room, such as 20Gi" $workspace.size) -}}
{{- end -}}
{{- $pinned := hasKey (.Run.values.nodeSelector | default dict) "kubernetes.io/hostname" -}}
{{- if and (gt (int .Run.values.replicas) 1) (ne $workspace.type "emptyDir") (ne $workspace.accessMode "ReadWriteMany") (not $pinned) -}}
{{- $broken = append $broken (printf "workspace.accessMode: %s cannot be mounted by %d pods on different nodes; use ReadWriteMany, workspace.type: emptyDir, or pin the pods with nodeSelector kubernetes.io/hostname" $workspace.accessMode (int .Run.values.replicas)) -}}
{{- end -}}
{{- $values := .Run.values -}}
{{- if gt (add (include "train.seconds" $values.timeLimit) 300) 2147483647 -}}
{{- $broken = append $broken (printf "timeLimit: %s is more seconds than Kubernetes counts; give at most 24855d" $values.timeLimit) -}}
{{- end -}}
{{- with $values.ttlAfterFinished -}}
{{- if gt (include "train.seconds" . | int64) 2147483647 -}}
{{- $broken = append $broken (printf "ttlAfterFinished: %s is more seconds than Volcano counts; give at most 24855d, or leave it empty" .) -}}
{{- end -}}
{{- end -}}
{{- if and $values.ttlAfterFinished (eq $workspace.type "emptyDir") (not (and (eq $values.publish.type "git") $values.publish.branch)) -}}
{{- $broken = append $broken (printf "ttlAfterFinished: is %s, and then only the pods, which it removes, would know where the result is; name publish.branch, use a claim as workspace, or leave it empty" $values.ttlAfterFinished) -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
