{{- /*
Returns warnings about settings that have no effect beside the others, as a JSON list of lines with keys. Only what differs from its
default was set.
Usage: {{ range include "train.unused" . | fromJsonArray }}
*/ -}}
{{- define "train.unused" -}}
{{- $values := .Run.values -}}
{{- $defaults := .Subcharts.lib.Files.Get "files/defaults.yaml" | fromYaml -}}
{{- $type := $values.workspace.type -}}
{{- $groups := list -}}
{{- if ne $type "newClaim" -}}
{{- $groups = append $groups (list "workspace" (eq $type "ephemeral" | ternary (list "keep") (list "keep" "storageClassName")) (printf "workspace.type %s makes no claim; leave it out, or set workspace.type: newClaim" $type)) -}}
{{- end -}}
{{- if include "train.workspace.temporary" . -}}
{{- $groups = append $groups (list "workspace" (list "accessMode") (printf "workspace.type %s is of one pod; leave it out, or set workspace.type: newClaim" $type)) -}}
{{- end -}}
{{- if not $values.mlflow.trackingUri -}}
{{- $groups = append $groups (list "mlflow" (list "allowPlainHttp" "experiment" "passwordKey" "secretName" "tokenKey" "userKey") "without mlflow.trackingUri nothing is tracked; set it, or leave this out") -}}
{{- else if not $values.mlflow.secretName -}}
{{- $groups = append $groups (list "mlflow" (list "passwordKey" "tokenKey" "userKey") "it is a key of the Secret mlflow.secretName, which is empty; set it, or leave this out") -}}
{{- end -}}
{{- if not $values.tune.trials -}}
{{- $groups = append $groups (list "tune" (list "failureLimit" "goal" "gracePeriod" "metric" "seed" "space") "without tune.trials there is no search; set it, such as 20, or leave this out") -}}
{{- end -}}
{{- with include "train.accelerator.scheduler" . -}}
{{- $groups = append $groups (list "networkTopology" (list "mode" "highestTierAllowed" "highestTierName") (printf "%s places the pod, and not Volcano; leave it out" .)) -}}
{{- end -}}
{{- if not $values.serviceAccount.name -}}
{{- $groups = append $groups (list "serviceAccount" (list "automount") "the service account that the run brings has no rights; set serviceAccount.name, or leave this out") -}}
{{- end -}}
{{- if eq $values.publish.type "none" -}}
{{- $groups = append $groups (list "publish" (list "branch" "patience" "secretName") "publish.type none publishes nothing; leave it out, or set publish.type: git or s3") -}}
{{- end -}}
{{- if not $values.caBundle.configMapName -}}
{{- $groups = append $groups (list "caBundle" (list "key") "caBundle.configMapName is empty; set it, or leave this out") -}}
{{- end -}}
{{- $named := list $values.git.secretName -}}
{{- range $place := list $values.model $values.dataset $values.publish -}}
{{- $named = append $named (ternary (or $place.secretName ($place.lfs).secretName) "" (eq $place.type "git")) -}}
{{- end -}}
{{- if not (compact $named) -}}
{{- $groups = append $groups (list "git" (list "tokenKey" "userKey") "no Secret is named; set git.secretName, or leave this out") -}}
{{- end -}}
{{- if not (include "train.ssh" .) -}}
{{- $groups = append $groups (list "git" (list "knownHostsKey" "privateKeyKey") "no repository is reached over SSH; write one as ssh://git@git.example.com/team/model.git, or leave this out") -}}
{{- end -}}
{{- range $section := list "model" "dataset" "publish" -}}
{{- $source := get $values $section -}}
{{- if or (ne $source.type "git") (not $source.repository) -}}
{{- $groups = append $groups (list $section (list "submodules" "lfs") (printf "%s is no git repository; leave it out" $section)) -}}
{{- end -}}
{{- if ne $source.type "s3" -}}
{{- $groups = append $groups (list $section (list "accessKeyKey" "addressing" "region" "secretKeyKey" "sessionTokenKey" "workloadIdentity") (printf "%s.type %s does not use it; leave it out, or set %s.type: s3" $section $source.type $section)) -}}
{{- else if not $source.secretName -}}
{{- $groups = append $groups (list $section (list "accessKeyKey" "secretKeyKey" "sessionTokenKey") (printf "it is a key of the Secret %s.secretName, which is empty; set it, or leave this out" $section)) -}}
{{- end -}}
{{- end -}}
{{- if not (or $values.model.cached $values.dataset.cached) -}}
{{- $groups = append $groups (list "cache" (list "claimName") "no source is kept in it; set model.cached or dataset.cached to true, or leave this out") -}}
{{- end -}}
{{- $warnings := list -}}
{{- range $group := $groups -}}
{{- $set := $values -}}
{{- $usual := $defaults -}}
{{- range splitList "." (index $group 0) -}}
{{- $set = get $set . -}}
{{- $usual = get $usual . -}}
{{- end -}}
{{- range $key := index $group 1 -}}
{{- $value := get $set $key -}}
{{- if not (or (empty $value) (eq (toJson $value) (get $usual $key | toJson))) -}}
{{- $shown := "is set" -}}
{{- if not (kindIs "map" $value) -}}
{{- $shown = printf "is %v" $value -}}
{{- end -}}
{{- $warnings = append $warnings (printf "%s.%s: %s, but has no effect: %s" (index $group 0) $key $shown (index $group 2)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $index, $volume := $values.volumes -}}
{{- if and (or $volume.configMapName $volume.secretName) (eq (get $volume "readOnly" | toString) "false") -}}
{{- $warnings = append $warnings (printf "volumes[%d].readOnly: is false, but has no effect: a ConfigMap or Secret is always mounted read-only; leave this out" $index) -}}
{{- end -}}
{{- end -}}
{{- $warnings | toJson -}}
{{- end -}}

{{- /*
Returns warnings about amounts and numbers that probably stand for something else, as a JSON list of lines with keys: bytes where gigabytes
are meant, millicores as cores, devices that the pod does not have.
Usage: {{ range include "train.unlikely" . | fromJsonArray }}
*/ -}}
{{- define "train.unlikely" -}}
{{- $values := .Run.values -}}
{{- $warnings := list -}}
{{- $sizes := dict "resources.requests.memory" $values.resources.requests.memory "sharedMemory" $values.sharedMemory "workspace.size" (ternary nil $values.workspace.size (eq $values.workspace.type "existingClaim")) -}}
{{- range $key, $size := $sizes -}}
{{- if and $size (include "train.bytes.meant" $size) -}}
{{- $warnings = append $warnings (printf "%s: is %v, which is %s; write %s" $key $size (include "train.bytes.are" $size) (include "train.bytes.meant" $size)) -}}
{{- end -}}
{{- end -}}
{{- range $section := list "requests" "limits" -}}
{{- $cpu := (get $values.resources $section).cpu -}}
{{- if and $cpu (gt (include "train.quantity" $cpu | int64) (int64 1024)) -}}
{{- $number := include "train.amount" $cpu | regexFind "^[0-9]+" -}}
{{- $warnings = append $warnings (printf "resources.%s.cpu: is %v, which is %d cores; write %s" $section $cpu (include "train.quantity" $cpu | int64) (ternary (printf "%q for cores" $number) (printf "%sm for thousandths of a core" $number) (regexMatch "[a-zA-Z]" (include "train.amount" $cpu)))) -}}
{{- end -}}
{{- end -}}
{{- $device := ternary "" (toString $values.train.device) (kindIs "invalid" $values.train.device) -}}
{{- $count := int ($values.accelerator.count | default 0) -}}
{{- if and (eq .Run.profile.backend "cpu") (regexMatch "[0-9]" $device) -}}
{{- $warnings = append $warnings (printf "train.device: is %q, but profile %s has no devices; leave it empty, or choose a profile with devices" $device .Run.profile.name) -}}
{{- else if and (ne .Run.profile.backend "cpu") (eq $device "cpu") -}}
{{- $warnings = append $warnings (printf "train.device: is cpu, but profile %s requests devices, which nothing would use; leave it empty, or set accelerator.profile: cpu" .Run.profile.name) -}}
{{- else if ne .Run.profile.backend "cpu" -}}
{{- $numbers := regexFindAll "[0-9]+" $device -1 -}}
{{- $isMissing := false -}}
{{- range $numbers -}}
{{- $isMissing = or $isMissing (ge (int .) $count) -}}
{{- end -}}
{{- if $isMissing -}}
{{- $warnings = append $warnings (printf "train.device: is %q, but the %d device(s) of a pod are numbered from 0; leave it empty for all of them, and set their number with accelerator.count" $device $count) -}}
{{- end -}}
{{- end -}}
{{- $warnings | toJson -}}
{{- end -}}

{{- /*
Returns what a size below one mebibyte probably stands for; nothing for other sizes, and for 0.
Usage: {{ include "train.bytes.meant" "512m" }} -> 512Mi
*/ -}}
{{- define "train.bytes.meant" -}}
{{- $bytes := include "train.thousandths" . | float64 -}}
{{- if and (gt $bytes 0.0) (lt $bytes 1048576000.0) -}}
{{- $text := include "train.amount" . -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" $text -}}
{{- if and (hasSuffix "m" $text) (ge (float64 $number) 256.0) -}}
{{- $number }}Mi
{{- else if regexMatch "[a-zA-Z]" $text -}}
{{- $number }}Mi or {{ $number }}Gi
{{- else if ge (float64 $number) 256.0 -}}
{{- $number }}Mi
{{- else -}}
{{- $number }}Gi
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Returns a size in words. Usage: {{ include "train.bytes.are" "512m" }} -> less than a byte */ -}}
{{- define "train.bytes.are" -}}
{{- $bytes := include "train.quantity" . | int64 -}}
{{- if eq $bytes (int64 0) }}less than a byte{{ else if eq $bytes (int64 1) }}one byte{{ else }}{{ $bytes }} bytes{{ end -}}
{{- end -}}
