{{- /*
Returns warnings about values that may not do what the user expects, for NOTES and `trainchart validate`: a list of lines with keys.
Usage: {{ range include "train.warnings" . | fromJsonArray }}
*/ -}}
{{- define "train.warnings" -}}
{{- $values := .Run.values -}}
{{- $devices := $values.accelerator.count | default 0 | int -}}
{{- $warnings := list -}}
{{- if and (gt $devices 1) (lt (include "train.quantity" $values.sharedMemory | int64) (include "train.quantity" "4Gi" | int64)) -}}
{{- $warnings = append $warnings (printf "sharedMemory: %v is small for %d devices, whose processes exchange data through it; use 4Gi or more" $values.sharedMemory $devices) -}}
{{- end -}}
{{- if regexMatch "(^[^:]*|/[^:]*|:latest)$" $values.image -}}
{{- $warnings = append $warnings (printf "image: %q has no tag, or latest, so another run may use another image; set a version or a digest" $values.image) -}}
{{- end -}}
{{- range $section, $url := include "train.repositories" . | fromJson -}}
{{- with regexFind "^[^/:]*@[^/:]+:[0-9]{1,5}/" $url -}}
{{- $port := regexFind "[0-9]+/$" . | trimSuffix "/" -}}
{{- $written := printf "ssh://%s:%s/%s" (regexFind "^[^:]+" .) $port (trimPrefix . $url) -}}
{{- $warnings = append $warnings (printf "%s.repository: %q has no port: %s is the first folder of its path; for the port write %s" $section $url $port $written) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $values.publish.type "s3") (not $values.publish.secretName) (not $values.publish.workloadIdentity) -}}
{{- $warnings = append $warnings "publish.secretName: is empty, so the result is uploaded without credentials, which few buckets allow; set it, or publish.workloadIdentity: true" -}}
{{- end -}}
{{- $home := include "train.git.home" . -}}
{{- $used := false -}}
{{- range $section, $by := include "train.git.credentials" . | fromJson -}}
{{- $used = or $used (eq $by "git") -}}
{{- if and $values.git.secretName (not (get $values $by).secretName) (not (include "train.url.ssh" (get $values $section).repository)) -}}
{{- $warnings = append $warnings (printf "%s.repository: is on another server than %s.repository, and git.secretName is only for that one, so it is fetched without credentials; set %s.secretName unless it is public" $section $home $section) -}}
{{- end -}}
{{- end -}}
{{- if and $values.git.secretName (not $used) -}}
{{- $warnings = append $warnings (printf "git.secretName: is %q, but no repository of this run needs it, so it is not mounted; leave it empty" $values.git.secretName) -}}
{{- end -}}
{{- if and (include "train.workspace.temporary" .) (ne $values.publish.type "none") -}}
{{- $warnings = append $warnings (printf "workspace.type: %s loses the result if it cannot be published within publish.patience (%s); use a claim to keep it" $values.workspace.type $values.publish.patience) -}}
{{- end -}}
{{- with .Run.family.randomWeights -}}
{{- $value := get $values.train (trimPrefix "train." .setting) -}}
{{- if regexMatch .when ($value | default "" | toString) -}}
{{- $warnings = append $warnings (printf "%s: %s, so the training starts from random weights, and needs many epochs and images; %s" .setting (empty $value | ternary "is empty" (printf "is %q" $value)) .fix) -}}
{{- end -}}
{{- end -}}
{{- concat $warnings (include "train.unlikely" . | fromJsonArray) (include "train.unused" . | fromJsonArray) | toJson -}}
{{- end -}}
