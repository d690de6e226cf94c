{{- define "nats.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "nats.fullname" -}}
{{- if contains (include "nats.name" .) .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ include "nats.name" . }}{{ end }}
{{- end }}

{{/* One value of a NATS configuration: maps and lists nested, << x >> without quotes, {$tplYaml: text} evaluated. */}}
{{- define "nats.value" -}}
{{- $value := .value -}}
{{- if and (kindIs "map" $value) (hasKey $value "$tplYaml") -}}
{{- $value = tpl (get $value "$tplYaml") .root | fromYaml -}}
{{- end -}}
{{- if kindIs "map" $value -}}
{ {{ range $name, $inner := $value }}{{ $name }}: {{ include "nats.value" (dict "value" $inner "root" $.root) }}, {{ end }} }
{{- else if and (kindIs "string" $value) (hasPrefix "<< " $value) -}}
{{ $value | trimPrefix "<< " | trimSuffix " >>" }}
{{- else -}}
{{ toJson $value }}
{{- end -}}
{{- end -}}
