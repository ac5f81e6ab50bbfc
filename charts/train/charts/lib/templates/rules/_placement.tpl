{{- /* What the API server asks of tolerations, affinity and egress beyond the shape of each field. */ -}}
{{- define "train.rules.placement" -}}
{{- $found := dict "broken" list -}}
{{- range $number, $toleration := .Run.values.tolerations -}}
{{- $path := printf "tolerations[%d]" $number -}}
{{- $operator := $toleration.operator | default "Equal" -}}
{{- if and (not $toleration.key) (ne $operator "Exists") -}}
{{- $_ := set $found "broken" (append $found.broken (printf "%s.operator: is %s, and without a key it would be compared with nothing; set operator: Exists for all taints, or name a key" $path $operator)) -}}
{{- end -}}
{{- if and $toleration.value (eq $operator "Exists") -}}
{{- $_ := set $found "broken" (append $found.broken (printf "%s.value: is %q, and operator Exists asks for none; leave it out, or set operator: Equal" $path $toleration.value)) -}}
{{- end -}}
{{- if and (hasKey $toleration "tolerationSeconds") (ne $toleration.effect "NoExecute") -}}
{{- $_ := set $found "broken" (append $found.broken (printf "%s.tolerationSeconds: is %v, and only pods with effect NoExecute are evicted; set that effect, or leave it out" $path $toleration.tolerationSeconds)) -}}
{{- end -}}
{{- end -}}
{{- include "train.rules.placement.in" (dict "value" .Run.values.affinity "path" "affinity" "found" $found) -}}
{{- include "train.rules.placement.in" (dict "value" .Run.values.networkPolicy.egress "path" "networkPolicy.egress" "found" $found) -}}
{{- $found.broken | toJson -}}
{{- end -}}

{{- /*
The same for one value and all below it; adds to found.broken, returns nothing.
Usage: {{ include "train.rules.placement.in" (dict "value" VALUE "path" "affinity" "found" (dict "broken" list)) }}
*/ -}}
{{- define "train.rules.placement.in" -}}
{{- $value := .value -}}
{{- $broken := list -}}
{{- if kindIs "map" $value -}}
{{- $several := len ($value.values | default list) -}}
{{- if and (has $value.operator (list "In" "NotIn")) (eq $several 0) -}}
{{- $broken = append $broken (printf "%s.values: is empty, and operator %s needs at least one; name it" .path $value.operator) -}}
{{- else if and (has $value.operator (list "Exists" "DoesNotExist")) (gt $several 0) -}}
{{- $broken = append $broken (printf "%s.values: has %d, and operator %s takes none; leave it out" .path $several $value.operator) -}}
{{- else if and (has $value.operator (list "Gt" "Lt")) (not (regexMatch "^[0-9]+$" (join "," $value.values))) -}}
{{- $broken = append $broken (printf "%s.values: is [%s], and operator %s compares with one whole number; give it as text, such as '8'" .path (join ", " $value.values) $value.operator) -}}
{{- end -}}
{{- if and $value.ipBlock (gt (len $value) 1) -}}
{{- $broken = append $broken (printf "%s.ipBlock: is beside a selector of pods or namespaces, and a target is one or the other; make two of them" .path) -}}
{{- end -}}
{{- if and $value.endPort (or (not $value.port) (kindIs "string" $value.port) (gt (int (kindIs "string" $value.port | ternary 0 $value.port)) (int $value.endPort))) -}}
{{- $broken = append $broken (printf "%s.endPort: is %d, and a range begins with a number in port that is not greater; correct port, or leave endPort out" .path (int $value.endPort)) -}}
{{- end -}}
{{- if and (or $value.matchLabelKeys $value.mismatchLabelKeys) (not (kindIs "map" $value.labelSelector)) -}}
{{- $broken = append $broken (printf "%s.labelSelector: is not there, and matchLabelKeys and mismatchLabelKeys add to one; add it" .path) -}}
{{- end -}}
{{- range $key := $value.matchLabelKeys -}}
{{- if has $key ($value.mismatchLabelKeys | default list) -}}
{{- $broken = append $broken (printf "%s.mismatchLabelKeys: has %s, as matchLabelKeys has, and a label cannot be both as this pod's and not; take it out of one of them" $.path $key) -}}
{{- end -}}
{{- end -}}
{{- $cidr := $value.cidr | default "" -}}
{{- range $key, $except := $value.except -}}
{{- $inside := and (eq (contains ":" $except) (contains ":" $cidr)) (gt (base $except | int) (base $cidr | int)) -}}
{{- if not (and $inside (hasPrefix (trunc (base $cidr | int) (include "train.bits" (dir $cidr))) (include "train.bits" (dir $except)))) -}}
{{- $broken = append $broken (printf "%s.except[%d]: %s is not a part of %s, which it is taken out of; correct it, or leave it out" $.path $key $except $cidr) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set .found "broken" (concat .found.broken $broken) -}}
{{- if or (kindIs "map" $value) (kindIs "slice" $value) -}}
{{- /* Names of labels are the user's, and say nothing. */ -}}
{{- range $key, $below := kindIs "map" $value | ternary (omit (kindIs "map" $value | ternary $value dict) "matchLabels") $value -}}
{{- $path := kindIs "map" $value | ternary (printf "%s.%v" $.path $key) (printf "%s[%v]" $.path $key) -}}
{{- include "train.rules.placement.in" (dict "value" $below "path" $path "found" $.found) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
An address as its bits: 32 or 128 of the digits 0 and 1.
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
