{{- /*
Effective values: what the user wrote, over the family's defaults, over the chart's.

Conventions of all helpers: they take the root context (or a dict, where their usage says so) and return text; helpers that
return data return JSON, to be read with fromJson. Numbers that come back from JSON are floats: print them through `int`.
*/ -}}

{{- /*
The names of families (the folders of a pattern that ends in family.yaml) or of profiles (the files of any other pattern),
comma separated: what a user may choose from.
Usage: {{ include "train.known" (dict "root" . "pattern" PATTERN) }}
*/ -}}
{{- define "train.known" -}}
{{- $names := list -}}
{{- range $path, $_ := .root.Files.Glob .pattern -}}
{{- $names = append $names (ternary (base (dir $path)) (trimSuffix ".yaml" (base $path)) (eq (base $path) "family.yaml")) -}}
{{- end -}}
{{- $names | sortAlpha | join ", " -}}
{{- end -}}

{{- /*
The chosen family's data, as JSON. Nothing else can be said of a run without it, so an unknown name fails at once.
Usage: {{ $family := include "train.family" . | fromJson }}
*/ -}}
{{- define "train.family" -}}
{{- $known := include "train.known" (dict "root" . "pattern" "files/families/*/family.yaml") -}}
{{- if not .Values.family -}}
{{- fail (printf "trainchart: family is not set; choose one of: %s" $known) -}}
{{- end -}}
{{- $text := .Files.Get (printf "files/families/%s/family.yaml" .Values.family) -}}
{{- if not $text -}}
{{- fail (printf "trainchart: family: there is no family %q; choose one of: %s" .Values.family $known) -}}
{{- end -}}
{{- $text | fromYaml | toJson -}}
{{- end -}}

{{- /*
The chosen accelerator profile's data, as JSON.
Usage: {{ $profile := include "train.profile" . | fromJson }}
*/ -}}
{{- define "train.profile" -}}
{{- $name := .Values.accelerator.profile | default "cpu" -}}
{{- $text := .Files.Get (printf "files/accelerators/%s.yaml" $name) -}}
{{- if not $text -}}
{{- $known := include "train.known" (dict "root" . "pattern" "files/accelerators/*.yaml") -}}
{{- fail (printf "trainchart: accelerator.profile: there is no profile %q; choose one of: %s" $name $known) -}}
{{- end -}}
{{- merge (dict "name" $name) ($text | fromYaml) | toJson -}}
{{- end -}}

{{- /*
A map without its empty (null or "") entries, at every depth, as JSON: empty means not configured.
Usage: {{ include "train.configured" .Values }}
*/ -}}
{{- define "train.configured" -}}
{{- $kept := dict -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}
{{- $_ := set $kept $key (include "train.configured" $value | fromJson) -}}
{{- else if not (or (kindIs "invalid" $value) (eq (toString $value) "")) -}}
{{- $_ := set $kept $key $value -}}
{{- end -}}
{{- end -}}
{{- $kept | toJson -}}
{{- end -}}

{{- /*
The effective values, as JSON. Keys that nobody configured are there, and empty.
Usage: {{ $values := include "train.values" . | fromJson }}
*/ -}}
{{- define "train.values" -}}
{{- $family := include "train.family" . | fromJson -}}
{{- $configured := include "train.configured" .Values | fromJson -}}
{{- mergeOverwrite (deepCopy .Values) (deepCopy $family.defaults) $configured | toJson -}}
{{- end -}}

{{- /*
A Kubernetes quantity in its base unit (bytes, for memory), rounded down.
Usage: {{ include "train.quantity" "1.5Gi" }} -> 1610612736
*/ -}}
{{- define "train.quantity" -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- if or (not $number) (not (hasKey $units $unit)) -}}
{{- fail (printf "trainchart: %q is not a quantity such as 500m, 512Mi or 20Gi" $text) -}}
{{- end -}}
{{- mulf $number (get $units $unit) | floor | int64 -}}
{{- end -}}

{{- /*
A duration in seconds.
Usage: {{ include "train.seconds" "90m" }} -> 5400
*/ -}}
{{- define "train.seconds" -}}
{{- $units := dict "s" 1 "m" 60 "h" 3600 "d" 86400 -}}
{{- mul (regexFind "^[0-9]+" .) (get $units (regexFind "[smhd]$" .)) -}}
{{- end -}}
