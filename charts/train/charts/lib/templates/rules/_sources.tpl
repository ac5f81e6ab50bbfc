{{- /* What the family needs is there, and git can be reached as the values say. */ -}}
{{- define "train.rules.sources" -}}
{{- $broken := list -}}
{{- $values := .Run.values -}}
{{- if not $values.image -}}
{{- $broken = append $broken (printf "image: is empty; name a training image for family %s" $values.family) -}}
{{- end -}}
{{- range $section := .Run.family.requires -}}
{{- $unpublished := and (eq $section "publish") (eq $values.publish.type "none") -}}
{{- if not (or $unpublished (get $values $section).repository) -}}
{{- $broken = append $broken (printf "%s.repository: is empty, and family %s needs it; set the URL of a git repository" $section $values.family) -}}
{{- end -}}
{{- end -}}
{{- range $section := list "model" "dataset" "publish" -}}
{{- $url := (get $values $section).repository | default "" -}}
{{- /* First, and in every spelling: no other message may show a URL that holds a password. */ -}}
{{- if regexMatch "(?i)^([a-z+]+://[^/]*|[^/@]*:[^/]*)@" $url -}}
{{- $broken = append $broken (printf "%s.repository: holds a user or password; take it out of the URL and set git.secretName" $section) -}}
{{- else if and (hasPrefix "http://" $url) (not $values.git.allowPlainHttp) -}}
{{- $broken = append $broken (printf "%s.repository: %q would send the token unencrypted; use https://, or set git.allowPlainHttp: true" $section $url) -}}
{{- else if and $url (not (regexMatch "^https?://" $url)) -}}
{{- $broken = append $broken (printf "%s.repository: %q is not an https:// URL; credentials are a user and a token, and git over ssh has neither" $section $url) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $values.publish.type "git") (not $values.git.secretName) -}}
{{- $broken = append $broken "git.secretName: is empty, and publish.type git needs the right to push; name a Secret with user and token, or set publish.type: none" -}}
{{- end -}}
{{- if and (eq $values.publish.type "none") (eq $values.workspace.type "emptyDir") -}}
{{- $broken = append $broken "publish.type: none with workspace.type: emptyDir would lose the result with the pod; use a claim as workspace" -}}
{{- end -}}
{{- if regexMatch "(^/)|(^|/)[.][.](/|$)" ($values.dataset.path | default "") -}}
{{- $broken = append $broken (printf "dataset.path: %q leaves the run's folder; give a path inside it, such as datasets/coco128" $values.dataset.path) -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
