{{- /*
No secret stands in `env`, in lists and maps of `train`, in annotations, or where a Secret or its key is named, which everybody sees who
can read the release: neither by the name of a variable or option nor by the form of its value. No message shows a value. A variable and a file come from one place.
*/ -}}
{{- define "train.rules.secrets" -}}
{{- $violations := list -}}
{{- $values := .Run.values -}}
{{- range $name, $value := $values.env -}}
{{- with include "train.secret.kind" (dict "name" $name "value" $value) -}}
{{- $violations = append $violations (printf "env.%s: %s, and everybody who can read the release would see it; put it into a Secret, and set secretEnv.%s to its secretName and key" $name . $name) -}}
{{- end -}}
{{- if hasKey $values.secretEnv $name -}}
{{- $violations = append $violations (printf "secretEnv.%s: is in env, too; remove one of them" $name) -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := $values.train -}}
{{- if or (kindIs "slice" $value) (kindIs "map" $value) -}}
{{- with include "train.secret.among" $value -}}
{{- $violations = append $violations (printf "train.%s: has a secret: %s, and everybody who can read the release would see it; put it into a Secret, name it in secretEnv, and let the program read that variable" $key .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := $values.podAnnotations -}}
{{- /* Names of annotations often end in what they only refer to. */ -}}
{{- with include "train.secret.kind" (dict "name" "REF" "value" $value) -}}
{{- $violations = append $violations (printf "podAnnotations: %s: %s, and everybody who can read the pods would see it; remove it" $key .) -}}
{{- end -}}
{{- end -}}
{{- $naming := dict "git" $values.git "mlflow" $values.mlflow -}}
{{- range $section := list "model" "dataset" "publish" -}}
{{- $_ := set $naming $section (get $values $section) -}}
{{- $_ := set $naming (printf "%s.lfs" $section) (get $values $section).lfs -}}
{{- end -}}
{{- range $section := list "secretEnv" "secretFiles" -}}
{{- range $name, $secret := get $values $section -}}
{{- $_ := set $naming (printf "%s.%s" $section $name) $secret -}}
{{- end -}}
{{- end -}}
{{- range $path, $names := $naming -}}
{{- range $key, $value := $names -}}
{{- if regexMatch "^(key|secretName|.+Key)$" $key -}}
{{- with include "train.secret.kind" (dict "name" "NAME" "value" ($value | default "")) -}}
{{- $violations = append $violations (printf "%s.%s: %s, but everybody who can read the release sees what stands here; put it into a Secret, and write the name of %s" $path $key . (eq $key "secretName" | ternary "the Secret" "its key there")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $paths := keys $values.secretFiles | sortAlpha -}}
{{- range $path := $paths -}}
{{- range $other := $paths -}}
{{- if hasPrefix (printf "%s/" $path) $other -}}
{{- $violations = append $violations (printf "secretFiles: has the file %s, but %s needs a folder of that name; rename one of them" $path $other) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $violations | toJson -}}
{{- end -}}

{{- /*
Returns why one of a list's words, or of a map's values, looks like a secret; empty if none does. A word has the name of its option:
--api-key=VALUE, or --api-key before it. Of a text with blanks, such as a program, only the form of its words counts.
Usage: {{ with include "train.secret.among" LIST }}
*/ -}}
{{- define "train.secret.among" -}}
{{- $kind := "" -}}
{{- $option := "REF" -}}
{{- range $key, $value := . -}}
{{- $words := regexSplit "\\s+" (toString $value) -1 -}}
{{- range $word := $words -}}
{{- $name := "REF" -}}
{{- if and (eq (len $words) 1) (regexMatch "^-*[A-Za-z][-_.A-Za-z0-9]*=." $word) -}}
{{- $name = regexFind "^[^=]+" $word -}}
{{- $word = trimPrefix (printf "%s=" $name) $word -}}
{{- else if eq (len $words) 1 -}}
{{- $name = kindIs "string" $key | ternary (toString $key) $option -}}
{{- end -}}
{{- /* Credentials are often a path; and 40 hexadecimal digits are a commit more often than a key, unless the option says so. */ -}}
{{- $name = regexMatch "(?i)wandb|key|token|secret|pass|pwd" $name | ternary (trimAll "-" $name | replace "-" "_") "REF" -}}
{{- $kind = $kind | default (include "train.secret.kind" (dict "name" $name "value" $word)) -}}
{{- end -}}
{{- $option = regexMatch "^--?[A-Za-z][-_.A-Za-z0-9]*$" (toString $value) | ternary (toString $value) "REF" -}}
{{- end -}}
{{- $kind -}}
{{- end -}}

{{- /*
Returns why a variable looks like a secret, for a message; empty if it does not. A name counts only with a value that can be one: not
with a truth value, a path, a special token such as </s>, or, for a TOKEN, a number.
Usage: {{ with include "train.secret.kind" (dict "name" NAME "value" VALUE) }}
*/ -}}
{{- define "train.secret.kind" -}}
{{- $name := upper .name -}}
{{- $word := regexFind "(TOKEN|PASSWORD|PASSWD|PASSPHRASE|_PWD|SECRET|(API|ACCESS|SECRET|PRIVATE|ACCOUNT|STORAGE|AUTH|ENCRYPTION|SIGNING)_?KEY|CREDENTIALS?)$" $name -}}
{{- $plain := regexMatch "^\\s*((?i)true|false|yes|no|on|off|none|null|auto|[.~]?(/[A-Za-z0-9@._-]+)+/?|<.*>|\\[.*\\]|)\\s*$" .value -}}
{{- $number := and (hasSuffix "TOKEN" $name) (regexMatch "^[0-9]{1,9}$" .value) -}}
{{- $issuer := regexFind "\\b(hf_[A-Za-z0-9]{20}|gh[opusr]_[A-Za-z0-9]{20}|github_pat_[A-Za-z0-9_]{20}|gl(pat|dt|ptt|cbt|soat|oas|rt|ft|agent)-[A-Za-z0-9_-]{16}|(AKIA|ASIA)[A-Z0-9]{16}\\b|LTAI[A-Za-z0-9]{12}|AKID[A-Za-z0-9]{24}|sk-[A-Za-z0-9]{32}|sk-(proj|ant|or|svcacct)-[A-Za-z0-9_-]{20}|nvapi-[A-Za-z0-9_-]{30}|xox[abeoprs]-[A-Za-z0-9-]{10}|AIza[A-Za-z0-9_-]{35}|npm_[A-Za-z0-9]{30}|pypi-[A-Za-z0-9_-]{50}|dckr_pat_[A-Za-z0-9_-]{20}|dapi[0-9a-f]{32}|wandb_v[0-9]_[A-Za-z0-9_]{20}|eyJ[A-Za-z0-9_-]{10,}[.]eyJ[A-Za-z0-9_-]{10})|-----BEGIN [A-Z ]*PRIVATE KEY" .value -}}
{{- /* A key of Weights & Biases looks like a commit. */ -}}
{{- $hexadecimal := and (regexMatch "^\\s*(local-)?[0-9a-f]{40}\\s*$" .value) (not (regexMatch "COMMIT|SHA|REV|REF|HASH|VERSION|DIGEST|CHECKSUM|TAG" $name)) -}}
{{- if $issuer -}}
{{- printf "its value begins like a token or key (%s...)" (regexFind "^(-----BEGIN|github_pat_|[A-Za-z0-9]+[_-]|AKIA|ASIA|LTAI|AKID|AIza|dapi|eyJ)" $issuer) -}}
{{- else if $hexadecimal -}}
{{- "its value has the 40 hexadecimal digits of a key of Weights & Biases" -}}
{{- else if and $word (not $plain) (not $number) -}}
{{- printf "its name says that it is a secret (%s)" (trimPrefix "_" $word) -}}
{{- else if regexMatch "://[^/ ]*@" .value -}}
{{- "its value is a URL with a user or password" -}}
{{- end -}}
{{- end -}}
