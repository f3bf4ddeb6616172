package api

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/attune-automation/attune"
)

// burstSeconds is for how long's worth of requests may come at once.
const burstSeconds = 2

// keptLimiters bounds how many tokens, and how many addresses, are told apart. Those that were seen longest ago are
// forgotten first: they have all that they may again.
const keptLimiters = 10_000

// limiters let each of many do something so often.
type limiters[K comparable] struct {
	kept  *lru.Cache[K, *rate.Limiter]
	limit rate.Limit
	burst int
}

// newLimiters returns limiters of so many a second; 0 is any number.
func newLimiters[K comparable](perSecond int) limiters[K] {
	kept, err := lru.New[K, *rate.Limiter](keptLimiters)
	if err != nil {
		panic(err) // only for a size below 1
	}
	l := limiters[K]{kept: kept, limit: rate.Limit(perSecond), burst: burstSeconds * perSecond}
	if perSecond == 0 {
		l.limit = rate.Inf
	}
	return l
}

// of returns the limiter of one.
func (l limiters[K]) of(one K) *rate.Limiter {
	if limiter, ok := l.kept.Get(one); ok {
		return limiter
	}
	made := rate.NewLimiter(l.limit, l.burst)
	if before, ok, _ := l.kept.PeekOrAdd(one, made); ok {
		return before
	}
	return made
}

// spend does it once, or tells when it may be done again.
func (l limiters[K]) spend(one K) (wait time.Duration) {
	if l.limit == rate.Inf {
		l.of(one)
		return 0
	}
	reserved := l.of(one).Reserve()
	if wait = reserved.Delay(); wait > 0 {
		reserved.Cancel()
	}
	return wait
}

// exhausted tells when one may do it again, 0 if that is now.
func (l limiters[K]) exhausted(one K) (wait time.Duration) {
	if left := l.of(one).Tokens(); l.limit != rate.Inf && left < 1 {
		wait = time.Duration((1 - left) / float64(l.limit) * float64(time.Second))
	}
	return wait
}

// gate bounds how often tokens may be used, and how often somebody may try one that is not known.
type gate struct {
	tokens  limiters[[sha256.Size]byte] // of those that have let somebody in
	guesses limiters[netip.Prefix]
	proxied bool // addresses are what the proxy says
}

func newGate(cfg Config) gate {
	return gate{newLimiters[[sha256.Size]byte](cfg.RateLimit), newLimiters[netip.Prefix](cfg.GuessLimit), cfg.BehindProxy}
}

// bars tells for how long a token is not even looked up: one that has let somebody in is used too often, or, if it has not,
// too many that are not known came from the same address. One that is known is no guess.
func (g gate) bars(token [sha256.Size]byte, from netip.Prefix) (wait time.Duration, known bool) {
	if g.tokens.kept.Contains(token) {
		return g.tokens.spend(token), true
	}
	return g.guesses.exhausted(from), false
}

// refused notes a token that has let nobody in. One that did so before, and is over, is no guess either.
func (g gate) refused(token [sha256.Size]byte, from netip.Prefix, why error) {
	g.tokens.kept.Remove(token)
	var unknown unknownTokenError
	if errors.As(why, &unknown) {
		g.guesses.spend(from)
	}
}

// unknownTokenError is for a token that may be a guess.
type unknownTokenError struct{ told *attune.Error }

// Error returns what the client is told.
func (e unknownTokenError) Error() string { return e.told.Error() }

// Unwrap returns the same with its code.
func (e unknownTokenError) Unwrap() error { return e.told }

func unknownToken(message string) error {
	return unknownTokenError{attune.Errorf(attune.CodeNoToken, "%s", message)}
}

// address is where a request comes from: of IPv6 the network, in which a host has as many addresses as it likes.
func (g gate) address(r *http.Request) netip.Prefix {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if forwarded := r.Header.Values("X-Forwarded-For"); g.proxied && len(forwarded) > 0 {
		// The last one is the proxy's own word; those before are what it was told.
		all := strings.Split(forwarded[len(forwarded)-1], ",")
		host = strings.TrimSpace(all[len(all)-1])
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	address = address.Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(address, bits).Masked()
}

// errGuesses is why tokens are refused that may be good.
var errGuesses = errors.New("too many tokens that are not known")

// barred refuses a request that may be made again after some time, and returns whether it has.
func (a *API) barred(w http.ResponseWriter, token [sha256.Size]byte, from netip.Prefix) bool {
	wait, known := a.gate.bars(token, from)
	if wait == 0 {
		return false
	}
	message := fmt.Sprintf("the token is used more than %d times a second, which is server.rate_limit: try again later", a.cfg.RateLimit)
	if !known {
		a.guessing.Warn("tokens are tried that are not known: what comes from there is refused for a moment", errGuesses, "address", from)
		message = "too many tokens that are not known came from your address: try again later"
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	_ = writeProblem(w, http.StatusTooManyRequests, message) // the client has gone
	return true
}
