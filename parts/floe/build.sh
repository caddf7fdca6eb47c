#!/bin/sh
# Builds the peer that the SDK's FLOE files are tried against: the specification authors' own Go code, from a checkout
# of Snowflake-Labs/floe-specification that you name (their module has no address of its own that Go could fetch).
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
checkout=${1:?"usage: build.sh <checkout of Snowflake-Labs/floe-specification> [target]"}
target=${2:-"$here/../../.parts/bin/floe-peer"}
command -v go >/dev/null 2>&1 || {
    echo "parts/floe: no Go toolchain found; install Go 1.24 or later to build the peer" >&2
    exit 3
}
[ -f "$checkout/go/floe.go" ] || {
    echo "parts/floe: $checkout/go/floe.go is not there; name a checkout of Snowflake-Labs/floe-specification" >&2
    exit 3
}
checkout=$(CDPATH= cd -- "$checkout" && pwd)
mkdir -p "$(dirname "$target")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$here/go.mod" "$here/go.sum" "$scratch"
go mod edit -replace "snowflake.com/floe=$checkout" "$scratch/go.mod"
(cd "$here" && CGO_ENABLED=0 go build -modfile="$scratch/go.mod" -trimpath -o "$target.new" .)
mv -f "$target.new" "$target"
echo "$target"
