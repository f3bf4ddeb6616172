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

func TestAnAddressOfIPv4IsOfIPv4Alone(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"0.0.0.0:0": "tcp4", "127.0.0.1:7080": "tcp4", "[::]:0": "tcp", "[::1]:0": "tcp", ":0": "tcp", "localhost:0": "tcp",
	} {
		if got := network(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
