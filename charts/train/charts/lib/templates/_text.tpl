{{- /*
Text in documents. Values are not code: no text or key can affect anything outside of its place. YAML treats more characters as line
breaks than JSON escapes, and rejects others, so a user's text enters a document quoted (`quote` escapes all that is not printable) or
in data by train.json, never by toYaml, whose other line breaks nindent would not indent.
*/ -}}

{{- /*
Returns data as JSON on one line, which is YAML too.
Usage: nodeSelector: {{ include "train.json" . }}
*/ -}}
{{- define "train.json" -}}{{ toJson . | include "train.json.escaped" }}{{- end -}}

{{- /*
Returns JSON in which every character that YAML does not accept literally is escaped: DEL, C1 with U+0085, U+2028, U+2029, the byte
order mark, U+FFFE, U+FFFF. Go's JSON escapes those of C0.
Usage: {{ toPrettyJson $data | include "train.json.escaped" }}
*/ -}}
{{- define "train.json.escaped" -}}
{{- $json := . -}}
{{- range regexFindAll "[\\x7f-\\x9f\\x{2028}\\x{2029}\\x{feff}\\x{fffe}\\x{ffff}]" $json -1 | uniq -}}
{{- $json = replace . (printf "%+q" . | trimAll "\"" | replace "\\x" "\\u00") $json -}}
{{- end -}}
{{- $json -}}
{{- end -}}

{{- /*
Returns a text for messages, on one line, with its control characters escaped.
Usage: {{ include "train.printable" .Run.values.queue }}
*/ -}}
{{- define "train.printable" -}}{{ toString . | printf "%q" | trimPrefix "\"" | trimSuffix "\"" | replace "\\\"" "\"" | replace "\\\\" "\\" }}{{- end -}}
