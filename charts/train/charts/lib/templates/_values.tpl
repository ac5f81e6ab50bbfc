{{- /*
Effective values: the user's values over the family's defaults over the chart's. A null removes a default from .Values, even a
section, so templates read the effective values, not .Values.

Conventions of all helpers: they take the root context (or a dict, if their usage says so) and return text; helpers that return data
return JSON, to be read with fromJson. Numbers from JSON are floats: print them with `int`.
*/ -}}

{{- /*
Every template begins with it. It computes, once per render, what all templates read, and stores it beside .Values and .Release:
  .Run.values   the effective values; every section exists, keys that are not configured are missing
  .Run.family   the chosen family's data
  .Run.profile  the chosen accelerator profile's data
  .Run.pod      what the chart and the runner agree upon: mounts, the port of the rendezvous, folders (files/pod.json)
  .Run.sections the maps with fixed keys, see train.prune
  .Run.files    files of the chart, by their paths below /trainchart in the pod
Usage: {{ include "train.load" . }}
*/ -}}
{{- define "train.load" -}}
{{- if not (hasKey . "Run") -}}
{{- $run := dict -}}
{{- $_ := set . "Run" $run -}}
{{- $_ := set $run "sections" (.Subcharts.lib.Files.Get "files/sections.yaml" | fromYaml) -}}
{{- $_ := set $run "pod" (.Subcharts.lib.Files.Get "files/pod.json" | fromJson) -}}
{{- $_ := set $run "family" (include "train.family" . | fromYaml) -}}
{{- $_ := set $run "profile" (include "train.profile" . | fromYaml) -}}
{{- $configured := deepCopy .Values -}}
{{- include "train.prune" (dict "map" $configured "sections" $run.sections) -}}
{{- $_ := set $run "values" (mergeOverwrite (.Subcharts.lib.Files.Get "files/defaults.yaml" | fromYaml) (deepCopy $run.family.defaults) $configured) -}}
{{- $_ := set $run "files" (include "train.files" . | fromJson) -}}
{{- end -}}
{{- end -}}

{{- /*
Returns the names of the run's sources (model, dataset), as JSON: those that are configured for their type.
Usage: {{ include "train.sources" . | fromJsonArray }}
*/ -}}
{{- define "train.sources" -}}
{{- $names := list -}}
{{- range $name := list "model" "dataset" -}}
{{- $source := get $.Run.values $name -}}
{{- if get $source (get (dict "git" "repository" "claim" "claimName" "s3" "bucket") $source.type) -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end -}}

{{- /*
Returns the sections of the values whose data is in an object store, as JSON: sources, and publish.
Usage: {{ include "train.stores" . | fromJsonArray }}
*/ -}}
{{- define "train.stores" -}}
{{- $names := list -}}
{{- range $name := append (include "train.sources" . | fromJsonArray) "publish" -}}
{{- if eq (get $.Run.values $name).type "s3" -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end -}}

{{- /*
Returns the names of families (folders, for a pattern that ends in family.yaml) or profiles (files, for other patterns), comma separated.
Usage: {{ include "train.known" (dict "root" . "pattern" PATTERN) }}
*/ -}}
{{- define "train.known" -}}
{{- $names := list -}}
{{- range $path, $_ := .root.Subcharts.lib.Files.Glob .pattern -}}
{{- $names = append $names (ternary (base (dir $path)) (trimSuffix ".yaml" (base $path)) (eq (base $path) "family.yaml")) -}}
{{- end -}}
{{- $names | sortAlpha | join ", " -}}
{{- end -}}

{{- /*
Returns the chosen family's data, as YAML. Nothing else can be checked without it, so an unknown name fails immediately.
Usage: {{ include "train.family" . | fromYaml }}
*/ -}}
{{- define "train.family" -}}
{{- $text := .Subcharts.lib.Files.Get (printf "files/families/%s/family.yaml" (.Values.family | default "-")) -}}
{{- if not $text -}}
{{- $known := include "train.known" (dict "root" . "pattern" "files/families/*/family.yaml") -}}
{{- if not .Values.family -}}
{{- fail (printf "trainchart: family is not set; choose one of: %s" $known) -}}
{{- end -}}
{{- fail (printf "trainchart: family: %q does not exist; choose one of: %s" .Values.family $known) -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{- /*
Returns the chosen accelerator profile's data, as YAML. The user's profiles (accelerator.profiles) override the chart's.
Usage: {{ include "train.profile" . | fromYaml }}
*/ -}}
{{- define "train.profile" -}}
{{- $accelerator := .Values.accelerator | default dict -}}
{{- $name := $accelerator.profile | default "cpu" -}}
{{- $own := $accelerator.profiles | default dict -}}
{{- $text := .Subcharts.lib.Files.Get (printf "files/accelerators/%s.yaml" $name) -}}
{{- if get $own $name -}}
{{- $profile := deepCopy (get $own $name) -}}
{{- include "train.prune" (dict "map" $profile "sections" (index .Run.sections.accelerator.profiles "*")) -}}
{{- merge (dict "name" $name) $profile | include "train.json" -}}
{{- else if $text -}}
name: {{ quote $name }}
{{ $text }}
{{- else -}}
{{- $known := include "train.known" (dict "root" . "pattern" "files/accelerators/*.yaml") -}}
{{- fail (printf "trainchart: accelerator.profile: %q does not exist; choose one of: %s; or define it in accelerator.profiles" $name (join ", " (concat (keys $own | sortAlpha) (list $known)))) -}}
{{- end -}}
{{- end -}}

{{- /*
Removes empty entries (null or ""), which mean not configured, from a map with fixed keys, and from the maps in it that `sections`
lists ("*": with any name). All other maps are the user's, and do not change. Modifies the map, returns nothing.
Usage: {{ include "train.prune" (dict "map" $map "sections" .Run.sections) }}
*/ -}}
{{- define "train.prune" -}}
{{- range $key, $value := .map -}}
{{- if or (kindIs "invalid" $value) (and (kindIs "string" $value) (not $value)) -}}
{{- $_ := unset $.map $key -}}
{{- else if kindIs "map" $value -}}
{{- $name := ternary $key "*" (hasKey $.sections $key) -}}
{{- if hasKey $.sections $name -}}
{{- include "train.prune" (dict "map" $value "sections" (get $.sections $name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
Returns a Kubernetes quantity as text: Go would print a large number as 2e+10.
Usage: {{ include "train.amount" .Run.values.sharedMemory | quote }}
*/ -}}
{{- define "train.amount" -}}{{ kindIs "string" . | ternary (toString .) (toJson .) }}{{- end -}}

{{- /*
Returns a Kubernetes quantity in thousandths of its base unit (bytes, cores), to compare quantities including those with "m".
Usage: {{ include "train.thousandths" "500m" }} -> 500
*/ -}}
{{- define "train.thousandths" -}}
{{- $units := dict "m" 1 "" 1e3 "k" 1e6 "M" 1e9 "G" 1e12 "T" 1e15 "P" 1e18 "Ki" 1024e3 "Mi" 1048576e3 "Gi" 1073741824e3 "Ti" 1099511627776e3 "Pi" 1125899906842624e3 -}}
{{- $text := include "train.amount" . -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- if or (not $number) (not (hasKey $units $unit)) -}}
{{- fail (printf "trainchart: %q is not a quantity such as 500m, 512Mi or 20Gi" $text) -}}
{{- end -}}
{{- mulf $number (get $units $unit) | printf "%.0f" -}}
{{- end -}}

{{- /*
Returns a Kubernetes quantity in its base unit (such as bytes), rounded down.
Usage: {{ include "train.quantity" "1.5Gi" }} -> 1610612736
*/ -}}
{{- define "train.quantity" -}}
{{- /* Like Kubernetes, limits larger quantities to the maximum. */ -}}
{{- minf (divf (include "train.thousandths" .) 1000 | floor) 9223372036854774784.0 | int64 -}}
{{- end -}}

{{- /*
Returns a duration in seconds.
Usage: {{ include "train.seconds" "90m" }} -> 5400
*/ -}}
{{- define "train.seconds" -}}
{{- $units := dict "s" 1 "m" 60 "h" 3600 "d" 86400 -}}
{{- mul (regexFind "^[0-9]+" .) (get $units (regexFind "[smhd]$" .)) -}}
{{- end -}}
