{{- /*
Credentials. A Secret is used only for the scheme, host and port of one URL, and is mounted only if a repository, object store or
tracker of the run uses it. There is one pod template, so every rank mounts the same Secrets.
*/ -}}

{{- /*
Returns scheme, host and port of a URL, for comparison; empty if it is not a URL. A repository over SSH may be written as git does too,
user@host:path.
Usage: {{ include "train.origin" URL }}
*/ -}}
{{- define "train.origin" -}}
{{- if include "train.url.ssh" . -}}
{{- regexReplaceAll "^(ssh://[^@]*@([^/]*)/|[^@]*@(\\[[^]]*\\]|[^:]*):).*$" . "ssh://${2}${3}" | lower | trimSuffix ":22" -}}
{{- else -}}
{{- $origin := regexFind "^https?://[^/?#]+" . | lower -}}
{{- $origin | trimSuffix (ternary ":443" ":80" (hasPrefix "https:" $origin)) -}}
{{- end -}}
{{- end -}}

{{- /* An IPv6 address in brackets, and a port, as regular expressions. Usage: {{ include "train.url.address" . }} */ -}}
{{- define "train.url.address" -}}
\[([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){7}|([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){0,6})?::([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){0,6})?)\]
{{- end -}}

{{- define "train.url.port" -}}
(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?
{{- end -}}

{{- /*
Returns "true" if a URL begins with a scheme, a valid host and a valid port or none, so that no part of them can be a token.
Usage: {{ if include "train.url.host" URL }}
*/ -}}
{{- define "train.url.host" -}}
{{- if regexMatch (printf "^https?://([\\pL\\pN._-]+|%s)%s(/|$)" (include "train.url.address" .) (include "train.url.port" .)) . -}}
true
{{- end -}}
{{- end -}}

{{- /*
Returns "true" if a URL is that of a repository over SSH: ssh://user@host[:port]/path, or user@host:path. The runner has the same rule.
Usage: {{ if include "train.url.ssh" URL }}
*/ -}}
{{- define "train.url.ssh" -}}
{{- /* It is asked many times of every URL, and Helm compiles the expression, which is long, each time: few URLs get that far. */ -}}
{{- if and (contains "@" .) (not (hasPrefix "https://" .)) -}}
{{- $server := printf "[A-Za-z0-9_][A-Za-z0-9._+-]*@([A-Za-z0-9][A-Za-z0-9._-]*|%s)" (include "train.url.address" .) -}}
{{- if regexMatch (printf "^(ssh://%s%s/+|%s:/*)~?[\\pL\\pN_.@][\\pL\\pN._~%%+=,@/()-]*$" $server (include "train.url.port" .) $server) . -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
Returns "true" if a URL has all parts of a repository's URL, and no whitespace. The runner checks its settings again.
Usage: {{ if include "train.url.complete" URL }}
*/ -}}
{{- define "train.url.complete" -}}
{{- if and (include "train.url.host" .) (regexMatch "//[^/]*/+[^/]" .) (not (regexMatch "[\\s\\pZ]" .)) -}}
true
{{- end -}}
{{- end -}}

{{- /*
Returns a URL for a message, without anything that may be a password or token.
Usage: {{ include "train.shown" URL }}
*/ -}}
{{- define "train.shown" -}}
{{- regexReplaceAll "[?#].*" (regexReplaceAll "(?i)^([a-z0-9+.-]+:/+)?.*(@|%40)" . "${1}***@") "?***" -}}
{{- end -}}

{{- /*
Returns the URLs of the run's git repositories, as JSON, by section of the values.
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
Returns "true" if the run uses a repository over SSH.
Usage: {{ if include "train.ssh" . }}
*/ -}}
{{- define "train.ssh" -}}
{{- range include "train.repositories" . | fromJson -}}
{{- include "train.url.ssh" . -}}
{{- end -}}
{{- end -}}

{{- /*
Returns the section whose server git.secretName is for: publish, or the first source that is a repository if nothing is published.
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
Returns whose secretName answers for each git repository, as JSON, by section: the section itself, or git. It may be empty: then the
repository is fetched without credentials.
Usage: {{ include "train.git.credentials" . | fromJson }}
*/ -}}
{{- define "train.git.credentials" -}}
{{- $repositories := include "train.repositories" . | fromJson -}}
{{- $home := get $repositories (include "train.git.home" .) -}}
{{- $found := dict -}}
{{- range $section, $url := $repositories -}}
{{- $shared := and (not (get $.Run.values $section).secretName) (eq (include "train.origin" $url) (include "train.origin" $home)) -}}
{{- $_ := set $found $section (ternary "git" $section $shared) -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{- /*
Returns the mounted Secrets and the keys that are read of them, as JSON, by the names of their volumes: the section that names the
Secret, or that of its lfs with -lfs.
Usage: {{ include "train.secrets" . | fromJson }}
*/ -}}
{{- define "train.secrets" -}}
{{- $values := .Run.values -}}
{{- $found := dict -}}
{{- range $section, $by := include "train.git.credentials" . | fromJson -}}
{{- $keys := list $values.git.userKey $values.git.tokenKey -}}
{{- if include "train.url.ssh" (get $values $section).repository -}}
{{- $keys = list $values.git.privateKeyKey $values.git.knownHostsKey -}}
{{- end -}}
{{- $_ := set $found $by (dict "secret" (get $values $by).secretName "keys" $keys) -}}
{{- $tokens := list $values.git.userKey $values.git.tokenKey -}}
{{- $_ := set $found (printf "%s-lfs" $section) (dict "secret" (get $values $section).lfs.secretName "keys" $tokens) -}}
{{- end -}}
{{- range $section := include "train.stores" . | fromJsonArray -}}
{{- $place := get $values $section -}}
{{- $_ := set $found $section (dict "secret" $place.secretName "keys" (list $place.accessKeyKey $place.secretKeyKey $place.sessionTokenKey)) -}}
{{- end -}}
{{- $mlflow := $values.mlflow -}}
{{- if $mlflow.trackingUri -}}
{{- $keys := ternary (list $mlflow.tokenKey) (list $mlflow.userKey $mlflow.passwordKey) (not (empty $mlflow.tokenKey)) -}}
{{- $_ := set $found "mlflow" (dict "secret" $mlflow.secretName "keys" $keys) -}}
{{- end -}}
{{- range $name := keys $found -}}
{{- if not (get $found $name).secret -}}
{{- $_ := unset $found $name -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{- /*
Returns the keys of Secrets that the trainer gets, as JSON, by the path of each in their volume: env/<variable> or files/<path>.
Usage: {{ range $path, $secret := include "train.programSecrets" . | fromJson }}
*/ -}}
{{- define "train.programSecrets" -}}
{{- $found := dict -}}
{{- range $name, $secret := .Run.values.secretEnv -}}
{{- $_ := set $found (printf "env/%s" $name) $secret -}}
{{- end -}}
{{- range $path, $secret := .Run.values.secretFiles -}}
{{- $_ := set $found (printf "files/%s" $path) $secret -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}
