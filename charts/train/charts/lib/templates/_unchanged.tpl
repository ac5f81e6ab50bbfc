{{- /*
A run is not changed (docs/decisions/0010-a-run-is-not-changed.md). An upgrade that would change it is refused here, before
Helm sends anything: what is in the cluster is looked up and compared with what is rendered. Where there is nothing to look
up (helm template, a dry run on the client, the first installation), nothing is compared.
*/ -}}

{{- /* Fails where the upgrade would change the run, or start it again. Usage: {{ include "train.unchanged" . }} */ -}}
{{- define "train.unchanged" -}}
{{- if .Release.IsUpgrade -}}
{{- $name := include "train.name" . -}}
{{- $live := include "train.unchanged.live" . | fromJson -}}
{{- $old := include "train.unchanged.parts" $live | fromJson -}}
{{- $new := include "train.unchanged.rendered" . | fromJson -}}
{{- if and $live.run (not $live.job) -}}
{{- $ttl := dig "metadata" "annotations" "trainchart.dev/ttl-after-finished" "" $live.run | default .Run.values.ttlAfterFinished -}}
{{- if and $ttl (include "train.unchanged.started" .) -}}
{{- fail (printf "\ntrainchart: run %s has ended, and its Job was removed (ttlAfterFinished); nothing was sent, for an upgrade would train again. To train again, install another release, or take this one away first: helm uninstall %s -n %s\n" $name $name .Release.Namespace) -}}
{{- end -}}
{{- $_ := unset $new "job" -}}
{{- end -}}
{{- $lines := include "train.unchanged.lines" (dict "old" $old "new" $new) | fromJsonArray -}}
{{- if $lines -}}
{{- $wayOut := printf "The release has no Job, and its ConfigMap cannot be changed: helm uninstall %s -n %s, then install it again" $name .Release.Namespace -}}
{{- if $live.job -}}
{{- $wayOut = "Install another release; this run's workspace is an emptyDir, so that it begins anew" -}}
{{- range $volume := (first $live.job.spec.tasks).template.spec.volumes -}}
{{- if and (eq $volume.name "workspace") (hasKey $volume "persistentVolumeClaim") -}}
{{- $wayOut = printf "Install another release. Once this run has ended, it goes on from its checkpoints, where the training is the same, with workspace.type: existingClaim, workspace.claimName: %s and workspace.directory: %s" $volume.persistentVolumeClaim.claimName (dig "settings" "workspace" "directory" $name $old) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- fail (printf "\ntrainchart: run %s is not changed by an upgrade; nothing was sent. It was started with other values or another chart:\n  - %s\n%s.\n" $name (join "\n  - " $lines) $wayOut) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
The release's own objects in the cluster, as JSON: those that are there.
Usage: {{ include "train.unchanged.live" . | fromJson }}
*/ -}}
{{- define "train.unchanged.live" -}}
{{- $wanted := dict
  "job" (list "batch.volcano.sh/v1alpha1" "Job" (include "train.name" .))
  "run" (list "v1" "ConfigMap" (include "train.name.run" .)) -}}
{{- if eq .Run.values.workspace.type "newClaim" -}}
{{- $_ := set $wanted "claim" (list "v1" "PersistentVolumeClaim" (include "train.name.claim" .)) -}}
{{- end -}}
{{- if .Run.profile.deviceClass -}}
{{- $_ := set $wanted "devices" (list "resource.k8s.io/v1" "ResourceClaimTemplate" (include "train.name.devices" .)) -}}
{{- end -}}
{{- $live := dict -}}
{{- range $key, $what := $wanted -}}
{{- $object := lookup (index $what 0) (index $what 1) $.Release.Namespace (index $what 2) -}}
{{- /* One of the same name that is not the release's is Helm's to refuse. */ -}}
{{- if eq (dig "metadata" "annotations" "meta.helm.sh/release-name" "" $object) $.Release.Name -}}
{{- $_ := set $live $key $object -}}
{{- end -}}
{{- end -}}
{{- $live | toJson -}}
{{- end -}}

{{- /* The same parts as they would be sent. Usage: {{ include "train.unchanged.rendered" . | fromJson }} */ -}}
{{- define "train.unchanged.rendered" -}}
{{- $objects := dict -}}
{{- range $key, $template := dict "job" "job" "run" "configmap" "claim" "workspace" "devices" "devices" -}}
{{- with include (printf "train.%s" $template) $ | fromYaml -}}
{{- $_ := set $objects $key . -}}
{{- end -}}
{{- end -}}
{{- include "train.unchanged.parts" $objects -}}
{{- end -}}

{{- /*
What of objects makes a run, as JSON: the Job's spec, settings, programs (file -> text), the claim's spec, and devices. Labels and
annotations do not, nor does a NetworkPolicy.
Usage: {{ include "train.unchanged.parts" (dict "job" OBJECT "run" OBJECT ...) | fromJson }}
*/ -}}
{{- define "train.unchanged.parts" -}}
{{- $parts := dict -}}
{{- with .run -}}
{{- $_ := set $parts "settings" (index .data "settings.json" | fromJson) -}}
{{- $_ := set $parts "programs" (omit .data "settings.json") -}}
{{- end -}}
{{- range $key := list "job" "claim" "devices" -}}
{{- with get $ $key -}}
{{- $_ := set $parts $key .spec -}}
{{- end -}}
{{- end -}}
{{- $parts | toJson -}}
{{- end -}}

{{- /*
"true" where one of the release's last installations or upgrades went well, so that the run was once started; and where Helm keeps
its records elsewhere than in Secrets, so that nobody can tell.
Usage: {{ if include "train.unchanged.started" . }}
*/ -}}
{{- define "train.unchanged.started" -}}
{{- $statuses := list -}}
{{- range $revision := untilStep (max 1 (sub .Release.Revision 10) | int) .Release.Revision 1 -}}
{{- $record := lookup "v1" "Secret" $.Release.Namespace (printf "sh.helm.release.v1.%s.v%d" $.Release.Name $revision) -}}
{{- with dig "metadata" "labels" "status" "" $record -}}
{{- $statuses = append $statuses . -}}
{{- end -}}
{{- end -}}
{{- if ne ($statuses | uniq | join "") "failed" -}}true{{- end -}}
{{- end -}}

{{- /*
What differs between two states of a run's parts, in lines for people, as JSON: each with the key, the old and the new value. Parts
that one of them has not are not compared; at most ten lines, and one that counts the rest.
Usage: {{ include "train.unchanged.lines" (dict "old" PARTS "new" PARTS) | fromJsonArray }}
*/ -}}
{{- define "train.unchanged.lines" -}}
{{- $named := dict -}}
{{- $others := dict -}}
{{- range $part := list "job" "settings" "claim" "devices" -}}
{{- if and (hasKey $.old $part) (hasKey $.new $part) -}}
{{- $before := dict -}}
{{- $after := dict -}}
{{- include "train.flat" (dict "value" (get $.old $part) "path" $part "into" $before) -}}
{{- include "train.flat" (dict "value" (get $.new $part) "path" $part "into" $after) -}}
{{- range $path := concat (keys $before) (keys $after) | uniq | sortAlpha -}}
{{- if include "train.unchanged.differs" (dict "path" $path "before" $before "after" $after) -}}
{{- $name := include "train.unchanged.name" $path | fromJson -}}
{{- $line := printf "%s: %s -> %s" $name.key (include "train.unchanged.shown" (dict "from" $before "path" $path "name" $name)) (include "train.unchanged.shown" (dict "from" $after "path" $path "name" $name)) -}}
{{- $into := ternary $others $named (not (empty $name.echo)) -}}
{{- if not (hasKey $into $name.key) -}}
{{- $_ := set $into $name.key $line -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- /* What only follows from another value is shown where it stands alone. */ -}}
{{- $lines := values (ternary $named $others (not (empty $named))) | sortAlpha -}}
{{- $more := sub (len $lines) 10 -}}
{{- if gt $more 0 -}}
{{- $lines = append (slice $lines 0 10) (printf "and %d more" $more) -}}
{{- end -}}
{{- if and .old.programs .new.programs -}}
{{- $files := list -}}
{{- range $file := concat (keys .old.programs) (keys .new.programs) | uniq | sortAlpha -}}
{{- if ne (get $.old.programs $file | trim) (get $.new.programs $file | trim) -}}
{{- $files = append $files $file -}}
{{- end -}}
{{- end -}}
{{- with $files -}}
{{- $lines = append $lines (printf "the chart's programs: %d file(s), such as %s" (len .) (first .)) -}}
{{- end -}}
{{- end -}}
{{- $lines | toJson -}}
{{- end -}}

{{- /*
Whether two flat states differ at a path: "true" or nothing. What the cluster has and the chart does not is a difference where only
a value can have brought it there; anywhere else the API server or Volcano may have filled it in.
*/ -}}
{{- define "train.unchanged.differs" -}}
{{- if not (hasKey .after .path) -}}
{{- if regexMatch "^settings\\.|^job\\.(priorityClassName|ttlSecondsAfterFinished)$|\\.template\\.(metadata\\.annotations|spec\\.(nodeSelector|tolerations|affinity|imagePullSecrets|runtimeClassName|resourceClaims|volumes|containers\\.train\\.(env|resources|volumeMounts)))\\b" .path -}}true{{- end -}}
{{- else if not (hasKey .before .path) -}}true
{{- else if ne (get .before .path | toJson) (get .after .path | toJson) -}}
{{- if not (and (eq .path "claim.resources.requests.storage") (eq (get .before .path | include "train.thousandths") (get .after .path | include "train.thousandths"))) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
How a path is named for people, as JSON: `key`, the value's own where one stands behind it; `less`, what the chart adds to the
number; `unit`; `words`, for what is no value as it stands; `echo`, where the difference follows from that of another value.
Usage: {{ include "train.unchanged.name" "job.queue" | fromJson }}
*/ -}}
{{- define "train.unchanged.name" -}}
{{- $path := . -}}
{{- $found := dict -}}
{{- $pod := "job\\.tasks\\.train\\.template\\.spec\\." -}}
{{- range $name := list
  (dict "path" "job\\.(tasks\\.train\\.)?(minAvailable|replicas)|settings\\.topology\\.replicas" "key" "replicas")
  (dict "path" "job\\.(tasks\\.train\\.)?maxRetry" "key" "retries" "less" 1)
  (dict "path" "job\\.ttlSecondsAfterFinished" "key" "ttlAfterFinished" "unit" "s")
  (dict "path" (print $pod "activeDeadlineSeconds") "key" "timeLimit" "unit" "s" "less" 300)
  (dict "path" "settings\\.run\\.timeLimitSeconds" "key" "timeLimit" "unit" "s")
  (dict "path" "settings\\.publish\\.patienceSeconds" "key" "publish.patience" "unit" "s")
  (dict "path" (print $pod "serviceAccountName") "key" "serviceAccount.name")
  (dict "path" "claim\\.resources\\.requests\\.storage" "key" "workspace.size")
  (dict "path" (print $pod "volumes\\.workspace\\.emptyDir\\.sizeLimit|settings\\.workspace\\.sizeBytes") "key" "workspace.size" "echo" true)
  (dict "path" "claim\\.accessModes" "key" "workspace.accessMode")
  (dict "path" (print $pod "volumes\\.shm\\.emptyDir\\.sizeLimit|settings\\.sharedMemoryBytes") "key" "sharedMemory")
  (dict "path" (print $pod "volumes\\.ca\\.configMap\\.name") "key" "git.caBundle.configMapName")
  (dict "path" (print $pod "volumes\\.ca\\.configMap\\.items") "key" "git.caBundle.key" "echo" true)
  (dict "path" (print $pod "volumes\\.([a-z0-9]+)\\.persistentVolumeClaim\\.claimName") "key" "${1}.claimName")
  (dict "path" (print $pod "volumes\\.([a-z0-9]+)\\.secret\\.secretName") "key" "${1}.secretName")
  (dict "path" (print $pod "containers\\.train\\.volumeMounts\\.(model|dataset)\\.subPath") "key" "${1}.subPath")
  (dict "path" (print $pod "(volumes|containers\\.train\\.(volumeMounts|command|readinessProbe)|terminationGracePeriodSeconds)\\b.*|job\\.(policies|plugins|tasks\\.guard|tasks\\.train\\.policies)\\b.*") "echo" true)
  (dict "path" (print $pod "(?:containers\\.train\\.)?(.+)") "key" "${1}")
  (dict "path" "job\\.tasks\\.train\\.template\\.metadata\\.(.+)|job\\.(.+)" "key" "${1}${2}")
  (dict "path" "settings\\.family\\.name" "key" "family")
  (dict "path" "settings\\.workspace\\.shared" "key" "workspace.type" "words" (dict "false" "emptyDir" "true" "a claim"))
  (dict "path" "settings\\.sources\\.([a-z]+)\\.claim" "key" "${1}.claimName")
  (dict "path" "settings\\.(sources\\.model\\.path|sources\\.[a-z]+\\.(mount|credentials)|workspace\\.path|git\\.(credentials\\..+|caBundle)|cache\\.path|mlflow\\.credentials|accelerator\\.backend|(family|topology)\\..+|version)" "echo" true)
  (dict "path" "settings\\.(?:sources\\.)?(.+)" "key" "${1}")
  (dict "path" "claim\\.(.+)" "key" "workspace.${1}")
-}}
{{- $whole := printf "^(?:%s)$" $name.path -}}
{{- if and (not $found) (regexMatch $whole $path) -}}
{{- $found = set (omit $name "path") "key" (regexReplaceAll $whole $path ($name.key | default "${0}")) -}}
{{- end -}}
{{- end -}}
{{- $found | default (dict "key" $path "echo" true) | toJson -}}
{{- end -}}

{{- /* A value as a line shows it, on one line and not too long. */ -}}
{{- define "train.unchanged.shown" -}}
{{- if hasKey .from .path -}}
{{- $value := get .from .path -}}
{{- if .name.less -}}
{{- $value = sub (int64 $value) (int64 .name.less) -}}
{{- end -}}
{{- $text := kindIs "string" $value | ternary (toString $value) (toJson $value) -}}
{{- $text = get (.name.words | default dict) $text | default $text -}}
{{- /* An older chart may have let a token in a URL pass. */ -}}
{{- if hasPrefix "http" $text -}}
{{- $text = include "train.shown" $text -}}
{{- end -}}
{{- print (or $text `""`) (.name.unit | default "") | replace "\n" " " | trunc 100 -}}
{{- else -}}
(not set)
{{- end -}}
{{- end -}}

{{- /*
A tree as one map, path -> value. Lists of things with names are maps by those; any other list is one value. Empty maps and lists
are nothing, as they are for the API server. Fills `into`, returns nothing.
Usage: {{ include "train.flat" (dict "value" TREE "path" "job" "into" $map) }}
*/ -}}
{{- define "train.flat" -}}
{{- $named := kindIs "slice" .value -}}
{{- if $named -}}
{{- range .value -}}
{{- if or (not (kindIs "map" .)) (not (hasKey . "name")) -}}
{{- $named = false -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if kindIs "map" .value -}}
{{- range $key, $inner := .value -}}
{{- include "train.flat" (dict "value" $inner "path" (print $.path "." $key) "into" $.into) -}}
{{- end -}}
{{- else if $named -}}
{{- range .value -}}
{{- include "train.flat" (dict "value" (omit . "name" | default .name) "path" (print $.path "." .name) "into" $.into) -}}
{{- end -}}
{{- else if not (or (kindIs "invalid" .value) (and (kindIs "slice" .value) (empty .value))) -}}
{{- $_ := set .into .path .value -}}
{{- end -}}
{{- end -}}
