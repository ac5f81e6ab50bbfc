{{- /* The workspace must be usable by all pods, and limits must fit Kubernetes and Volcano. */ -}}
{{- define "train.rules.workspace" -}}
{{- $violations := list -}}
{{- $workspace := .Run.values.workspace -}}
{{- if and (eq $workspace.type "existingClaim") (not $workspace.claimName) -}}
{{- $violations = append $violations "workspace.claimName: is empty, but workspace.type existingClaim needs it; set a PersistentVolumeClaim in this namespace" -}}
{{- end -}}
{{- if and (ne $workspace.type "existingClaim") $workspace.claimName -}}
{{- $violations = append $violations (printf "workspace.claimName: is %q, but workspace.type %s does not use it; leave it empty, or set workspace.type: existingClaim" $workspace.claimName $workspace.type) -}}
{{- end -}}
{{- if and (has $workspace.type (list "newClaim" "ephemeral")) (lt (include "train.quantity" $workspace.size | int64) 1) -}}
{{- $violations = append $violations (printf "workspace.size: is %v, but a claim requests at least one byte; set a size such as 20Gi" $workspace.size) -}}
{{- end -}}
{{- $pinned := hasKey (.Run.values.nodeSelector | default dict) "kubernetes.io/hostname" -}}
{{- if and (gt (int .Run.values.replicas) 1) (not (include "train.workspace.temporary" .)) (ne $workspace.accessMode "ReadWriteMany") (not $pinned) -}}
{{- $violations = append $violations (printf "workspace.accessMode: %s cannot be mounted by %d pods on different nodes; use ReadWriteMany, workspace.type: emptyDir, or pin the pods with nodeSelector kubernetes.io/hostname" $workspace.accessMode (int .Run.values.replicas)) -}}
{{- end -}}
{{- $values := .Run.values -}}
{{- if gt (add (include "train.seconds" $values.timeLimit) 300) 2147483647 -}}
{{- $violations = append $violations (printf "timeLimit: %s exceeds the maximum of Kubernetes; set at most 24855d" $values.timeLimit) -}}
{{- end -}}
{{- with $values.ttlAfterFinished -}}
{{- if gt (include "train.seconds" . | int64) 2147483647 -}}
{{- $violations = append $violations (printf "ttlAfterFinished: %s exceeds the maximum of Volcano; set at most 24855d, or leave it empty" .) -}}
{{- end -}}
{{- end -}}
{{- if and $values.ttlAfterFinished (include "train.workspace.temporary" .) (not (or $values.publish.branch $values.publish.folder)) -}}
{{- $violations = append $violations (printf "ttlAfterFinished: is %s, but only the pods, which it removes, would know where the result is; set publish.%s or workspace.type: newClaim, or leave it empty" $values.ttlAfterFinished (eq $values.publish.type "s3" | ternary "folder" "branch")) -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}
