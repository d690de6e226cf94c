{{/* Names. A release may have dots in its name, a worker's id may not, and a pod's name must leave room for its suffixes. */}}
{{- define "labelbus.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "labelbus.fullname" -}}
{{- $name := include "labelbus.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of a component: (dict "root" $ "component" "worker"). */}}
{{- define "labelbus.selectorLabels" -}}
app.kubernetes.io/name: {{ include "labelbus.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end -}}

{{- define "labelbus.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{ include "labelbus.podLabels" . }}
{{- end -}}

{{/* Without the chart's version: a new version of the chart alone does not roll pods. */}}
{{- define "labelbus.podLabels" -}}
{{ include "labelbus.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/part-of: labelbus
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
{{- end -}}

{{/* Name and labels of a component's object. */}}
{{- define "labelbus.metadata" -}}
name: {{ include "labelbus.fullname" .root }}-{{ .component }}
labels:
  {{- include "labelbus.labels" . | nindent 2 }}
{{- end -}}

{{/* The image of a component. */}}
{{- define "labelbus.image" -}}
{{- $image := (index .root.Values .component).image -}}
{{- $registry := .root.Values.image.registry | trimSuffix "/" -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}:{{ $image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{/* Address of NATS, and the secret with its user and password. */}}
{{- define "labelbus.natsUrl" -}}
{{- if .Values.nats.enabled -}}
nats://{{ include "nats.fullname" .Subcharts.nats }}:4222
{{- else -}}
{{ .Values.nats.url }}
{{- end -}}
{{- end -}}

{{- /* The official chart leaves the release's name unquoted, and one called n would be false. */ -}}
{{- define "labelbus.natsSelectorLabels" -}}
app.kubernetes.io/name: {{ include "nats.name" .Subcharts.nats | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: nats
{{- end -}}

{{- define "labelbus.natsPort" -}}
{{- $first := include "labelbus.natsUrl" . | splitList "," | first | trim -}}
{{ regexFind ":[0-9]+$" $first | trimPrefix ":" | default "4222" }}
{{- end -}}

{{- define "labelbus.natsAuthSecret" -}}
{{ .Values.nats.auth.existingSecret | default (printf "%s-nats-auth" .Release.Name) }}
{{- end -}}

{{/* Settings as environment variables: drain_s: 30 becomes LABELBUS_DRAIN_S: "30". */}}
{{- define "labelbus.settings" -}}
{{- range $name, $value := . }}
LABELBUS_{{ upper $name }}: {{ if kindIs "float64" $value }}{{ toJson $value | quote }}{{ else }}{{ toString $value | quote }}{{ end }}
{{- end }}
{{- end -}}

{{- define "labelbus.modelsClaim" -}}
{{ .Values.models.persistence.existingClaim | default (printf "%s-models" (include "labelbus.fullname" .)) }}
{{- end -}}

{{/* The series of this release's dispatchers, as the Prometheus operator labels them: (dict "root" $ "metric" name). */}}
{{- define "labelbus.series" -}}
{{ .metric }}{namespace="{{ .root.Release.Namespace }}",service="{{ include "labelbus.fullname" .root }}-dispatcher"{{ with .where }},{{ . }}{{ end }}}
{{- end -}}

{{/* A trigger of KEDA: a metric of all dispatchers, read from Prometheus or from each dispatcher. */}}
{{- define "labelbus.kedaTrigger" -}}
{{- $keda := .root.Values.worker.keda -}}
{{- if $keda.prometheusUrl -}}
- type: prometheus
  name: {{ .name }}
  metadata:
    serverAddress: {{ $keda.prometheusUrl | quote }}
    query: {{ .query | default (printf "%s(%s)" .over (include "labelbus.series" .)) | quote }}
    threshold: {{ .target | quote }}
    # A query without an answer does not remove workers.
    ignoreNullValues: "false"
{{- else -}}
- type: metrics-api
  name: {{ .name }}
  metadata:
    # KEDA takes the Service's name and namespace from it and asks every pod, at the pod's port.
    url: http://{{ include "labelbus.fullname" .root }}-dispatcher.{{ .root.Release.Namespace }}.svc:8080/metrics
    aggregateFromKubeServiceEndpoints: "true"
    aggregationType: {{ .over }}
    format: prometheus
    valueLocation: {{ .metric }}
    targetValue: {{ .target | quote }}
{{- end }}
{{- end -}}
