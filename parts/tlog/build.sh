#!/bin/sh
# Builds the outside judges of the log, from the module versions pinned in go.mod, into the folder given or
# <project>/.parts/bin/tlog. About two minutes on two cores the first time; needs only a Go toolchain and its proxy.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
target=${1:-"$here/../../.parts/bin/tlog"}
command -v go >/dev/null 2>&1 || {
    echo "parts/tlog: no Go toolchain found; install Go 1.26 or later to build the log's judges" >&2
    exit 3
}
# Built beside their final place and moved, so that half-written programs are never found and run.
rm -rf "$target.new"
mkdir -p "$target.new"
cd "$here"
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$target.new/" \
    ./agent ./judge \
    filippo.io/torchwood/cmd/litewitness \
    github.com/transparency-dev/tessera/cmd/fsck \
    github.com/transparency-dev/tessera/cmd/examples/posix-oneshot
rm -rf "$target"
mv -f "$target.new" "$target"
ls "$target"
