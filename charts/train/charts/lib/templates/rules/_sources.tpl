{{- /* What the family needs is there, and git can be reached as the values say. */ -}}
{{- define "train.rules.sources" -}}
{{- $broken := list -}}
{{- $values := .Run.values -}}
{{- if not $values.image -}}
{{- $broken = append $broken (printf "image: is empty; name a training image for family %s" $values.family) -}}
{{- end -}}
{{- range $section := .Run.family.requires -}}
{{- $other := or (and (eq $section "publish") (eq $values.publish.type "none")) (has (get $values $section).type (list "claim" "s3")) -}}
{{- if not (or $other (get $values $section).repository) -}}
{{- $broken = append $broken (printf "%s.repository: is empty, and family %s needs it; set the URL of a git repository" $section $values.family) -}}
{{- end -}}
{{- end -}}
{{- $kinds := dict "repository" "git" "revision" "git" "claimName" "claim" "subPath" "claim" "bucket" "s3" "endpoint" "s3" "prefix" "s3" "secretName" "git or s3" -}}
{{- range $section := list "model" "dataset" -}}
{{- $source := get $values $section -}}
{{- range $key, $kind := $kinds -}}
{{- if and (not (contains $source.type $kind)) (get $source $key) -}}
{{- $broken = append $broken (printf "%s.%s: is %q, but %s.type %s has no use for it; leave it empty, or set %s.type: %s" $section $key (include "train.shown" (get $source $key)) $section $source.type $section $kind) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $source.type "claim") (not $source.claimName) -}}
{{- $broken = append $broken (printf "%s.claimName: is empty, and %s.type claim needs it; name a PersistentVolumeClaim of this namespace" $section $section) -}}
{{- else if and (eq $source.type "s3") (not $source.bucket) -}}
{{- $broken = append $broken (printf "%s.bucket: is empty, and %s.type s3 needs it; name a bucket" $section $section) -}}
{{- else if eq $source.type "s3" -}}
{{- if not (regexMatch "^https?://[^/@?#]+/?$" ($source.endpoint | default "")) -}}
{{- $broken = append $broken (printf "%s.endpoint: must be the URL of an object store and nothing more, such as https://s3.example.com; credentials come from %s.secretName" $section $section) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "(^/)|(^|/)[.][.](/|$)" ($source.subPath | default "") -}}
{{- $broken = append $broken (printf "%s.subPath: %q leaves the volume; give a path inside it" $section $source.subPath) -}}
{{- end -}}
{{- if and $source.cached (eq $source.type "claim") -}}
{{- $broken = append $broken (printf "%s.cached: is true, but a claim is a volume already; set it to false" $section) -}}
{{- else if and $source.cached (not $values.cache.claimName) -}}
{{- $broken = append $broken (printf "%s.cached: is true, and there is no cache; set cache.claimName" $section) -}}
{{- end -}}
{{- end -}}
{{- if and $values.cache.readOnly (not $values.cache.claimName) -}}
{{- $broken = append $broken "cache.readOnly: is true, and there is no cache; set cache.claimName" -}}
{{- end -}}
{{- $tracking := $values.mlflow.trackingUri | default "" -}}
{{- if not (regexMatch "^(https?://[^/@?#]+(/[^?#]*)?)?$" $tracking) -}}
{{- $broken = append $broken "mlflow.trackingUri: must be an http:// or https:// URL without user, password and query; credentials come from mlflow.secretName" -}}
{{- else if and (hasPrefix "http://" $tracking) $values.mlflow.secretName (not $values.mlflow.allowPlainHttp) -}}
{{- $broken = append $broken (printf "mlflow.trackingUri: %q would send the credentials of mlflow.secretName unencrypted; use https://, or set mlflow.allowPlainHttp: true" $tracking) -}}
{{- end -}}
{{- if and $values.mlflow.secretName (not (or $values.mlflow.tokenKey (and $values.mlflow.userKey $values.mlflow.passwordKey))) -}}
{{- $broken = append $broken (printf "mlflow.secretName: is %q, and nothing says which of its keys to use; set mlflow.tokenKey, or userKey and passwordKey" $values.mlflow.secretName) -}}
{{- end -}}
{{- range $section := list "model" "dataset" "publish" -}}
{{- $url := (get $values $section).repository | default "" -}}
{{- /* First, and in every spelling: no other message may show a URL that holds a password. */ -}}
{{- if regexMatch "(?i)^([a-z+]+://[^/]*|[^/@]*:[^/]*)@" $url -}}
{{- $broken = append $broken (printf "%s.repository: holds a user or password; take it out of the URL and set git.secretName" $section) -}}
{{- else if regexMatch "[?#]" $url -}}
{{- $broken = append $broken (printf "%s.repository: holds a query, and a token in it would be shown wherever the URL is; take it out of the URL and set git.secretName" $section) -}}
{{- else if and (hasPrefix "http://" $url) (not $values.git.allowPlainHttp) -}}
{{- $broken = append $broken (printf "%s.repository: %q would send the token unencrypted; use https://, or set git.allowPlainHttp: true" $section $url) -}}
{{- else if and $url (not (regexMatch "^https?://" $url)) -}}
{{- $broken = append $broken (printf "%s.repository: %q is not an https:// URL; credentials are a user and a token, and git over ssh has neither" $section $url) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $values.publish.type "git") (not (or $values.git.secretName $values.publish.secretName)) -}}
{{- $broken = append $broken "git.secretName: is empty, and publish.type git needs the right to push; name a Secret with user and token, there or in publish.secretName, or set publish.type: none" -}}
{{- end -}}
{{- if and (eq $values.publish.type "none") (eq $values.workspace.type "emptyDir") -}}
{{- $broken = append $broken "publish.type: none with workspace.type: emptyDir would lose the result with the pod; use a claim as workspace" -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}
