{{- /*
A run is not changed (docs/decisions/0010-a-run-is-not-changed.md). An upgrade that would change it is refused here, before
Helm sends anything: what is in the cluster is looked up and compared with what is rendered. Where there is nothing to look
up (helm template, a dry run on the client, the first installation), nothing is compared.
*/ -}}

{{- /* Fails where the upgrade would change the run, or start it again. Usage: {{ include "train.unchanged" . }} */ -}}
{{- define "train.unchanged" -}}
{{- if .Release.IsUpgrade -}}
{{- $name := include "train.name" . -}}
{{- $uninstall := printf "helm uninstall %s -n %s" $name .Release.Namespace -}}
{{- $live := include "train.unchanged.live" . | fromJson -}}
{{- $old := include "train.unchanged.parts" $live | fromJson -}}
{{- $new := include "train.unchanged.rendered" . | fromJson -}}
{{- if and $live.run (ne (dig "run" "version" 0 $old.settings | int) (include "train.settings.version" . | int)) -}}
{{- fail (printf "\ntrainchart: run %s was installed by an older chart, and an upgrade cannot be compared with it; nothing was sent. A run is not changed: install a new release, or remove this one first: %s\n" $name $uninstall) -}}
{{- end -}}
{{- if and $live.run (not $live.job) -}}
{{- if and (or $old.settings.ttlAfterFinished .Run.values.ttlAfterFinished) (include "train.unchanged.started" .) -}}
{{- fail (printf "\ntrainchart: run %s has finished, and its Job was removed (ttlAfterFinished); nothing was sent, for an upgrade would train again. To train again, install a new release, or remove this one first: %s\n" $name $uninstall) -}}
{{- end -}}
{{- $new = omit $new "job" "scheduling" -}}
{{- end -}}
{{- $lines := include "train.unchanged.lines" (dict "old" $old "new" $new) | fromJsonArray -}}
{{- if $lines -}}
{{- $wayOut := printf "The release has no Job, and its ConfigMap cannot be changed: %s, then install it again" $uninstall -}}
{{- if $live.job -}}
{{- $wayOut = "Install a new release; this run's workspace is deleted with its pods, so it starts from scratch" -}}
{{- range $volume := (first $live.job.spec.tasks).template.spec.volumes -}}
{{- if and (eq $volume.name "workspace") (hasKey $volume "persistentVolumeClaim") -}}
{{- $wayOut = printf "Install a new release. Once this run has finished, it continues from its checkpoints, where the training is the same, with workspace.type: existingClaim, workspace.claimName: %s and workspace.directory: %s" $volume.persistentVolumeClaim.claimName (dig "settings" "workspace" "directory" $name $old) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- fail (printf "\ntrainchart: run %s is not changed by an upgrade; nothing was sent. It was started with other values or another chart:\n  - %s\n%s.\n" $name (join "\n  - " $lines) $wayOut) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
The release's own objects in the cluster, as JSON: those that exist.
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
What of objects makes a run, as JSON: settings, programs (file -> text), the values that the Job alone has (`scheduling`), and the
specs of the Job, the claim and the devices. Labels and annotations do not, nor does a NetworkPolicy.
Usage: {{ include "train.unchanged.parts" (dict "job" OBJECT "run" OBJECT ...) | fromJson }}
*/ -}}
{{- define "train.unchanged.parts" -}}
{{- $parts := dict "settings" dict -}}
{{- with .run -}}
{{- $_ := set $parts "settings" (get .data "settings.json" | default "{}" | fromJson) -}}
{{- $_ := set $parts "programs" (omit .data "settings.json") -}}
{{- end -}}
{{- with .job -}}
{{- $_ := set $parts "scheduling" (pick .spec "queue" "priorityClassName") -}}
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
What differs between two states of a run's parts, in lines for people, as JSON: each with the key of the values, the old and the new
value; where no value differs, but another chart renders something else from them, with the path in the object. Parts that one of
them has not are not compared; at most ten lines, and one that counts the rest.
Usage: {{ include "train.unchanged.lines" (dict "old" PARTS "new" PARTS) | fromJsonArray }}
*/ -}}
{{- define "train.unchanged.lines" -}}
{{- $lines := list -}}
{{- if and .old.settings .new.settings -}}
{{- $lines = include "train.unchanged.compare" (dict "old" (list (omit .old.settings "run")) "new" (list (omit .new.settings "run")) "path" "" "rendered" false) | fromJsonArray -}}
{{- end -}}
{{- if and .old.scheduling .new.scheduling -}}
{{- $lines = include "train.unchanged.compare" (dict "old" (list .old.scheduling) "new" (list .new.scheduling) "path" "" "rendered" false) | fromJsonArray | concat $lines | sortAlpha -}}
{{- end -}}
{{- if not $lines -}}
{{- range $part, $new := dict "run" .new.settings.run "job" .new.job "claim" .new.claim "devices" .new.devices -}}
{{- $old := eq $part "run" | ternary $.old.settings $.old | dig $part dict -}}
{{- if and $old $new -}}
{{- $lines = concat $lines (include "train.unchanged.compare" (dict "old" (list $old) "new" (list $new) "path" $part "rendered" true) | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{- end -}}
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
{{- $lines | default list | toJson -}}
{{- end -}}

{{- /*
A line for each value that differs, as JSON. `old` and `new` are lists of one tree, or empty where there is none. With `rendered`, only
what the chart renders counts, for the API server and Volcano fill in more; an empty map or list is nothing to them, and a quantity
of a claim is written in another form.
Usage: {{ include "train.unchanged.compare" (dict "old" (list TREE) "new" (list TREE) "path" "job" "rendered" true) | fromJsonArray }}
*/ -}}
{{- define "train.unchanged.compare" -}}
{{- $lines := list -}}
{{- $old := first .old -}}
{{- $new := first .new -}}
{{- if and (kindIs "map" $old) (kindIs "map" $new) -}}
{{- range $key := keys $new | concat (ternary list (keys $old) .rendered) | uniq | sortAlpha -}}
{{- $one := dict "old" (ternary (list (get $old $key)) list (hasKey $old $key)) "new" (ternary (list (get $new $key)) list (hasKey $new $key)) "path" (printf "%s.%s" $.path $key | trimPrefix ".") "rendered" $.rendered -}}
{{- $lines = concat $lines (include "train.unchanged.compare" $one | fromJsonArray) -}}
{{- end -}}
{{- else if and .rendered (kindIs "slice" $old) (kindIs "slice" $new) (eq (len $old) (len $new | default 0)) -}}
{{- range $index, $item := $new -}}
{{- $one := dict "old" (list (index $old $index)) "new" (list $item) "path" (printf "%s[%d]" $.path $index) "rendered" true -}}
{{- $lines = concat $lines (include "train.unchanged.compare" $one | fromJsonArray) -}}
{{- end -}}
{{- else if and .rendered (has (toJson $new) (list "{}" "[]" "null")) -}}
{{- else if and (eq .path "claim.resources.requests.storage") $old (eq (include "train.thousandths" $old) (include "train.thousandths" $new)) -}}
{{- else if ne (toJson .old) (toJson .new) -}}
{{- $lines = append $lines (include "train.unchanged.line" .) -}}
{{- end -}}
{{- $lines | default list | toJson -}}
{{- end -}}

{{- /*
The line of a value that differs: its key, the old and the new value, of long ones the beginning. Where both look alike, as 8 and "8"
do, they are shown as JSON.
Usage: {{ include "train.unchanged.line" (dict "old" (list VALUE) "new" (list VALUE) "path" "env.A") }}
*/ -}}
{{- define "train.unchanged.line" -}}
{{- $old := include "train.unchanged.shown" (dict "value" .old) -}}
{{- $new := include "train.unchanged.shown" (dict "value" .new) -}}
{{- if eq $old $new -}}
{{- $old = include "train.unchanged.shown" (dict "value" .old "json" true) -}}
{{- $new = include "train.unchanged.shown" (dict "value" .new "json" true) -}}
{{- end -}}
{{- $cut := list -}}
{{- range list $old $new -}}
{{- $start := regexFind "^.{0,100}" . -}}
{{- $cut = append $cut (printf "%s%s" $start (ternary "" "…" (eq . $start))) -}}
{{- end -}}
{{- $note := ternary " (they differ after that)" "" (eq (first $cut) (last $cut)) -}}
{{- printf "%s: %s%s" (include "train.printable" .path) (join " → " $cut) $note -}}
{{- end -}}

{{- /*
A value on one line: a text as it is, all else as JSON. A URL in it, which may hold a token, is without its user and its query.
Usage: {{ include "train.unchanged.shown" (dict "value" (list VALUE) "json" true) }}
*/ -}}
{{- define "train.unchanged.shown" -}}
{{- if .value -}}
{{- $json := first .value | toJson -}}
{{- $json = regexReplaceAll `(?i)([a-z][a-z0-9+.-]*:/+)(\\.|[^"\\])*(@|%40)` $json "${1}***@" -}}
{{- $json = regexReplaceAll `(:/+(?:\\.|[^"\\?#])*)[?#](\\.|[^"\\])*` $json "${1}?***" -}}
{{- if and (first .value | kindIs "string") (first .value) (not .json) -}}
{{- mustFromJson $json | include "train.printable" -}}
{{- else -}}
{{- include "train.printable" $json -}}
{{- end -}}
{{- else -}}
(not set)
{{- end -}}
{{- end -}}
