{{- /*
Fails with everything that is wrong with the values, or that the cluster does not have. Whether there is a cluster shows in the kinds: the
APIs that `helm template` assumes have none. Tools that pass a cluster's own by --api-versions get the same messages as `helm install`.
Usage: {{ include "platform.check" . }}
*/ -}}
{{- define "platform.check" -}}
{{- $problems := list -}}
{{- $known := .Files.Get "files/parameters.json" | fromJson -}}
{{- range .Values.families -}}
{{- if not (hasKey $known .) -}}
{{- $problems = append $problems (printf "families: %q is not a family; use some of %s" . (keys $known | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- $named := dict -}}
{{- if .Values.prune.enabled -}}{{- $_ := set $named "ServiceAccount trainchart-prune" "the account of prune.enabled; name another" -}}{{- end -}}
{{- range .Values.submitters -}}
{{- $kind := .kind | default "ServiceAccount" -}}
{{- $whose := printf "%s %s" $kind .name -}}
{{- if hasKey $named $whose -}}
{{- $problems = append $problems (printf "submitters: %s %q is %s" $kind .name (get $named $whose)) -}}
{{- end -}}
{{- $_ := set $named $whose "named twice; keep one of them" -}}
{{- if and (eq $kind "ServiceAccount") (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" .name)) -}}
{{- $problems = append $problems (printf "submitters: %q cannot be the name of a ServiceAccount; use lower-case letters, digits, - and ., or say kind: User or Group" .name) -}}
{{- end -}}
{{- if and .create (ne $kind "ServiceAccount") -}}
{{- $problems = append $problems (printf "submitters: a %s cannot be created; leave create out of %q" $kind .name) -}}
{{- else if and .create (eq .name "default") -}}
{{- $problems = append $problems "submitters: every namespace has a ServiceAccount \"default\" already; leave create out of it" -}}
{{- end -}}
{{- end -}}
{{- range $key := list "cpu" "memory" -}}
{{- $request := get $.Values.resources.requests $key | toString -}}
{{- $limit := get $.Values.resources.limits $key | toString -}}
{{- if and $request $limit (gt (include "platform.thousandths" $request | float64) (include "platform.thousandths" $limit | float64)) -}}
{{- $problems = append $problems (printf "resources.requests.%s: %s is more than resources.limits.%s %s; lower the request or raise the limit" $key $request $key $limit) -}}
{{- end -}}
{{- end -}}
{{- if and (or .Values.tekton.enabled .Values.argo.enabled) (not (include "platform.account" .)) -}}
{{- $problems = append $problems "submitters: engines need a ServiceAccount that may use Secrets, in which Helm keeps releases; add one, such as {name: trainchart, create: true}" -}}
{{- end -}}
{{- if and .Values.tekton.triggerTemplates (not .Values.tekton.enabled) -}}
{{- $problems = append $problems "tekton.triggerTemplates: a TriggerTemplate starts a Pipeline of tekton.enabled; set that to true too" -}}
{{- end -}}
{{- if .Capabilities.APIVersions.Has "v1/Pod" -}}
{{- $needs := list
  (dict "key" "tekton.enabled" "wanted" .Values.tekton.enabled "api" "tekton.dev/v1/Pipeline" "what" "Tekton Pipelines")
  (dict "key" "tekton.triggerTemplates" "wanted" .Values.tekton.triggerTemplates "api" "triggers.tekton.dev/v1beta1/TriggerTemplate" "what" "Tekton Triggers")
  (dict "key" "argo.enabled" "wanted" .Values.argo.enabled "api" "argoproj.io/v1alpha1/WorkflowTemplate" "what" "Argo Workflows")
-}}
{{- range $needs -}}
{{- if and .wanted (not ($.Capabilities.APIVersions.Has .api)) -}}
{{- $problems = append $problems (printf "%s: the cluster has no %s; install %s, or set it to false" .key .api .what) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n- %s" (join "\n- " $problems)) -}}
{{- end -}}
{{- end -}}

{{- /*
Returns a Kubernetes quantity in thousandths of its base unit, to compare two of them.
Usage: {{ include "platform.thousandths" "500m" }} -> 500
*/ -}}
{{- define "platform.thousandths" -}}
{{- $units := dict "m" 1 "" 1e3 "k" 1e6 "M" 1e9 "G" 1e12 "T" 1e15 "P" 1e18 "Ki" 1024e3 "Mi" 1048576e3 "Gi" 1073741824e3 "Ti" 1099511627776e3 "Pi" 1125899906842624e3 -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" . -}}
{{- mulf $number (get $units (trimPrefix $number .)) | printf "%.0f" -}}
{{- end -}}
