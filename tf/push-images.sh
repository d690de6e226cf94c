#!/usr/bin/env bash
# Build the images of this commit and push them to the repositories that tf/cluster made: push-images.sh TAG.
# Images that are there already are skipped: a tag in these repositories is immutable.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=${1:?usage: push-images.sh TAG}
variables=tf/helm/cluster.auto.tfvars.json
fail() {
  echo "push-images: $*" >&2
  exit 1
}
[[ -f $variables ]] || fail "$variables is not there: terraform -chdir=tf/cluster output -json helm_variables > $variables"
[[ -z $(git status --porcelain) ]] || fail "there are changes that are not committed: $tag would not say what is in the images"
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]][sys.argv[3]] if len(sys.argv) > 3 else json.load(open(sys.argv[1]))[sys.argv[2]])' "$variables" "$@"; }

region=$(field region)
registry=$(field repository_urls dispatcher)
registry=${registry%%/*}
aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry"
for image in dispatcher worker logsink converter triton; do
  url=$(field repository_urls "$image")
  if aws ecr describe-images --region "$region" --repository-name "${url#*/}" --image-ids "imageTag=$tag" >/dev/null 2>&1; then
    echo "push-images: $url:$tag is there" >&2
    continue
  fi
  CONTAINER_ENGINE=docker k8s/images/build.sh "$tag" "$image"
  docker tag "labelbus/$image:$tag" "$url:$tag"
  docker push "$url:$tag"
done
