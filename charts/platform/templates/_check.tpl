{{- /*
Fails with everything that is wrong with the values, or that the cluster does not have. Whether there is a cluster shows in the kinds: the
APIs that `helm template` assumes have none. Tools that pass a cluster's own by --api-versions are told the same as `helm install`.
Usage: {{ include "platform.check" . }}
*/ -}}
{{- define "platform.check" -}}
{{- $problems := list -}}
{{- $known := .Files.Get "files/parameters.json" | fromJson -}}
{{- range .Values.families -}}
{{- if not (hasKey $known .) -}}
{{- $problems = append $problems (printf "families: there is no family %q; use some of %s" . (keys $known | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- range .Values.submitters -}}
{{- if .create -}}
{{- if ne (.kind | default "ServiceAccount") "ServiceAccount" -}}
{{- $problems = append $problems (printf "submitters: a %s cannot be created; leave create out of %q" .kind .name) -}}
{{- else if not (regexMatch "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" .name) -}}
{{- $problems = append $problems (printf "submitters: %q cannot be the name of a ServiceAccount; use lower-case letters, digits and -" .name) -}}
{{- end -}}
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
