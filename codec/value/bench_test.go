package value_test

import (
	"encoding/json"
	"testing"

	"github.com/heddle-go/heddle"
	"github.com/heddle-go/heddle/codec/value"
)

// offer has the fields of heddle.Offer, which has generated methods.
type offer struct {
	Features [][]byte `msg:"features" json:"features"`
	Version  []byte   `msg:"version" json:"version"`
	Channel  uint64   `msg:"channel" json:"channel"`
	Frame    uint64   `msg:"frame" json:"frame"`
	PID      uint64   `msg:"pid" json:"pid"`
	Name     []byte   `msg:"name" json:"name"`
	Kind     []byte   `msg:"kind" json:"kind"`
}

// textOffer is offer with text, which encoding/json does not turn into base64.
type textOffer struct {
	Features []string `json:"features"`
	Version  string   `json:"version"`
	Channel  uint64   `json:"channel"`
	Frame    uint64   `json:"frame"`
	PID      uint64   `json:"pid"`
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`
}

func BenchmarkStruct(b *testing.B) {
	ours := &offer{[][]byte{[]byte("window"), []byte("files")}, []byte("1.2.3"), 1, 16 << 20, 12345, []byte("name"), []byte("kind")}
	generated := &heddle.Offer{Features: []heddle.Raw{heddle.Raw("window"), heddle.Raw("files")}, Version: heddle.Raw("1.2.3"), Channel: 1, Frame: 16 << 20, PID: 12345,
		Name: heddle.Raw("name"), Kind: heddle.Raw("kind")}
	texts := &textOffer{[]string{"window", "files"}, "1.2.3", 1, 16 << 20, 12345, "name", "kind"}
	p, err := value.Options{Old: true}.Append(nil, ours)
	if err != nil {
		b.Fatal(err)
	}
	j, err := json.Marshal(texts)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 512)
	var o offer
	var g heddle.Offer
	var s textOffer
	var natural any
	for _, row := range []struct {
		name string
		f    func() error
	}{
		{"append/value", func() error { _, err := value.Append(dst, ours); return err }},
		{"append/generated", func() error { _, err := generated.MarshalMsg(dst); return err }},
		{"append/json", func() error { _, err := json.Marshal(texts); return err }},
		{"decode/value", func() error { _, err := value.Decode(p, &o, value.Limits{}); return err }},
		{"decode/generated", func() error { _, err := g.UnmarshalMsg(p); return err }},
		{"decode/json", func() error { return json.Unmarshal(j, &s) }},
		{"decode any/value", func() error { _, err := value.Decode(p, &natural, value.Limits{}); return err }},
		{"decode any/json", func() error { return json.Unmarshal(j, &natural) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := row.f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
