// Command agent is a key agent (the ssh-agent protocol) that holds one Ed25519 key made from a seed it reads from
// standard input. The witness litewitness keeps its key nowhere else; so the tests give it one.
//
// It prints the key's fingerprint, and serves the Unix socket named by its one argument until it is killed.
package main

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: agent SOCKET < 32-byte-seed")
	}
	seed, err := io.ReadAll(io.LimitReader(os.Stdin, ed25519.SeedSize+1))
	if err != nil || len(seed) != ed25519.SeedSize {
		log.Fatalf("the seed has %d bytes, not %d: %v", len(seed), ed25519.SeedSize, err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: &key}); err != nil {
		log.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ssh.FingerprintSHA256(public))
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go agent.ServeAgent(ring, connection)
	}
}
