// Command floe reads and writes one FLOE file with the reference implementation of the specification's authors, so
// that the SDK can be tried against software it shares no line with.
//
//	floe seal|open <encrypted segment bytes> <key, hex> <associated data, hex> < input > output
package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	floe "snowflake.com/floe/go"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "floe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: floe seal|open SEGMENT KEY AAD < input > output")
	}
	segment, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil {
		return err
	}
	params := floe.GCM256_IV256_1M()
	params.EncSegLen = uint32(segment)
	key, err := hex.DecodeString(args[2])
	if err != nil {
		return err
	}
	aad, err := hex.DecodeString(args[3])
	if err != nil {
		return err
	}
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var output []byte
	switch args[0] {
	case "seal":
		output, err = seal(params, key, aad, input)
	case "open":
		output, err = open(params, key, aad, input)
	default:
		err = errors.New("neither seal nor open")
	}
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(output)
	return err
}

func seal(params floe.FloeParams, key, aad, plain []byte) ([]byte, error) {
	encryptor, err := floe.NewFloeEncryptor(params, key, aad)
	if err != nil {
		return nil, err
	}
	output := append([]byte{}, encryptor.Header...)
	for len(plain) > params.PtSegLen() {
		segment, err := encryptor.EncryptSegment(plain[:params.PtSegLen()])
		if err != nil {
			return nil, err
		}
		output, plain = append(output, segment...), plain[params.PtSegLen():]
	}
	last, err := encryptor.EncryptLastSegment(plain)
	return append(output, last...), err
}

func open(params floe.FloeParams, key, aad, sealed []byte) ([]byte, error) {
	if len(sealed) < params.HeaderLen() {
		return nil, errors.New("shorter than a header")
	}
	decryptor, err := floe.NewFloeDecryptor(params, key, aad, sealed[:params.HeaderLen()])
	if err != nil {
		return nil, err
	}
	output := []byte{}
	for rest := sealed[params.HeaderLen():]; ; {
		if len(rest) >= 4 && rest[0] == 255 && rest[1] == 255 && rest[2] == 255 && rest[3] == 255 {
			if len(rest) < int(params.EncSegLen) {
				return nil, errors.New("cut inside a segment")
			}
			plain, err := decryptor.DecryptSegment(rest[:params.EncSegLen])
			if err != nil {
				return nil, err
			}
			output, rest = append(output, plain...), rest[params.EncSegLen:]
			continue
		}
		plain, err := decryptor.DecryptLastSegment(rest)
		return append(output, plain...), err
	}
}
