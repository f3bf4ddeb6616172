package secret_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/attune-automation/attune/internal/secret"
)

// passwords returns n random values of 20 to 40 characters.
func passwords(n int) [][]byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!"
	random := rand.New(rand.NewPCG(1, 2))
	var all [][]byte
	for range n {
		value := make([]byte, 20+random.IntN(21))
		for i := range value {
			value[i] = letters[random.IntN(len(letters))]
		}
		all = append(all, value)
	}
	return all
}

// logs returns a text like that of a service: plain lines, JSON lines, some of them with JSON or a path in a string, a
// stack trace, hashes, and a token.
func logs(size int) []byte {
	random := rand.New(rand.NewPCG(3, 4))
	var out bytes.Buffer
	for i := 0; out.Len() < size; i++ {
		fmt.Fprintf(&out, "2026-11-27T08:%02d:%02d.%03dZ INFO  [worker-%d] request %016x done in %d ms, %d rows of table orders\n",
			i/60%60, i%60, i%1000, i%16, random.Uint64(), random.IntN(900), random.IntN(5000))
		fmt.Fprintf(&out, `{"time":"2026-11-27T08:00:00Z","level":"info","msg":"GET /api/v1/items?page=%d&q=a%%20b","status":200,"bytes":%d}`+"\n",
			random.IntN(99), random.IntN(1<<20))
		switch i % 20 {
		case 5:
			out.WriteString("Traceback (most recent call last):\n  File \"/srv/app/main.py\", line 312, in <module>\n    run(config)\n")
		case 10:
			fmt.Fprintf(&out, `{"msg":"got {\"id\": %d, \"state\": \"ready\"}\n"}`+"\n", i)
		case 15:
			token := make([]byte, 60)
			for j := range token {
				token[j] = byte(random.Uint32())
			}
			fmt.Fprintf(&out, "cache key %s\n", base64.StdEncoding.EncodeToString(token))
		}
	}
	return out.Bytes()[:size]
}

func BenchmarkMasker(b *testing.B) {
	text := logs(1 << 20)
	for _, n := range []int{1, 20, 100} {
		b.Run(fmt.Sprintf("secrets=%d", n), func(b *testing.B) { bench(b, text, 32<<10, passwords(n)...) })
	}
	b.Run("secrets=20/lines", func(b *testing.B) { bench(b, text, 100, passwords(20)...) })
	b.Run("secrets=20/present", func(b *testing.B) {
		values := passwords(20)
		bench(b, bytes.ReplaceAll(text, []byte("INFO"), values[7]), 32<<10, values...)
	})
}

// BenchmarkHostile is over text that is made to be slow.
func BenchmarkHostile(b *testing.B) {
	near := strings.Repeat("a", 1<<20)
	for name, test := range map[string]struct{ text, value string }{
		"near":      {near, "aaaaaaaab"},
		"near-long": {near, strings.Repeat("a", 1<<16-1) + "b"},
		"percent":   {strings.Repeat("%", 1<<20), "aaaaaaaab"},
		"backslash": {strings.Repeat(`\`, 1<<20), "aaaaaaaab"},
		"base64":    {strings.Repeat("YWFh", 1<<18), strings.Repeat("a", 1<<10) + "b"},
		"blanks":    {strings.Repeat("a"+strings.Repeat(" ", 400), 1<<20/401), "aaaaaaaab"},
		"present":   {near, "aaaaaaaa"},
	} {
		b.Run(name, func(b *testing.B) { bench(b, []byte(test.text), 32<<10, []byte(test.value)) })
	}
	b.Run("near-long/bytewise", func(b *testing.B) { bench(b, []byte(near), 1, []byte(strings.Repeat("a", 1<<16-1)+"b")) })
}

func bench(b *testing.B, text []byte, size int, values ...[]byte) {
	b.Helper()
	m := secret.NewMasker(values...)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		w := m.Writer(io.Discard)
		for rest := text; len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewMasker(b *testing.B) {
	for _, test := range []struct{ values, size int }{{20, 32}, {100, 64 << 10}} {
		b.Run(fmt.Sprintf("%dx%d", test.values, test.size), func(b *testing.B) {
			random := rand.New(rand.NewPCG(5, 6))
			var values [][]byte
			for range test.values {
				value := make([]byte, test.size)
				for i := range value {
					value[i] = byte(33 + random.IntN(90))
				}
				values = append(values, value)
			}
			b.ReportAllocs()
			for b.Loop() {
				secret.NewMasker(values...)
			}
		})
	}
}
