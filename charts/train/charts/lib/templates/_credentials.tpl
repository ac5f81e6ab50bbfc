{{- /*
Which Secret answers for which server. A Secret is for the scheme, host and port of one URL, and what no repository, object store
or tracker of the run uses is not mounted. There is one pod template: what is mounted is mounted on every rank.
*/ -}}

{{- /*
Scheme, host and port of a URL, to compare; nothing where it is no URL.
Usage: {{ include "train.origin" URL }}
*/ -}}
{{- define "train.origin" -}}
{{- $origin := regexFind "^https?://[^/?#]+" . | lower -}}
{{- $origin | trimSuffix (ternary ":443" ":80" (hasPrefix "https:" $origin)) -}}
{{- end -}}

{{- /*
"true" where a URL begins with a scheme, a host and a port that there can be, or none: where a token cannot be taken for one of them.
Usage: {{ if include "train.url.host" URL }}
*/ -}}
{{- define "train.url.host" -}}
{{- if regexMatch "^https?://([\\pL\\pN._-]+|\\[[0-9A-Fa-f:.]+\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/|$)" . -}}
true
{{- end -}}
{{- end -}}

{{- /*
"true" where a URL has all that one of a repository has, and no blanks; the runner looks again, at its settings.
Usage: {{ if include "train.url.whole" URL }}
*/ -}}
{{- define "train.url.whole" -}}
{{- if and (include "train.url.host" .) (regexMatch "//[^/]*/+[^/]" .) (not (regexMatch "[\\s\\pZ]" .)) -}}
true
{{- end -}}
{{- end -}}

{{- /*
A URL for a message: without what may be a password or token.
Usage: {{ include "train.shown" URL }}
*/ -}}
{{- define "train.shown" -}}
{{- regexReplaceAll "[?#].*" (regexReplaceAll "(?i)^([a-z0-9+.-]+:/+)?.*(@|%40)" . "${1}***@") "?***" -}}
{{- end -}}

{{- /*
The git repositories of the run, as JSON: section of the values -> URL.
Usage: {{ include "train.repositories" . | fromJson }}
*/ -}}
{{- define "train.repositories" -}}
{{- $values := .Run.values -}}
{{- $found := dict -}}
{{- range $section := append (include "train.sources" . | fromJsonArray) "publish" -}}
{{- $place := get $values $section -}}
{{- if and (eq $place.type "git") $place.repository -}}
{{- $_ := set $found $section $place.repository -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{- /*
The section whose server git.secretName answers for: publish, or where nothing is published the first source that is a repository.
Usage: {{ include "train.git.home" . }}
*/ -}}
{{- define "train.git.home" -}}
{{- $repositories := include "train.repositories" . | fromJson -}}
{{- $found := list -}}
{{- range $section := list "publish" "model" "dataset" -}}
{{- if hasKey $repositories $section -}}
{{- $found = append $found $section -}}
{{- end -}}
{{- end -}}
{{- first $found -}}
{{- end -}}

{{- /*
What each git repository is asked for with, as JSON: section -> key of the values that names the Secret (or could), the Secret,
and the folder where it is mounted; both are empty for a repository that is asked for without.
Usage: {{ include "train.git.credentials" . | fromJson }}
*/ -}}
{{- define "train.git.credentials" -}}
{{- $values := .Run.values -}}
{{- $repositories := include "train.repositories" . | fromJson -}}
{{- $home := include "train.git.home" . -}}
{{- $found := dict -}}
{{- range $section, $url := $repositories -}}
{{- $own := (get $values $section).secretName -}}
{{- $shared := eq (include "train.origin" $url) (include "train.origin" (get $repositories $home)) -}}
{{- $by := ternary "git" $section (and (not $own) $shared) -}}
{{- $secret := (get $values $by).secretName | default "" -}}
{{- $_ := set $found $section (dict "key" (printf "%s.secretName" $by) "secret" $secret "folder" (ternary (printf "/var/run/trainchart/%s" $by) "" (not (empty $secret)))) -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{- /*
The Secrets that are mounted, as JSON: volume (mounted at /var/run/trainchart/<volume>) -> Secret and the keys of it that are read.
Usage: {{ include "train.secrets" . | fromJson }}
*/ -}}
{{- define "train.secrets" -}}
{{- $values := .Run.values -}}
{{- $found := dict -}}
{{- range $_, $credentials := include "train.git.credentials" . | fromJson -}}
{{- if $credentials.folder -}}
{{- $_ := set $found (base $credentials.folder) (dict "secret" $credentials.secret "keys" (list $values.git.userKey $values.git.tokenKey)) -}}
{{- end -}}
{{- end -}}
{{- range $section := include "train.sources" . | fromJsonArray -}}
{{- $source := get $values $section -}}
{{- if and (eq $source.type "s3") $source.secretName -}}
{{- $_ := set $found $section (dict "secret" $source.secretName "keys" (list $source.accessKeyKey $source.secretKeyKey)) -}}
{{- end -}}
{{- end -}}
{{- $mlflow := $values.mlflow -}}
{{- if and $mlflow.trackingUri $mlflow.secretName -}}
{{- $_ := set $found "mlflow" (dict "secret" $mlflow.secretName "keys" (ternary (list $mlflow.tokenKey) (list $mlflow.userKey $mlflow.passwordKey) (not (empty $mlflow.tokenKey)))) -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}
