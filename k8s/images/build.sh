#!/usr/bin/env bash
# Build images: build.sh TAG [TARGET …], all of them when none is named. CONTAINER_ENGINE chooses docker or podman,
# PYTHON_IMAGE another base, IMAGE_PREFIX another name than labelbus/<target>.
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=${1:?usage: build.sh TAG [TARGET …]}
shift
targets=("$@")
((${#targets[@]})) || targets=(dispatcher worker logsink converter triton)

engine=${CONTAINER_ENGINE:-$(command -v docker || command -v podman || true)}
[[ -n $engine ]] || { echo "images: neither docker nor podman is installed" >&2; exit 1; }

given=()
[[ -n ${PYTHON_IMAGE:-} ]] && given+=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE")
# The docker format keeps HEALTHCHECK, which podman's own drops.
[[ $(basename "$engine") == podman ]] && given+=(--format docker)

# Wheels that pip is told to look for in a folder, such as a CPU build of torch, are taken along.
links=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}
if [[ -d $links ]]; then
  trap 'rm -rf wheels' EXIT
  mkdir -p wheels
  cp -l "$links"/torch-*.whl wheels/ 2>/dev/null || cp "$links"/torch-*.whl wheels/ 2>/dev/null || true
fi

for target in "${targets[@]}"; do
  echo "images: ${IMAGE_PREFIX:-labelbus}/$target:$tag" >&2
  nice -n 10 "$engine" build --quiet --file k8s/images/Dockerfile --target "$target" \
    --tag "${IMAGE_PREFIX:-labelbus}/$target:$tag" \
    --build-arg "VERSION=$tag" --build-arg "REVISION=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" \
    "${given[@]}" . >&2
done
