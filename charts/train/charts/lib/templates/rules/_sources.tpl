{{- /* The sources that the family needs are configured, and their URLs and credentials are usable. */ -}}
{{- define "train.rules.sources" -}}
{{- $violations := list -}}
{{- $values := .Run.values -}}
{{- if not $values.image -}}
{{- $violations = append $violations (printf "image: is empty; set a training image for family %s" $values.family) -}}
{{- else if not (regexMatch "^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]+)?/|\\[[0-9A-Fa-f:]+\\](:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[A-Za-z][A-Za-z0-9]*:[0-9A-Fa-f]{32,})?$" $values.image) -}}
{{- $violations = append $violations (printf "image: %q is not a valid image name; write it as registry.example.com/team/image:tag, without a scheme or spaces" (include "train.shown" $values.image)) -}}
{{- end -}}
{{- /* What is pushed has to go somewhere, whatever the family needs. */ -}}
{{- range $section := append .Run.family.requires "publish" | uniq -}}
{{- $provided := or (and (eq $section "publish") (eq $values.publish.type "none")) (has (get $values $section).type (list "claim" "s3")) -}}
{{- if not (or $provided (get $values $section).repository) -}}
{{- $violations = append $violations (printf "%s.repository: is empty, but family %s needs it; set the URL of a git repository" $section $values.family) -}}
{{- end -}}
{{- end -}}
{{- $ofResult := dict "bucket" "s3" "endpoint" "s3" "prefix" "s3" "folder" "s3" -}}
{{- if eq $values.publish.type "s3" -}}
{{- $ofResult = dict "repository" "git" "branch" "git" -}}
{{- end -}}
{{- $kinds := dict "repository" "git" "revision" "git" "claimName" "claim" "subPath" "claim" "bucket" "s3" "endpoint" "s3" "prefix" "s3" "secretName" "git or s3" -}}
{{- range $section := list "model" "dataset" "publish" -}}
{{- $source := get $values $section -}}
{{- range $key, $kind := eq $section "publish" | ternary $ofResult $kinds -}}
{{- if and (not (contains $source.type $kind)) (get $source $key) -}}
{{- $violations = append $violations (printf "%s.%s: is %q, but %s.type %s does not use it; leave it empty, or set %s.type: %s" $section $key (include "train.shown" (get $source $key)) $section $source.type $section $kind) -}}
{{- end -}}
{{- end -}}
{{- if include "train.ref.invalid" ($source.revision | default "") -}}
{{- $violations = append $violations (printf "%s.revision: %q is not a valid name of a branch or tag, nor a commit; use one such as main, v7.0 or a full commit" $section $source.revision) -}}
{{- end -}}
{{- if and (eq $source.type "claim") (not $source.claimName) -}}
{{- $violations = append $violations (printf "%s.claimName: is empty, but %s.type claim needs it; set a PersistentVolumeClaim in this namespace" $section $section) -}}
{{- else if and (eq $source.type "s3") (not $source.bucket) -}}
{{- $violations = append $violations (printf "%s.bucket: is empty, but %s.type s3 needs it; set a bucket" $section $section) -}}
{{- end -}}
{{- if eq $source.type "s3" -}}
{{- $violations = concat $violations (include "train.rules.bucket" (dict "section" $section "place" $source "account" $values.serviceAccount.name) | fromJsonArray) -}}
{{- end -}}
{{- if and (hasPrefix "/" ($source.subPath | default "")) (trimAll "/" $source.subPath) -}}
{{- $violations = append $violations (printf "%s.subPath: %q begins with a slash, but is a path inside the volume; write %s" $section $source.subPath (trimAll "/" $source.subPath | quote)) -}}
{{- else if regexMatch "^/|(^|/)[.][.](/|$)" ($source.subPath | default "") -}}
{{- $violations = append $violations (printf "%s.subPath: %q leaves the volume; use a path inside it" $section $source.subPath) -}}
{{- end -}}
{{- if and $source.cached (eq $source.type "claim") -}}
{{- $violations = append $violations (printf "%s.cached: is true, but a claim is already a volume; set it to false" $section) -}}
{{- else if and $source.cached (not $values.cache.claimName) -}}
{{- $violations = append $violations (printf "%s.cached: is true, but there is no cache; set cache.claimName" $section) -}}
{{- end -}}
{{- end -}}
{{- if and $values.cache.readOnly (not $values.cache.claimName) -}}
{{- $violations = append $violations "cache.readOnly: is true, but there is no cache; set cache.claimName" -}}
{{- end -}}
{{- $tracking := $values.mlflow.trackingUri | default "" -}}
{{- if and $tracking (not (and (include "train.url.host" $tracking) (regexMatch "^[^?#\\s\\pZ]*$" $tracking) (not (regexMatch "//[^/]*/.*:.*@" $tracking)))) -}}
{{- $violations = append $violations "mlflow.trackingUri: must be an http:// or https:// URL without user, password and query; set credentials with mlflow.secretName" -}}
{{- else if and (hasPrefix "http://" $tracking) $values.mlflow.secretName (not $values.mlflow.allowPlainHttp) -}}
{{- $violations = append $violations (printf "mlflow.trackingUri: %q would send the credentials of mlflow.secretName unencrypted; use https://, or set mlflow.allowPlainHttp: true" $tracking) -}}
{{- end -}}
{{- if and $values.mlflow.secretName (not (or $values.mlflow.tokenKey (and $values.mlflow.userKey $values.mlflow.passwordKey))) -}}
{{- $violations = append $violations (printf "mlflow.secretName: is %q, but no keys of it are set; set mlflow.tokenKey, or userKey and passwordKey" $values.mlflow.secretName) -}}
{{- end -}}
{{- range $section := list "model" "dataset" "publish" -}}
{{- $url := (get $values $section).repository | default "" -}}
{{- $complete := include "train.url.complete" $url -}}
{{- $over := include "train.url.ssh" $url -}}
{{- $https := "is not an https:// URL; write it as https://git.example.com/team/model.git" -}}
{{- $without := "remove it from the URL and set git.secretName" -}}
{{- if regexMatch "^(ssh|git[+]ssh|ssh[+]git):|^git@|^[^/:@]*@[^/:]*:|^[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+:[^/0-9]" $url -}}
{{- $https = "is not a URL of git over SSH; write it as ssh://git@git.example.com/team/model.git or git@git.example.com:team/model.git, or with a port as ssh://git@git.example.com:2222/team/model.git" -}}
{{- $without = "the key of git over SSH comes from a Secret; write it as ssh://git@git.example.com/team/model.git, and set git.secretName" -}}
{{- else if regexMatch "^(s3|s3a|s3n|oss|cos|obs|gs|tos):" $url -}}
{{- $https = printf "is not an https:// URL, but the URI of a bucket; set %s.type: s3, with endpoint, bucket and prefix, and leave repository empty" $section -}}
{{- else if regexMatch "^pvc:" $url -}}
{{- $https = printf "is not an https:// URL, but a claim; set %s, and leave repository empty" (eq $section "publish" | ternary "publish.type: none with workspace.type: existingClaim" (printf "%s.type: claim with claimName and subPath" $section)) -}}
{{- else if regexMatch "^(file:|[.~/])" $url -}}
{{- $https = printf "is not an https:// URL, but a path; for files of a volume set %s.type: claim" $section -}}
{{- if eq $section "publish" -}}
{{- $https = "is not an https:// URL, but a path; to leave the result in a volume set publish.type: none" -}}
{{- end -}}
{{- end -}}
{{- /* Checked first, in every spelling: no other message may show a URL with a password. A path may have an @. */ -}}
{{- if and (contains "@" $url) (not (or $over (and $complete (not (regexMatch "//[^/]*/.*:.*@" $url))) (regexMatch "^[A-Za-z+]*(://)?git@[^:@/?#]+[:/][^:@?#]*$" $url))) -}}
{{- $violations = append $violations (printf "%s.repository: contains a user or password; %s" $section $without) -}}
{{- else if regexMatch "[?#]" $url -}}
{{- $violations = append $violations (printf "%s.repository: contains a query, and a token in it would be shown with the URL; remove it from the URL and set git.secretName" $section) -}}
{{- else if and $url (not $over) (eq (get $values $section).type "git") (not (regexMatch "^https?://" $url)) -}}
{{- $violations = append $violations (printf "%s.repository: %s%s" $section (regexMatch "^([a-z+]*(://)?git@[^:/]+[:/][^:%]*|([A-Za-z+]*:?/+)?[^:%/]*(:[0-9]*)?(/[^:%]*)?)$" $url | ternary (printf "%q " $url) "") $https) -}}
{{- else if and $url (not $over) (not $complete) (eq (get $values $section).type "git") -}}
{{- $violations = append $violations (printf "%s.repository: must have a host, optionally a port, and a repository, without spaces, such as https://git.example.com/team/model.git; correct it (it is not shown because it may contain a token)" $section) -}}
{{- else if and (hasPrefix "http://" $url) (not $values.git.allowPlainHttp) -}}
{{- $violations = append $violations (printf "%s.repository: %q would send the token unencrypted; use https://, or set git.allowPlainHttp: true" $section $url) -}}
{{- end -}}
{{- end -}}
{{- range $section := list "model" "dataset" "publish" -}}
{{- $lfs := (get $values $section).lfs -}}
{{- $url := $lfs.url | default "" -}}
{{- if and $url (not (and (include "train.url.complete" $url) (not (regexMatch "[?#]|//[^/]*/.*:.*@" $url)))) -}}
{{- $violations = append $violations (printf "%s.lfs.url: must be the https:// URL of an LFS server without user, password and query, such as https://lfs.example.com/team/model; set credentials with %s.lfs.secretName" $section $section) -}}
{{- else if and (hasPrefix "http://" $url) (not $values.git.allowPlainHttp) -}}
{{- $violations = append $violations (printf "%s.lfs.url: %q would send the token unencrypted; use https://, or set git.allowPlainHttp: true" $section $url) -}}
{{- else if and $lfs.secretName (not $url) -}}
{{- $violations = append $violations (printf "%s.lfs.secretName: is %q, but no server is named that it is for; set %s.lfs.url" $section $lfs.secretName $section) -}}
{{- else if and $lfs.secretName (eq (include "train.origin" $url) (include "train.origin" ((get $values $section).repository | default ""))) -}}
{{- $violations = append $violations (printf "%s.lfs.secretName: is %q, but %s.lfs.url is on the server of %s.repository, whose credentials are used there; leave it empty" $section $lfs.secretName $section $section) -}}
{{- end -}}
{{- end -}}
{{- range $section, $by := include "train.git.credentials" . | fromJson -}}
{{- $url := (get $values $section).repository -}}
{{- if and (include "train.url.ssh" $url) (not (get $values $by).secretName) -}}
{{- $violations = append $violations (printf "%s.repository: %q is reached over SSH, which needs a private key; set %s.secretName to a Secret with the keys %s and %s" $section $url $by $values.git.privateKeyKey $values.git.knownHostsKey) -}}
{{- end -}}
{{- end -}}
{{- $branch := $values.publish.branch | default "" -}}
{{- if or (include "train.ref.invalid" $branch) (eq $branch "HEAD") -}}
{{- $violations = append $violations (printf "publish.branch: %q is not a valid branch name; use one such as candidates/first" $branch) -}}
{{- end -}}
{{- if and (eq $values.publish.type "git") (not (or $values.git.secretName $values.publish.secretName)) (not (include "train.url.ssh" ($values.publish.repository | default ""))) -}}
{{- $violations = append $violations "git.secretName: is empty, but publish.type git needs credentials to push; set a Secret with user and token (or with the private key, for SSH), here or in publish.secretName, or set publish.type: none" -}}
{{- end -}}
{{- range $section, $like := dict "model" "models/base" "dataset" "datasets/coco8" "publish" "models/detectors" -}}
{{- with (get $values $section).prefix | default "" | trimAll "/" -}}
{{- if regexMatch "(^|/)[.]{0,2}(/|$)" . -}}
{{- $violations = append $violations (printf "%s.prefix: %q is not a folder of a bucket; write it as %s" $section . $like) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq $values.publish.type "none") (include "train.workspace.temporary" .) -}}
{{- $violations = append $violations (printf "publish.type: none with workspace.type: %s would lose the result with the pod; set workspace.type: newClaim" $values.workspace.type) -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}

{{- /*
Returns the violations of a section whose type is s3, as JSON.
Usage: {{ include "train.rules.bucket" (dict "section" "dataset" "place" .Run.values.dataset "account" .Run.values.serviceAccount.name) | fromJsonArray }}
*/ -}}
{{- define "train.rules.bucket" -}}
{{- $violations := list -}}
{{- $place := .place -}}
{{- $endpoint := $place.endpoint | default "" -}}
{{- if not (and (regexMatch "^https?://[^/@?#]+/?$" $endpoint) (include "train.url.host" $endpoint)) -}}
{{- $fix := ternary (printf "set credentials with %s.secretName" .section) "write http:// or https://, a host, and a port or none" (regexMatch "[@?#%]" $endpoint) -}}
{{- if not $endpoint -}}
{{- $fix = "that of AWS is https://s3.eu-central-1.amazonaws.com, with your region" -}}
{{- else if regexMatch "^(s3|s3a|s3n|oss|cos|obs|gs|tos)://[^/@?#%:]+(/[^@?#%:]*)?$" $endpoint -}}
{{- $parts := regexReplaceAll "^[a-z0-9]+://" $endpoint "" | splitn "/" 2 -}}
{{- $fix = printf "write the bucket in %s.bucket: %s" .section $parts._0 -}}
{{- with trimAll "/" ($parts._1 | default "") -}}
{{- $fix = printf "%s, and the folder in %s.prefix: %s" $fix $.section . -}}
{{- end -}}
{{- else if and (ne $endpoint (lower $endpoint)) (regexMatch "^https?://[^/@?#]+/?$" (lower $endpoint)) (include "train.url.host" (lower $endpoint)) -}}
{{- $fix = printf "write it as %s" (lower $endpoint) -}}
{{- else if and (regexMatch "^[^/@?#]+/?$" $endpoint) (include "train.url.host" (printf "https://%s" $endpoint)) -}}
{{- $fix = printf "write it as %s://%s" (regexMatch "^[^.]*(:|$)|[.]svc([.:/]|$)|^[0-9.]+(:|/|$)" $endpoint | ternary "http" "https") (trimSuffix "/" $endpoint) -}}
{{- else if and (regexMatch "^https?://[^/@?#]+/[^@?#%:]+$" $endpoint) (include "train.url.host" $endpoint) -}}
{{- $parts := regexReplaceAll "^https?://[^/]+/+" $endpoint "" | splitn "/" 2 -}}
{{- $folder := eq $parts._0 $place.bucket | ternary ($parts._1 | default "") (printf "%s/%s" $parts._0 ($parts._1 | default "")) | trimAll "/" -}}
{{- $fix = printf "write it as %s" (regexFind "^https?://[^/]+" $endpoint) -}}
{{- if $folder -}}
{{- $fix = printf "%s, and the folder in %s.prefix: %s" $fix .section $folder -}}
{{- end -}}
{{- end -}}
{{- $violations = append $violations (printf "%s.endpoint: must be only the URL of an object store, such as https://s3.example.com; %s" .section $fix) -}}
{{- else if and (eq $place.addressing "virtual") (regexMatch "^[0-9.]+$|^\\[" (regexReplaceAll "^https?://" $endpoint "" | splitList ":" | first | trimSuffix "/")) -}}
{{- $violations = append $violations (printf "%s.addressing: is virtual, but an IP address has no hosts below it; set it to path, or %s.endpoint to a host name" .section .section) -}}
{{- else if and (eq $place.addressing "virtual") $place.bucket (not (regexMatch "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" $place.bucket)) -}}
{{- $violations = append $violations (printf "%s.addressing: is virtual, but bucket %q cannot be part of a host name; set it to path" .section $place.bucket) -}}
{{- end -}}
{{- if and $place.workloadIdentity $place.secretName -}}
{{- $violations = append $violations (printf "%s.workloadIdentity: is true, but %s.secretName is set too; leave one of them out" .section .section) -}}
{{- end -}}
{{- if and $place.workloadIdentity (not .account) -}}
{{- $violations = append $violations (printf "%s.workloadIdentity: is true, but no cloud knows the new service account of the run; name one that has a role in serviceAccount.name" .section) -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}

{{- /*
Returns "true" if git does not allow this name for a branch or tag (git check-ref-format).
Usage: {{ if include "train.ref.invalid" .Run.values.publish.branch }}
*/ -}}
{{- define "train.ref.invalid" -}}
{{- if regexMatch "[\\x00-\\x20\\x7f~^:?*\\[\\\\]|[.][.]|@[{]|//|/[.]|[.]lock(/|$)|^[-/.]|[/.]$|^@$" . -}}
true
{{- end -}}
{{- end -}}
