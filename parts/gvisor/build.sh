#!/bin/sh
# Builds gVisor's runsc from the module version pinned in go.mod into <project>/.parts/bin/runsc, or the path given.
# About a minute and 1 GB of memory on two cores; needs only a Go toolchain and its module proxy.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
target=${1:-"$here/../../.parts/bin/runsc"}
command -v go >/dev/null 2>&1 || {
    echo "parts/gvisor: no Go toolchain found; install Go 1.26 or later to build runsc" >&2
    exit 3
}
mkdir -p "$(dirname "$target")"
version=$(cd "$here" && go list -m -f '{{.Version}}' gvisor.dev/gvisor)
# Built beside its final name and moved, so that a half-written binary is never found and run.
cd "$here"
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X gvisor.dev/gvisor/runsc/version.version=$version" \
    -o "$target.new" ./runsc
mv -f "$target.new" "$target"
"$target" --version
