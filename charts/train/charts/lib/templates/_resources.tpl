{{- /*
Not empty if a resource of the values is a device for RDMA, by its name: rdma/..., vpc.amazonaws.com/efa, aliyun/erdma,
nvidia.com/sriov-rdma-vf, nvidia.com/roce_gdr, mellanox.com/ib, ...
Usage: {{ if include "train.resources.rdma" . }}
*/ -}}
{{- define "train.resources.rdma" -}}
{{- range $section := list "requests" "limits" -}}
{{- range $name, $_ := get $.Run.values.resources $section -}}
{{- if regexMatch "rdma|roce|infiniband|/(efa|ib|hca)([-_.]|$)" (lower $name) -}}{{- $name -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
Returns the resources of the training container, as JSON: requests, limits (including devices), and the claim for devices that are
allocated dynamically. Empty if nothing is configured.
Usage: {{ include "train.resources" . | fromJson }}
*/ -}}
{{- define "train.resources" -}}
{{- $resources := dict -}}
{{- $amounts := dict "requests" dict "limits" (include "train.accelerator.limits" . | fromJson) -}}
{{- range $section, $all := $amounts -}}
{{- range $name, $amount := get $.Run.values.resources $section -}}
{{- $_ := set $all $name (include "train.amount" $amount) -}}
{{- end -}}
{{- with $all -}}
{{- $_ := set $resources $section . -}}
{{- end -}}
{{- end -}}
{{- if .Run.profile.deviceClass -}}
{{- $_ := set $resources "claims" (list (dict "name" "devices")) -}}
{{- end -}}
{{- toJson $resources -}}
{{- end -}}
