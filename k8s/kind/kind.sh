#!/usr/bin/env bash
# labelbus on its own kind cluster: kind.sh start|stop|status|logs. Every command names its context, whatever context
# kubectl is set to, and nothing is done to a cluster whose nodes are not kind's on this machine.
set -euo pipefail
cd "$(dirname "$0")/../.."

cluster=labelbus
context=kind-$cluster
namespace=labelbus
kubectl=(kubectl --context "$context" --namespace "$namespace")

fail() {
  echo "kind: $*" >&2
  exit 1
}

need() {
  for program in "$@"; do
    command -v "$program" >/dev/null || fail "$program is not installed; \`just $what\` needs $*"
  done
}

exists() { kind get clusters 2>/dev/null | grep -qx "$cluster"; }

guard() {
  exists || fail "there is no kind cluster $cluster; \`just start\` makes it"
  local server nodes
  server=$(kubectl config view --minify --context "$context" --output 'jsonpath={.clusters[0].cluster.server}')
  [[ $server =~ ^https://(127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0): ]] ||
    fail "the context $context leads to $server, which is not on this machine: nothing was done"
  nodes=$(kubectl --context "$context" get nodes --output 'jsonpath={.items[*].spec.providerID}')
  [[ -n $nodes && -z $(tr ' ' '\n' <<<"$nodes" | grep -v "^kind://" || true) ]] ||
    fail "the context $context leads to nodes that are not kind's ($nodes): nothing was done"
}

start() {
  need docker kind kubectl helm
  exists || kind create cluster --name "$cluster" --config k8s/kind/cluster.yaml --wait 180s
  guard
  # A new tag each time, so that pods roll when the code changed.
  local tag targets set=()
  tag=kind-$(date +%s)
  targets=(dispatcher worker logsink converter)
  if [[ $(uname -m) == x86_64 ]]; then
    targets+=(triton)
    set+=(--set "triton.image.tag=$tag")
  else
    echo "kind: the small Triton is for x86-64; workers use ONNX Runtime in process" >&2
    set+=(--set worker.runtime=onnx)
  fi
  CONTAINER_ENGINE=docker k8s/images/build.sh "$tag" "${targets[@]}"
  local images=("${targets[@]/#/labelbus/}")
  kind load docker-image --name "$cluster" "${images[@]/%/:$tag}"
  helm dependency build k8s/labelbus
  helm upgrade --install labelbus k8s/labelbus --kube-context "$context" --namespace "$namespace" --create-namespace \
    --values k8s/values/kind.yaml --set "image.tag=$tag" "${set[@]}" --wait --timeout 15m
  cat <<TEXT

labelbus is ready on kind. Try:
  curl http://127.0.0.1:30080/health
  curl -H 'Content-Type: application/json' -d '{"model_id": "sentence-transformers/all-MiniLM-L6-v2"}' http://127.0.0.1:30080/upload-model
TEXT
}

stop() {
  need kind
  exists || fail "there is no kind cluster $cluster"
  kind delete cluster --name "$cluster"
}

status() {
  need kind kubectl
  guard
  "${kubectl[@]}" get pods,services,persistentvolumeclaims --output wide
  "${kubectl[@]}" get events --sort-by=.lastTimestamp | tail -10
}

logs() {
  need kind kubectl
  guard
  "${kubectl[@]}" exec statefulset/labelbus-logsink -- labelbus logs "$@"
}

what=${1:-}
shift || true
case $what in
start | stop | status | logs) "$what" "$@" ;;
*) fail "start, stop, status or logs?" ;;
esac
