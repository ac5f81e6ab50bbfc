{{- /* What the family needs is there, and git can be reached as the values say. */ -}}
{{- define "train.rules.sources" -}}
{{- $broken := list -}}
{{- $values := .Run.values -}}
{{- if not $values.image -}}
{{- $broken = append $broken (printf "image: is empty; name a training image for family %s" $values.family) -}}
{{- else if not (regexMatch "^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]+)?/|\\[[0-9A-Fa-f:]+\\](:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[A-Za-z][A-Za-z0-9]*:[0-9A-Fa-f]{32,})?$" $values.image) -}}
{{- $broken = append $broken (printf "image: %q is no name that an image can have; write it as registry.example.com/team/image:tag, without a scheme and blanks" (include "train.shown" $values.image)) -}}
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
{{- if include "train.ref.fault" ($source.revision | default "") -}}
{{- $broken = append $broken (printf "%s.revision: %q is no name that git gives to a branch or tag, and no commit; write it as main, v7.0 or a full commit" $section $source.revision) -}}
{{- end -}}
{{- if and (eq $source.type "claim") (not $source.claimName) -}}
{{- $broken = append $broken (printf "%s.claimName: is empty, and %s.type claim needs it; name a PersistentVolumeClaim of this namespace" $section $section) -}}
{{- else if and (eq $source.type "s3") (not $source.bucket) -}}
{{- $broken = append $broken (printf "%s.bucket: is empty, and %s.type s3 needs it; name a bucket" $section $section) -}}
{{- else if eq $source.type "s3" -}}
{{- if not (and (regexMatch "^https?://[^/@?#]+/?$" ($source.endpoint | default "")) (include "train.url.host" $source.endpoint)) -}}
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
{{- if and $tracking (not (and (include "train.url.host" $tracking) (regexMatch "^[^?#\\s\\pZ]*$" $tracking) (not (regexMatch "//[^/]*/.*:.*@" $tracking)))) -}}
{{- $broken = append $broken "mlflow.trackingUri: must be an http:// or https:// URL without user, password and query; credentials come from mlflow.secretName" -}}
{{- else if and (hasPrefix "http://" $tracking) $values.mlflow.secretName (not $values.mlflow.allowPlainHttp) -}}
{{- $broken = append $broken (printf "mlflow.trackingUri: %q would send the credentials of mlflow.secretName unencrypted; use https://, or set mlflow.allowPlainHttp: true" $tracking) -}}
{{- end -}}
{{- if and $values.mlflow.secretName (not (or $values.mlflow.tokenKey (and $values.mlflow.userKey $values.mlflow.passwordKey))) -}}
{{- $broken = append $broken (printf "mlflow.secretName: is %q, and nothing says which of its keys to use; set mlflow.tokenKey, or userKey and passwordKey" $values.mlflow.secretName) -}}
{{- end -}}
{{- range $section := list "model" "dataset" "publish" -}}
{{- $url := (get $values $section).repository | default "" -}}
{{- $whole := include "train.url.whole" $url -}}
{{- $https := "is not an https:// URL; credentials are a user and a token, and git over ssh has neither" -}}
{{- /* First, and in every spelling: no other message may show a URL that holds a password. A path may have an @. */ -}}
{{- if and (contains "@" $url) (not (or (and $whole (not (regexMatch "//[^/]*/.*:.*@" $url))) (regexMatch "^git@[^:@/]+:[^:@]*$" $url))) -}}
{{- $broken = append $broken (printf "%s.repository: holds a user or password; take it out of the URL and set git.secretName" $section) -}}
{{- else if regexMatch "[?#]" $url -}}
{{- $broken = append $broken (printf "%s.repository: holds a query, and a token in it would be shown wherever the URL is; take it out of the URL and set git.secretName" $section) -}}
{{- else if and $url (not (regexMatch "^https?://" $url)) -}}
{{- $broken = append $broken (printf "%s.repository: %s%s" $section (regexMatch "^(git@[^:]+:[^:%]*|([A-Za-z+]*:?/+)?[^:%/]*(:[0-9]*)?(/[^:%]*)?)$" $url | ternary (printf "%q " $url) "") $https) -}}
{{- else if and $url (not $whole) -}}
{{- $broken = append $broken (printf "%s.repository: must name a host, with a port or without, and a repository, without blanks, such as https://git.example.com/team/model.git; correct it (it is not shown, for it may hold a token)" $section) -}}
{{- else if and (hasPrefix "http://" $url) (not $values.git.allowPlainHttp) -}}
{{- $broken = append $broken (printf "%s.repository: %q would send the token unencrypted; use https://, or set git.allowPlainHttp: true" $section $url) -}}
{{- end -}}
{{- end -}}
{{- $branch := $values.publish.branch | default "" -}}
{{- if or (include "train.ref.fault" $branch) (eq $branch "HEAD") -}}
{{- $broken = append $broken (printf "publish.branch: %q is no name that git gives to a branch; write it as candidates/first" $branch) -}}
{{- end -}}
{{- if and (eq $values.publish.type "git") (not (or $values.git.secretName $values.publish.secretName)) -}}
{{- $broken = append $broken "git.secretName: is empty, and publish.type git needs the right to push; name a Secret with user and token, there or in publish.secretName, or set publish.type: none" -}}
{{- end -}}
{{- if and (eq $values.publish.type "none") (eq $values.workspace.type "emptyDir") -}}
{{- $broken = append $broken "publish.type: none with workspace.type: emptyDir would lose the result with the pod; use a claim as workspace" -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}

{{- /*
"true" where git gives no branch and no tag such a name (git check-ref-format).
Usage: {{ if include "train.ref.fault" .Run.values.publish.branch }}
*/ -}}
{{- define "train.ref.fault" -}}
{{- if regexMatch "[\\x00-\\x20\\x7f~^:?*\\[\\\\]|[.][.]|@[{]|//|/[.]|[.]lock(/|$)|^[-/.]|[/.]$|^@$" . -}}
true
{{- end -}}
{{- end -}}
