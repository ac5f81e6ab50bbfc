{{- /* The API server's conditions on tolerations, affinity and egress, beyond the shape of each field. */ -}}
{{- define "train.rules.placement" -}}
{{- $found := dict "violations" list -}}
{{- range $number, $toleration := .Run.values.tolerations -}}
{{- $path := printf "tolerations[%d]" $number -}}
{{- $operator := $toleration.operator | default "Equal" -}}
{{- if and (not $toleration.key) (ne $operator "Exists") -}}
{{- $_ := set $found "violations" (append $found.violations (printf "%s.operator: is %s, which needs a key; set operator: Exists for all taints, or set a key" $path $operator)) -}}
{{- end -}}
{{- if and $toleration.value (eq $operator "Exists") -}}
{{- $_ := set $found "violations" (append $found.violations (printf "%s.value: is %q, but operator Exists takes none; remove it, or set operator: Equal" $path $toleration.value)) -}}
{{- end -}}
{{- if and (hasKey $toleration "tolerationSeconds") (ne $toleration.effect "NoExecute") -}}
{{- $_ := set $found "violations" (append $found.violations (printf "%s.tolerationSeconds: is %v, but only effect NoExecute evicts pods; set that effect, or remove it" $path $toleration.tolerationSeconds)) -}}
{{- end -}}
{{- end -}}
{{- $spread := list -}}
{{- range $number, $constraint := .Run.values.topologySpread -}}
{{- $when := $constraint.whenUnsatisfiable | default "DoNotSchedule" -}}
{{- $pair := list $constraint.topologyKey $when -}}
{{- if has $pair $spread -}}
{{- $_ := set $found "violations" (append $found.violations (printf "topologySpread[%d]: repeats topologyKey %s with whenUnsatisfiable %s; remove one of them" $number $constraint.topologyKey $when)) -}}
{{- end -}}
{{- $spread = append $spread $pair -}}
{{- if and (hasKey $constraint "minDomains") (ne $when "DoNotSchedule") -}}
{{- $_ := set $found "violations" (append $found.violations (printf "topologySpread[%d].minDomains: is %d, but whenUnsatisfiable %s does not use it; remove it, or set whenUnsatisfiable: DoNotSchedule" $number (int $constraint.minDomains) $when)) -}}
{{- end -}}
{{- end -}}
{{- $network := .Run.values.networkTopology -}}
{{- $tiers := pick $network "highestTierAllowed" "highestTierName" | keys | sortAlpha -}}
{{- if eq (len $tiers) 2 -}}
{{- $_ := set $found "violations" (append $found.violations (printf "networkTopology.highestTierName: is %q, but highestTierAllowed is %d, and Volcano takes one of them; remove one" $network.highestTierName (int $network.highestTierAllowed))) -}}
{{- else if and (eq ($network.mode | default "") "hard") (not $tiers) -}}
{{- $_ := set $found "violations" (append $found.violations "networkTopology.mode: is hard, which needs a tier; set networkTopology.highestTierAllowed, such as 1, or highestTierName") -}}
{{- else if and $tiers (ne ($network.mode | default "") "hard") -}}
{{- $_ := set $found "violations" (append $found.violations (printf "networkTopology.%s: is only for networkTopology.mode hard; set that mode, or remove it" (first $tiers))) -}}
{{- end -}}
{{- include "train.rules.placement.in" (dict "value" .Run.values.affinity "path" "affinity" "found" $found) -}}
{{- include "train.rules.placement.in" (dict "value" .Run.values.networkPolicy.egress "path" "networkPolicy.egress" "found" $found) -}}
{{- $found.violations | toJson -}}
{{- end -}}

{{- /*
Checks one value and everything in it. Adds to found.violations, returns nothing.
Usage: {{ include "train.rules.placement.in" (dict "value" VALUE "path" "affinity" "found" (dict "violations" list)) }}
*/ -}}
{{- define "train.rules.placement.in" -}}
{{- $value := .value -}}
{{- $violations := list -}}
{{- if kindIs "map" $value -}}
{{- $several := len ($value.values | default list) -}}
{{- if and (has $value.operator (list "In" "NotIn")) (eq $several 0) -}}
{{- $violations = append $violations (printf "%s.values: is empty, but operator %s needs at least one; add it" .path $value.operator) -}}
{{- else if and (has $value.operator (list "Exists" "DoesNotExist")) (gt $several 0) -}}
{{- $violations = append $violations (printf "%s.values: has %d, but operator %s takes none; remove it" .path $several $value.operator) -}}
{{- else if and (has $value.operator (list "Gt" "Lt")) (not (regexMatch "^[0-9]+$" (join "," $value.values))) -}}
{{- $violations = append $violations (printf "%s.values: is [%s], but operator %s needs one integer, as a string; write it like '8'" .path (join ", " $value.values) $value.operator) -}}
{{- end -}}
{{- if and $value.ipBlock (gt (len $value) 1) -}}
{{- $violations = append $violations (printf "%s.ipBlock: is combined with a selector of pods or namespaces, but a peer is one or the other; make two of them" .path) -}}
{{- end -}}
{{- if and $value.endPort (or (not $value.port) (kindIs "string" $value.port) (gt (int (kindIs "string" $value.port | ternary 0 $value.port)) (int $value.endPort))) -}}
{{- $violations = append $violations (printf "%s.endPort: is %d, but port must be a number that is not greater; correct port, or remove endPort" .path (int $value.endPort)) -}}
{{- end -}}
{{- if and (or $value.matchLabelKeys $value.mismatchLabelKeys) (not (kindIs "map" $value.labelSelector)) -}}
{{- $violations = append $violations (printf "%s.labelSelector: is missing, but matchLabelKeys and mismatchLabelKeys extend it; add it" .path) -}}
{{- end -}}
{{- range $key := $value.matchLabelKeys -}}
{{- if has $key ($value.mismatchLabelKeys | default list) -}}
{{- $violations = append $violations (printf "%s.mismatchLabelKeys: has %s, like matchLabelKeys, but a label cannot both match and not match; remove it from one of them" $.path $key) -}}
{{- end -}}
{{- end -}}
{{- $cidr := $value.cidr | default "" -}}
{{- range $key, $except := $value.except -}}
{{- $inside := and (eq (contains ":" $except) (contains ":" $cidr)) (gt (base $except | int) (base $cidr | int)) -}}
{{- if not (and $inside (hasPrefix (trunc (base $cidr | int) (include "train.bits" (dir $cidr))) (include "train.bits" (dir $except)))) -}}
{{- $violations = append $violations (printf "%s.except[%d]: %s is not a part of %s, from which it is excluded; correct it, or remove it" $.path $key $except $cidr) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set .found "violations" (concat .found.violations $violations) -}}
{{- if or (kindIs "map" $value) (kindIs "slice" $value) -}}
{{- /* The keys of matchLabels are arbitrary. */ -}}
{{- range $key, $below := kindIs "map" $value | ternary (omit (kindIs "map" $value | ternary $value dict) "matchLabels") $value -}}
{{- $path := kindIs "map" $value | ternary (printf "%s.%v" $.path $key) (printf "%s[%v]" $.path $key) -}}
{{- include "train.rules.placement.in" (dict "value" $below "path" $path "found" $.found) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
Returns the bits of an address: 32 or 128 digits 0 and 1.
Usage: {{ include "train.bits" "10.0.0.0" }}
*/ -}}
{{- define "train.bits" -}}
{{- if contains ":" . -}}
{{- $halves := splitList "::" (lower .) -}}
{{- $first := compact (splitList ":" (first $halves)) -}}
{{- $last := compact (splitList ":" (rest $halves | join "")) -}}
{{- range concat $first (splitList "" (repeat (int (sub 8 (add (len $first) (len $last)))) "0")) $last -}}
{{- range splitList "" (printf "%4s" . | replace " " "0") -}}
{{- $digit := . -}}
{{- range $number, $hex := splitList "" "0123456789abcdef" -}}
{{- if eq $hex $digit }}{{ printf "%04b" $number }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- range splitList "." . }}{{ printf "%08b" (int .) }}{{ end -}}
{{- end -}}
{{- end -}}
