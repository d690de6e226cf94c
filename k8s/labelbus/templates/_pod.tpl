{{/*
What the pods of all components have in common. Each takes (dict "root" $ "component" "worker").
The numbers 10001 are the user and the group of every labelbus image.
*/}}
{{- define "labelbus.podMetadata" -}}
{{- $values := index .root.Values .component -}}
labels:
  {{- include "labelbus.podLabels" . | nindent 2 }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  # Pods roll when their settings change.
  labelbus/settings: {{ include "labelbus.podSettings" . | sha256sum | trunc 16 | quote }}
  {{- with $values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "labelbus.podSettings" -}}
{{- include "labelbus.settings" .root.Values.bus.settings }}
{{- include "labelbus.settings" (index .root.Values .component).settings }}
{{- toJson .root.Values.nats.auth }}
{{- end -}}

{{- define "labelbus.podSpec" -}}
{{- $values := index .root.Values .component -}}
{{- $nodeSelector := $values.nodeSelector -}}
{{- $tolerations := $values.tolerations -}}
{{- $gpu := .root.Values.triton.gpu -}}
{{- if and (eq .component "worker") $gpu.enabled }}
{{- $nodeSelector = merge (dict) $nodeSelector $gpu.nodeSelector }}
{{- $tolerations = concat $tolerations $gpu.tolerations }}
{{- end }}
serviceAccountName: {{ include "labelbus.fullname" .root }}-{{ .component }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # A model repository may hold many files: do not change the owner of each at every start.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml . | nindent 4 }}
    {{- if not (hasKey . "labelSelector") }}
    labelSelector:
      matchLabels:
        {{- include "labelbus.selectorLabels" $ | nindent 8 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "labelbus.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Image, security and settings of a component's container; its own environment wins over the settings. */}}
{{- define "labelbus.container" -}}
{{- $values := index .root.Values .component -}}
image: {{ include "labelbus.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "labelbus.containerSecurity" . | nindent 2 }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
envFrom:
  - configMapRef:
      name: {{ include "labelbus.fullname" .root }}-bus
  - configMapRef:
      name: {{ include "labelbus.fullname" .root }}-{{ .component }}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: LABELBUS_{{ upper .component }}_ID
    value: $(POD_NAME)
  - name: LABELBUS_HEALTH_FILE
    value: /tmp/health
  - name: LABELBUS_NATS_URL
    value: {{ include "labelbus.natsUrl" .root | quote }}
  {{- with .root.Values.nats }}
  {{- if .auth.credsSecret }}
  - name: LABELBUS_NATS_CREDS
    value: /etc/labelbus/nats/nats.creds
  {{- else if .auth.enabled }}
  - name: LABELBUS_NATS_USER
    valueFrom:
      secretKeyRef:
        name: {{ include "labelbus.natsAuthSecret" $.root | quote }}
        key: user
  - name: LABELBUS_NATS_PASSWORD
    valueFrom:
      secretKeyRef:
        name: {{ include "labelbus.natsAuthSecret" $.root | quote }}
        key: password
  {{- end }}
  {{- if .caSecret }}
  - name: LABELBUS_NATS_CA
    value: /etc/labelbus/nats-ca/ca.crt
  {{- end }}
  {{- end }}
  {{- with $values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Volumes of every component: a writable folder, and the credentials for NATS. */}}
{{- define "labelbus.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
{{- with .root.Values.nats.auth.credsSecret }}
- name: nats-creds
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- with .root.Values.nats.caSecret }}
- name: nats-ca
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0444
{{- end }}
{{- end -}}

{{- define "labelbus.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .root.Values.nats.auth.credsSecret }}
- name: nats-creds
  mountPath: /etc/labelbus/nats
  readOnly: true
{{- end }}
{{- if .root.Values.nats.caSecret }}
- name: nats-ca
  mountPath: /etc/labelbus/nats-ca
  readOnly: true
{{- end }}
{{- end -}}

{{/* Probes of components without HTTP: their event loop touches a file every few seconds. */}}
{{- define "labelbus.fileProbes" -}}
startupProbe:
  exec:
    command: [labelbus, probe, --file, /tmp/health, --max-age-s, "15"]
  periodSeconds: 3
  timeoutSeconds: 10
  failureThreshold: {{ .startFailures | default 40 }}
readinessProbe:
  exec:
    command: [labelbus, probe, --file, /tmp/health, --max-age-s, "15"]
  periodSeconds: 15
  timeoutSeconds: 10
  failureThreshold: 1
livenessProbe:
  exec:
    command: [labelbus, probe, --file, /tmp/health, --max-age-s, "30"]
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 3
{{- end -}}

{{- define "labelbus.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "labelbus.metadata" . | nindent 2 }}
  {{- with (index .root.Values .component).serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}

{{- define "labelbus.podDisruptionBudget" -}}
{{- $budget := (index .root.Values .component).podDisruptionBudget -}}
{{- if $budget.enabled -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "labelbus.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ $budget.maxUnavailable }}
  # A pod that is not ready does not delay a drain.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "labelbus.selectorLabels" . | nindent 6 }}
{{- end -}}
{{- end -}}
