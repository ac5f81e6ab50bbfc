{{- /*
The run's folders are apart from each other: the sources', those that the runner itself writes (runner/folders.json), and those of a
claim that is mounted twice. The runner looks again, at its settings. Paths are compared without their case: some volumes know none.
*/ -}}
{{- define "train.rules.folders" -}}
{{- $broken := list -}}
{{- $values := .Run.values -}}
{{- $path := $values.dataset.path | default "dataset" -}}
{{- $clean := clean $path | lower -}}
{{- $model := .Run.family.modelPath | default "model" -}}
{{- $own := (.Subcharts.lib.Files.Get "files/runner/folders.json" | fromJson).own -}}
{{- $another := "give another, such as datasets/coco128" -}}
{{- if regexMatch "(^/)|(^|/)[.][.](/|$)" $path -}}
{{- $broken = append $broken (printf "dataset.path: %q leaves the run's folder; give a path inside it, such as datasets/coco128" $path) -}}
{{- else if eq $clean "." -}}
{{- $broken = append $broken (printf "dataset.path: %q is the run's folder itself; give a path inside it, such as datasets/coco128" $path) -}}
{{- else if has (first (splitList "/" $clean)) $own -}}
{{- $broken = append $broken (printf "dataset.path: %q lies in %s, which the run itself writes; %s" $path (first (splitList "/" $clean)) $another) -}}
{{- else if has ".git" (splitList "/" $clean) -}}
{{- $broken = append $broken (printf "dataset.path: %q has a part .git, which git would take for a repository; %s" $path $another) -}}
{{- else if include "train.folders.overlap" (list $clean (lower $model)) -}}
{{- $broken = append $broken (printf "dataset.path: %q and the model's folder %s overlap; %s" $path $model $another) -}}
{{- end -}}
{{- $directory := $values.workspace.directory | default .Release.Name -}}
{{- if regexMatch "(^/)|(^|/)[.][.](/|$)" $directory -}}
{{- $broken = append $broken (printf "workspace.directory: %q leaves the workspace; give a path inside it" $directory) -}}
{{- else if eq (clean $directory) "." -}}
{{- $broken = append $broken (printf "workspace.directory: %q is the workspace itself, which other runs may share; give a path inside it, or leave it empty" $directory) -}}
{{- end -}}
{{- $claim := ternary "" (include "train.name.claim" .) (eq $values.workspace.type "emptyDir") -}}
{{- range $name := list "model" "dataset" -}}
{{- $source := get $values $name -}}
{{- $folder := $source.subPath | default "." -}}
{{- if and $claim (eq $source.type "claim") (eq ($source.claimName | default "") $claim) (include "train.folders.overlap" (list (clean $folder | lower) (clean $directory | lower))) -}}
{{- $broken = append $broken (printf "%s.subPath: %q and workspace.directory %q of the same claim %s overlap; give %s.subPath a folder beside it" $name $folder $directory $claim $name) -}}
{{- end -}}
{{- end -}}
{{- $broken | toJson -}}
{{- end -}}

{{- /*
"true" where one of two clean paths is the other, or lies in it.
Usage: {{ if include "train.folders.overlap" (list "data" "data/coco") }}
*/ -}}
{{- define "train.folders.overlap" -}}
{{- $one := index . 0 -}}
{{- $other := index . 1 -}}
{{- if or (eq $one ".") (eq $other ".") (hasPrefix (printf "%s/" $one) (printf "%s/" $other)) (hasPrefix (printf "%s/" $other) (printf "%s/" $one)) -}}
true
{{- end -}}
{{- end -}}
