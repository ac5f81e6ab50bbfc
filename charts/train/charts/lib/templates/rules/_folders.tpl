{{- /*
The run's folders must not overlap: the sources', those that the runner writes (files/pod.json), and those of a claim that is
mounted twice. The runner checks its settings again. Paths are compared without case, which some volumes ignore.
*/ -}}
{{- define "train.rules.folders" -}}
{{- $violations := list -}}
{{- $values := .Run.values -}}
{{- $path := $values.dataset.path | default "dataset" -}}
{{- $clean := clean $path | lower -}}
{{- $model := .Run.family.modelPath | default "model" -}}
{{- $own := .Run.pod.ownFolders -}}
{{- $fix := "use another, such as datasets/coco128" -}}
{{- if regexMatch "(^/)|(^|/)[.][.](/|$)" $path -}}
{{- $violations = append $violations (printf "dataset.path: %q leaves the run's folder; use a path inside it, such as datasets/coco128" $path) -}}
{{- else if eq $clean "." -}}
{{- $violations = append $violations (printf "dataset.path: %q is the run's folder itself; use a path inside it, such as datasets/coco128" $path) -}}
{{- else if has (first (splitList "/" $clean)) $own -}}
{{- $violations = append $violations (printf "dataset.path: %q is in %s, which the run itself writes; %s" $path (first (splitList "/" $clean)) $fix) -}}
{{- else if has ".git" (splitList "/" $clean) -}}
{{- $violations = append $violations (printf "dataset.path: %q has a part .git, which git would take for a repository; %s" $path $fix) -}}
{{- else if include "train.folders.overlap" (list $clean (lower $model)) -}}
{{- $violations = append $violations (printf "dataset.path: %q and the model's folder %s overlap; %s" $path $model $fix) -}}
{{- end -}}
{{- $directory := $values.workspace.directory | default .Release.Name -}}
{{- if regexMatch "(^/)|(^|/)[.][.](/|$)" $directory -}}
{{- $violations = append $violations (printf "workspace.directory: %q leaves the workspace; use a path inside it" $directory) -}}
{{- else if eq (clean $directory) "." -}}
{{- $violations = append $violations (printf "workspace.directory: %q is the workspace itself, which other runs may share; use a path inside it, or leave it empty" $directory) -}}
{{- end -}}
{{- $claim := ternary "" (include "train.name.claim" .) (not (empty (include "train.workspace.temporary" .))) -}}
{{- range $name := list "model" "dataset" -}}
{{- $source := get $values $name -}}
{{- $folder := $source.subPath | default "." -}}
{{- if and $claim (eq $source.type "claim") (eq ($source.claimName | default "") $claim) (include "train.folders.overlap" (list (clean $folder | lower) (clean $directory | lower))) -}}
{{- $violations = append $violations (printf "%s.subPath: %q and workspace.directory %q of the same claim %s overlap; set %s.subPath to a folder outside it" $name $folder $directory $claim $name) -}}
{{- end -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}

{{- /*
Returns "true" if one of two clean paths is the other, or contains it.
Usage: {{ if include "train.folders.overlap" (list "data" "data/coco") }}
*/ -}}
{{- define "train.folders.overlap" -}}
{{- $one := index . 0 -}}
{{- $other := index . 1 -}}
{{- if or (eq $one ".") (eq $other ".") (hasPrefix (printf "%s/" $one) (printf "%s/" $other)) (hasPrefix (printf "%s/" $other) (printf "%s/" $one)) -}}
true
{{- end -}}
{{- end -}}
