// Checks a log by Go's own transparency log and note packages, which know nothing of Parapet: its signed head, its tiles, its
// entry bundles, a proof file and a kept head.
//
//	tlog-check URL KEY PROOF KEPT-HEAD
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Println("REFUSED:", err)
		os.Exit(1)
	}
}

func get(url string) []byte {
	response, err := http.Get(url)
	check(err)
	defer response.Body.Close()
	if response.StatusCode != 200 {
		check(fmt.Errorf("%s: %s", url, response.Status))
	}
	body, err := io.ReadAll(response.Body)
	check(err)
	return body
}

// head opens a signed checkpoint.
func head(signed []byte, verifiers note.Verifiers) (tlog.Tree, int) {
	opened, err := note.Open(signed, verifiers)
	check(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	check(err)
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree, len(opened.Sigs)
}

// tiles reads them where C2SP's tlog-tiles has them: without the height in the path.
type tiles struct {
	base string
	read int
}

func (t *tiles) Height() int { return 8 }

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		all = append(all, get(t.base+"/tile/"+strings.TrimPrefix(tile.Path(), "tile/8/")))
		t.read++
	}
	return all, nil
}

func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// cosigner verifies the signatures of witnesses, which Go's package does not know.
type cosigner struct {
	name string
	key  ed25519.PublicKey
}

func (c cosigner) Name() string { return c.name }

func (c cosigner) KeyHash() uint32 {
	hash := sha256.Sum256(append([]byte(c.name+"\n\x04"), c.key...))
	return binary.BigEndian.Uint32(hash[:4])
}

func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig[:8]), msg)
	return ed25519.Verify(c.key, []byte(message), sig[8:])
}

func verifier(key string) note.Verifier {
	parts := strings.SplitN(key, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	check(err)
	if raw[0] == 4 {
		return cosigner{parts[0], raw[1:]}
	}
	plain, err := note.NewVerifier(key)
	check(err)
	return plain
}

func main() {
	base, keys, proofPath, keptPath := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	var known []note.Verifier
	for _, key := range strings.Split(keys, ",") {
		known = append(known, verifier(key))
	}
	verifiers := note.VerifierList(known...)

	tree, signatures := head(get(base+"/checkpoint"), verifiers)
	source := &tiles{base: base}
	reader := tlog.TileHashReader(tree, source)

	// Every entry of every bundle has the leaf that the verified tiles have.
	var entries int64
	for entries < tree.N {
		bundle, width := entries/256, tree.N-entries
		if width > 256 {
			width = 256
		}
		tile := tlog.Tile{H: 8, L: 0, N: bundle, W: int(width)}
		data := get(base + "/tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/0/"))
		for ; len(data) > 0; entries++ {
			length := int(binary.BigEndian.Uint16(data))
			leaf := tlog.RecordHash(data[2 : 2+length])
			data = data[2+length:]
			hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, entries)})
			check(err)
			if hashes[0] != leaf {
				check(fmt.Errorf("entry %d is not the leaf of the tree", entries))
			}
		}
	}

	// A proof file, and the proof that Go makes of the same.
	file, err := os.ReadFile(proofPath)
	check(err)
	halves := bytes.SplitN(file, []byte("\n\n"), 2)
	lines := strings.Split(string(halves[0]), "\n")
	var entry []byte
	rest := lines[1:]
	if strings.HasPrefix(rest[0], "extra ") {
		entry, err = base64.StdEncoding.DecodeString(rest[0][6:])
		check(err)
		rest = rest[1:]
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(rest[0], "index "), 10, 64)
	check(err)
	var path tlog.RecordProof
	for _, line := range rest[1:] {
		raw, err := base64.StdEncoding.DecodeString(line)
		check(err)
		var hash tlog.Hash
		copy(hash[:], raw)
		path = append(path, hash)
	}
	under, _ := head(halves[1], verifiers)
	check(tlog.CheckRecord(path, under.N, under.Hash, index, tlog.RecordHash(entry)))
	made, err := tlog.ProveRecord(under.N, index, reader)
	check(err)
	if fmt.Sprint(made) != fmt.Sprint(path) {
		check(fmt.Errorf("the proof is another than Go's"))
	}

	// The log goes on from the head that was kept.
	signed, err := os.ReadFile(keptPath)
	check(err)
	kept, _ := head(signed, verifiers)
	consistency, err := tlog.ProveTree(tree.N, kept.N, reader)
	check(err)
	check(tlog.CheckTree(consistency, tree.N, tree.Hash, kept.N, kept.Hash))

	fmt.Printf("accepted: %d entries, %d tiles, %d signatures, entry %d, goes on from %d\n", entries, source.read, signatures, index, kept.N)
}
