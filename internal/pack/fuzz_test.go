package pack_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune-automation/attune/internal/pack"
	"github.com/attune-automation/attune/packs"
)

// FuzzRead: no text is too odd for the reader, and what it accepts survives an archive.
func FuzzRead(f *testing.F) {
	for _, c := range malformedPackFiles() {
		f.Add(c.text, action)
	}
	for _, c := range malformedActionFiles() {
		f.Add(goodPack, c.text)
	}
	for _, c := range malformedActionKeys() {
		f.Add(goodPack, action+c.text)
	}
	for _, c := range malformedSchemas() {
		f.Add(goodPack, action+"parameters: {x: "+c.text+"}\n")
		f.Add(goodPack, action+"parameters: {type: object, properties: {x: "+c.text+"}}\n")
		f.Add(goodPack, action+"output: {x: "+c.text+"}\n")
	}
	f.Fuzz(func(t *testing.T, packText, actionText string) {
		fsys := files("pack.yaml", packText, "actions/a.yaml", actionText)
		read, err := pack.Read(fsys)
		if err != nil {
			if len(detailsOf(t, err)) == 0 {
				t.Errorf("no detail: %v", err)
			}
			return
		}
		archive, digest, err := pack.Archive(fsys)
		if err != nil {
			t.Fatal(err)
		}
		loaded, kept, err := pack.Load(archive)
		if err != nil || !bytes.Equal(kept, archive) || loaded.Digest != digest {
			t.Fatalf("accepted, but not from its archive: %v", err)
		}
		read.Digest = digest
		for i := range read.Actions {
			read.Actions[i].Digest = digest
			checkSchemas(t, read.Actions[i].Parameters, read.Actions[i].Output)
		}
		if diff := cmp.Diff(read, loaded); diff != "" {
			t.Error(diff)
		}
	})
}

// checkSchemas: what was accepted compiles again and takes a look at a value without a panic.
func checkSchemas(t *testing.T, parameters, output json.RawMessage) {
	t.Helper()
	s, err := pack.Compile(parameters)
	if err != nil {
		t.Fatalf("%s: %v", parameters, err)
	}
	if merged, err := s.Parameters(nil, 0); err == nil {
		if again, err := s.Parameters(merged, 0); err != nil || !bytes.Equal(merged, again) {
			t.Fatalf("%s: %s became %s, %v", parameters, merged, again, err)
		}
	}
	if output == nil {
		return
	}
	s, err = pack.Compile(output)
	if err != nil {
		t.Fatalf("%s: %v", output, err)
	}
	if err := s.CheckResult(json.RawMessage(`{"x":1}`)); err != nil {
		detailsOf(t, err)
	}
}

// FuzzOpenArchive: no bytes are too odd for an archive, and what is opened can be archived again.
func FuzzOpenArchive(f *testing.F) {
	core, err := packs.Core()
	if err != nil {
		f.Fatal(err)
	}
	archive, _, err := pack.Archive(core)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(archive)
	f.Add(archive[:len(archive)/2])
	f.Add([]byte{})
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	f.Fuzz(func(t *testing.T, archive []byte) {
		opened, err := pack.Open(archive)
		if err != nil {
			return
		}
		again, digest, err := pack.Archive(opened)
		if err != nil {
			detailsOf(t, err)
			return
		}
		reopened, err := pack.Open(again)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := pack.Digest(reopened); err != nil || same != digest {
			t.Fatalf("digest %s became %s, %v", digest, same, err)
		}
	})
}

// FuzzParameters: no JSON is too odd for a schema, and what is accepted stays as it is.
func FuzzParameters(f *testing.F) {
	for _, given := range []string{
		`{}`, `{"name":"a"}`, `{"name":"a","count":1e2,"server":{},"hosts":[{}]}`, `{"name":"a","count":1e999999999}`,
		`{"name":"\u0000\ud800"}`, `{"name":"a","server":{"port":"x"}}`, `[[[[`, `{"a":1,"a":2}`, "\xff", `-0`,
	} {
		f.Add(server, given)
		f.Add(`{"type":"object"}`, given)
		f.Add(`{"properties":{"count":{"multipleOf":0.1,"type":"integer"}}}`, given)
	}
	f.Fuzz(func(t *testing.T, schema, given string) {
		once, err := pack.Parameters(json.RawMessage(schema), json.RawMessage(given), 0)
		if err != nil {
			detailsOf(t, err)
			return
		}
		twice, err := pack.Parameters(json.RawMessage(schema), once, 0)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s, %v", once, twice, err)
		}
	})
}
