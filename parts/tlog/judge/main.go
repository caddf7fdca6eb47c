// Command judge reads what Weighthouse wrote with code that Weighthouse did not write: golang.org/x/mod/sumdb/note
// and tlog, filippo.io/torchwood and github.com/transparency-dev/merkle. It prints what it found and exits 0, or
// says on standard error what is wrong and exits 1.
//
//	judge checkpoint VKEY POLICY < checkpoint      a signed checkpoint, under one key and under a witness policy
//	judge proof POLICY LEAF < tlog-proof           a tlog-proof of the entry in the file LEAF
//	judge consistency OLD NEW OLDROOT NEWROOT      a consistency proof, one base64 hash a line on standard input
//	judge tree SIZE                                the root of SIZE leaves "0", "1", ... and every proof in it
package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

var commands = map[string]struct {
	arguments int
	run       func([]string, []byte) error
}{
	"checkpoint":  {2, checkpoint},
	"proof":       {2, inclusion},
	"consistency": {4, consistency},
	"tree":        {1, tree},
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]].arguments != len(os.Args)-2 {
		fmt.Fprintln(os.Stderr, "usage: see the comment at the top of parts/tlog/judge/main.go")
		os.Exit(2)
	}
	var input []byte
	if os.Args[1] != "tree" {
		var err error
		if input, err = io.ReadAll(os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	if err := commands[os.Args[1]].run(os.Args[2:], input); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func readPolicy(path string) (torchwood.Policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return torchwood.ParsePolicy(text)
}

// checkpoint opens the note twice: by the reference implementation under the log's key alone, then under the policy.
func checkpoint(arguments []string, input []byte) error {
	verifier, err := note.NewVerifier(arguments[0])
	if err != nil {
		return err
	}
	opened, err := note.Open(input, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	policy, err := readPolicy(arguments[1])
	if err != nil {
		return err
	}
	found, _, err := torchwood.VerifyCheckpoint(input, policy)
	if err != nil {
		return err
	}
	if opened.Text != found.String() {
		return errors.New("the two readings differ")
	}
	fmt.Printf("%s\n%d\n%s\n", found.Origin, found.N, found.Hash)
	return nil
}

func inclusion(arguments []string, input []byte) error {
	policy, err := readPolicy(arguments[0])
	if err != nil {
		return err
	}
	leaf, err := os.ReadFile(arguments[1])
	if err != nil {
		return err
	}
	return torchwood.VerifyProof(policy, tlog.RecordHash(leaf), input)
}

// consistency asks both implementations, which must agree.
func consistency(arguments []string, input []byte) error {
	var sizes [2]uint64
	var roots [2][]byte
	for i := range sizes {
		var err error
		if sizes[i], err = strconv.ParseUint(arguments[i], 10, 63); err != nil {
			return err
		}
		if roots[i], err = base64.StdEncoding.DecodeString(arguments[2+i]); err != nil {
			return err
		}
	}
	var path [][]byte
	var theirs tlog.TreeProof
	for _, line := range strings.Fields(string(input)) {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			return fmt.Errorf("%q is no hash", line)
		}
		path, theirs = append(path, hash), append(theirs, tlog.Hash(hash))
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, sizes[0], sizes[1], path, roots[0], roots[1]); err != nil {
		return err
	}
	if sizes[0] == 0 {
		return nil // tlog knows no tree without leaves
	}
	return tlog.CheckTree(theirs, int64(sizes[1]), tlog.Hash(roots[1]), int64(sizes[0]), tlog.Hash(roots[0]))
}

// tree prints, for a tree of SIZE leaves, "root HASH", "leaf I HASH..." and "from M HASH...", in base64.
func tree(arguments []string, _ []byte) error {
	size, err := strconv.ParseInt(arguments[0], 10, 32)
	if err != nil {
		return err
	}
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = hashes[index]
		}
		return found, nil
	})
	for i := range size {
		more, err := tlog.StoredHashes(i, []byte(strconv.FormatInt(i, 10)), reader)
		if err != nil {
			return err
		}
		hashes = append(hashes, more...)
	}
	var out bytes.Buffer
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return err
	}
	fmt.Fprintf(&out, "root %s\n", root)
	for i := range size {
		path, err := tlog.ProveRecord(size, i, reader)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "leaf %d%s\n", i, joined(path))
	}
	for old := int64(1); old <= size; old++ {
		path, err := tlog.ProveTree(size, old, reader)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "from %d%s\n", old, joined(path))
	}
	_, err = os.Stdout.Write(out.Bytes())
	return err
}

func joined(path []tlog.Hash) string {
	var text strings.Builder
	for _, hash := range path {
		text.WriteString(" " + hash.String())
	}
	return text.String()
}
