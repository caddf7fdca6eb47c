// Command runsc is gVisor's own sandbox runtime, unchanged: this file only calls its main.
//
// It exists so that a build of a known commit (go.mod, go.sum) stands behind every run that claims
// the gVisor tier, instead of whatever runsc a distribution happens to ship.
package main

import "gvisor.dev/gvisor/runsc/cli/maincli"

func main() {
	maincli.Main()
}
