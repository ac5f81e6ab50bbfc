{{- /*
Requests must not exceed limits, nor shared memory the pod's memory, nor an emptyDir its storage. What Kubernetes does not overcommit
(extended resources, huge pages) needs a limit, and no other request.
*/ -}}
{{- define "train.rules.resources" -}}
{{- $violations := list -}}
{{- $requests := .Run.values.resources.requests | default dict -}}
{{- $limits := .Run.values.resources.limits | default dict -}}
{{- $small := and $limits.memory (include "train.bytes.meant" $limits.memory) -}}
{{- if $small -}}
{{- $violations = append $violations (printf "resources.limits.memory: is %v, which is %s, and no program runs in that; write %s" $limits.memory (include "train.bytes.are" $limits.memory) $small) -}}
{{- end -}}
{{- range $key := list "cpu" "memory" "ephemeral-storage" -}}
{{- $request := get $requests $key -}}
{{- $limit := get $limits $key -}}
{{- if and (eq $key "memory") $small -}}
{{- else if and $request $limit (gt (include "train.thousandths" $request | float64) (include "train.thousandths" $limit | float64)) -}}
{{- $violations = append $violations (printf "resources.requests.%s: %v is more than resources.limits.%s %v; lower the request or raise the limit" $key $request $key $limit) -}}
{{- end -}}
{{- end -}}
{{- if and $limits.memory (not $small) (gt (include "train.quantity" .Run.values.sharedMemory | int64) (include "train.quantity" $limits.memory | int64)) -}}
{{- $violations = append $violations (printf "sharedMemory: %v is more than resources.limits.memory %v, which includes it; lower it" .Run.values.sharedMemory $limits.memory) -}}
{{- end -}}
{{- $storage := get $limits "ephemeral-storage" -}}
{{- if and $storage (eq .Run.values.workspace.type "emptyDir") (gt (include "train.thousandths" .Run.values.workspace.size | float64) (include "train.thousandths" $storage | float64)) -}}
{{- $violations = append $violations (printf "workspace.size: %v is more than resources.limits.ephemeral-storage %v, which includes an emptyDir; raise the limit, or use a claim as workspace" .Run.values.workspace.size $storage) -}}
{{- end -}}
{{- range $name := concat (keys $requests) (keys $limits) | uniq | sortAlpha -}}
{{- $request := get $requests $name -}}
{{- $limit := get $limits $name -}}
{{- $section := ternary "limits" "requests" (hasKey $limits $name) -}}
{{- $amount := $limit | default $request -}}
{{- $isExtended := contains "/" $name -}}
{{- $accelerator := ternary (include "train.accelerator.requests" (dict "root" $ "name" $name)) "{}" $isExtended | fromJson -}}
{{- /* Plugins that share a device may name it so. */ -}}
{{- $shared := "" -}}
{{- if and $isExtended (not $accelerator.profiles) (hasSuffix ".shared" $name) -}}
{{- $accelerator = include "train.accelerator.requests" (dict "root" $ "name" (trimSuffix ".shared" $name)) | fromJson -}}
{{- $shared = printf ", and accelerator.resourceNames.count: %s" $name -}}
{{- end -}}
{{- if has $name (list "cpu" "memory" "ephemeral-storage") -}}
{{- else if $accelerator.profiles -}}
{{- $violations = append $violations (printf "resources.%s: has %s, which accelerator.%s requests with accelerator.profile %s; set these keys instead%s" $section $name $accelerator.key (join " or " $accelerator.profiles) $shared) -}}
{{- else if and $isExtended (regexMatch "^requests[.]|(^|[.])kubernetes[.]io/" $name) -}}
{{- $violations = append $violations (printf "resources.%s: has %s, a name that Kubernetes reserves; write the resource of a device plugin, such as rdma/hca" $section $name) -}}
{{- else if and $isExtended (gt (len (dir $name)) 244) -}}
{{- $violations = append $violations (printf "resources.%s: has a name whose domain has %d characters, but Kubernetes allows 244; correct it" $section (len (dir $name))) -}}
{{- else if not $limit -}}
{{- $violations = append $violations (printf "resources.requests: has %s without a limit, but Kubernetes does not overcommit it; move it to resources.limits" $name) -}}
{{- else if and $request (ne (include "train.thousandths" $request) (include "train.thousandths" $limit)) -}}
{{- $violations = append $violations (printf "resources.requests: has %s %s, but resources.limits %s, and Kubernetes does not overcommit it; remove the request" $name (include "train.amount" $request) (include "train.amount" $limit)) -}}
{{- else if and $isExtended (not (regexMatch "^0$|000$" (include "train.thousandths" $limit))) -}}
{{- $violations = append $violations (printf "resources.limits: has %s %s, but an extended resource is a whole number, such as 1; correct it" $name (include "train.amount" $limit)) -}}
{{- else if and (not $isExtended) (mod (include "train.thousandths" $limit | int64) (trimPrefix "hugepages-" $name | include "train.thousandths" | int64)) -}}
{{- $violations = append $violations (printf "resources.limits: has %s %s, which is no whole number of such pages; write a multiple of %s" $name (include "train.amount" $limit) (trimPrefix "hugepages-" $name)) -}}
{{- else if not (or $isExtended $requests.cpu $requests.memory $limits.cpu $limits.memory) -}}
{{- $violations = append $violations (printf "resources.limits: has %s, but Kubernetes gives huge pages only with CPU or memory; set resources.requests.memory" $name) -}}
{{- end -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}
