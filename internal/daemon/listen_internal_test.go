package daemon

import (
	"net"
	"testing"
)

func TestCommandsGetAnAddressThatTheyCanReach(t *testing.T) {
	t.Parallel()
	for listens, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", "192.0.2.1:80": "192.0.2.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "[::1]:80",
	} {
		addr, err := net.ResolveTCPAddr("tcp", listens)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(addr); got != want {
			t.Errorf("%s: %s, want %s", listens, got, want)
		}
	}
}
