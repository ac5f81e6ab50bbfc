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
{{- if and (or $value.matchLabelKeys $value.mismatchLabelKeys) (not $value.labelSelector) -}}
{{- $broken = append $broken (printf "%s.labelSelector: is empty, and matchLabelKeys and mismatchLabelKeys add to one; add it" .path) -}}
{{- end -}}
{{- end -}}
{{- $_ := set .found "broken" (concat .found.broken $broken) -}}
{{- if or (kindIs "map" $value) (kindIs "slice" $value) -}}
{{- range $key, $below := $value -}}
{{- $path := kindIs "map" $value | ternary (printf "%s.%v" $.path $key) (printf "%s[%v]" $.path $key) -}}
{{- include "train.rules.placement.in" (dict "value" $below "path" $path "found" $.found) -}}
{{- end -}}
{{- end -}}
{{- end -}}
