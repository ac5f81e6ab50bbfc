{{- /*
Texts in documents. Values are not code: whatever a text or a key holds, it stays where it was put. YAML takes more characters for
line breaks than JSON escapes, and others for errors, so a user's text enters a document quoted (`quote` leaves only what is
printable as it is), or as part of data by train.json, and never by toYaml: under nindent its other line breaks lose their place.
*/ -}}

{{- /*
Data as JSON on one line, which is YAML too.
Usage: nodeSelector: {{ include "train.json" . }}
*/ -}}
{{- define "train.json" -}}{{ toJson . | include "train.json.escaped" }}{{- end -}}

{{- /*
JSON with every character as an escape that a YAML reader does not take as it stands: DEL, C1 with U+0085, U+2028, U+2029, the
byte order mark, U+FFFE, U+FFFF. Go's JSON has escaped those of C0.
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
A text for people, on one line, its control characters as escapes.
Usage: {{ include "train.printable" .Run.values.queue }}
*/ -}}
{{- define "train.printable" -}}{{ toString . | printf "%q" | trimPrefix "\"" | trimSuffix "\"" | replace "\\\"" "\"" | replace "\\\\" "\\" }}{{- end -}}
