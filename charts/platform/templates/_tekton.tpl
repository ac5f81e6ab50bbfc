{{- /*
The inputs of a training, as a Pipeline declares them.
Usage: {{ include "platform.tekton.params" $training | trim | nindent 4 }}
*/ -}}
{{- define "platform.tekton.params" -}}
{{- range .inputs }}
- name: {{ .name }}
  type: string
  description: {{ .description | quote }}
  {{- if hasKey . "default" }}
  default: {{ .default | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /*
A task of a Pipeline that runs trainchart-run. Of a run that another attempt has submitted, submit follows the rest.
Usage: {{ include "platform.tekton.run" (dict "training" . "options" (list "--logs")) | nindent 6 }}
*/ -}}
{{- define "platform.tekton.run" -}}
taskRef: {kind: Task, name: trainchart-run}
{{- /* Else the default of a TaskRun, which is one hour, whatever the PipelineRun says. */}}
timeout: 0s
{{- /* For a step whose pod was evicted. The training has its own retries, and is not trained again by this one. */}}
retries: 1
params:
  - {name: name, value: $(context.pipelineRun.name)}
  - {name: values, value: $(params.values)}
  - name: owner
    value: [tekton.dev/v1, PipelineRun, $(context.pipelineRun.name), $(context.pipelineRun.uid)]
  {{- $options := .options }}
  {{- with .training.family }}{{ $options = append $options (printf "--family=%s" .) }}{{ end }}
  {{- range .training.parameters }}{{ $options = append $options (printf "--param=%s=$(params.%s)" .name .name) }}{{ end }}
  {{- with $options }}
  - name: options
    value:
      {{- range . }}
      - {{ quote . }}
      {{- end }}
  {{- end }}
{{- end -}}
