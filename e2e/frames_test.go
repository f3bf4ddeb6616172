package e2e_test

import (
	"bufio"
	"bytes"
	encoding "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/attune-automation/attune/internal/broker"
)

// fate is what becomes of a message on its way from RabbitMQ to a process.
type fate int

const (
	arrives fate = iota
	isLost       // RabbitMQ has sent it, and nobody gets it
	isLate       // it waits for release
)

// frameWire is the wire of a process to RabbitMQ: it speaks AMQP 0-9-1, in which every frame is a type, a channel, a
// size, so many bytes, and 0xCE.
type frameWire struct {
	*wire
	url string

	mu       sync.Mutex
	prefix   string // of the routing keys of messages that have a fate of their own
	fate     fate
	arrived  map[string]int // by routing key
	lost     []string       // routing keys
	late     []*parcel
	acked    map[string]bool      // the correlation ids of what the process has acknowledged
	consumed map[string]consuming // by the queue's name: how it is consumed now
}

// parcel is a delivery: its frames, and where they go.
type parcel struct {
	key    string
	frames []byte
	body   []byte
	size   uint64 // of the whole body
	headed bool   // size is known
	to     *voice
}

// correlation is the correlation id of its message.
func (p *parcel) correlation() string {
	envelope, err := broker.Decode(p.body)
	if err != nil {
		return err.Error()
	}
	return envelope.CorrelationID
}

// consuming is a consumer of a process, as it has told RabbitMQ.
type consuming struct {
	channel   uint16
	tag       string
	to, heard *voice // RabbitMQ, and the process
}

// voice says whole frames to one side of a call.
type voice struct {
	mu sync.Mutex
	to net.Conn
}

func (v *voice) say(frames []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, err := v.to.Write(frames)
	return err
}

func newFrameWire(t *testing.T, server string) *frameWire {
	t.Helper()
	w := &frameWire{arrived: map[string]int{}, acked: map[string]bool{}, consumed: map[string]consuming{}}
	w.wire = newWire(t, parseURL(t, server).Host, w.relay)
	w.url = w.through(t, server).String()
	return w
}

func (w *frameWire) relay(c *call) {
	process, server := &voice{to: c.client}, &voice{to: c.server}
	var fromServer sync.WaitGroup
	tags := &tags{open: map[string]*parcel{}}
	fromServer.Go(func() {
		defer c.end()
		_ = w.fromServer(c.server, process, tags) // whatever ended it, the call is over
	})
	_ = w.fromProcess(c.client, server, process, tags)
	c.end()
	fromServer.Wait()
}

const (
	methodFrame = 1
	headerFrame = 2

	basicConsume = "\x00\x3c\x00\x14"
	basicCancel  = "\x00\x3c\x00\x1e"
	basicDeliver = "\x00\x3c\x00\x3c"
	basicAck     = "\x00\x3c\x00\x50"
)

// frame is one, with all its bytes.
type frame []byte

func readFrame(from io.Reader) (frame, error) {
	var head [7]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	rest := make([]byte, encoding.BigEndian.Uint32(head[3:])+1)
	_, err := io.ReadFull(from, rest)
	return append(head[:], rest...), err
}

// method makes the frame of a method.
func method(channel uint16, name, arguments string) frame {
	f := encoding.BigEndian.AppendUint16([]byte{methodFrame}, channel)
	f = encoding.BigEndian.AppendUint32(f, uint32(len(name+arguments)))
	return append(f, name+arguments+"\xce"...)
}

func (f frame) channel() uint16 { return encoding.BigEndian.Uint16(f[1:]) }

func (f frame) is(name string) bool {
	return f[0] == methodFrame && bytes.HasPrefix(f[7:], []byte(name))
}

// word skips so many bytes of a method's arguments and returns the short string that follows, and what is after it.
func word(arguments []byte, skip int) (word string, rest []byte) {
	arguments = arguments[skip:]
	size := int(arguments[0])
	return string(arguments[1 : 1+size]), arguments[1+size:]
}

// tags are the deliveries of one call that the process has not acknowledged, by channel and delivery tag.
type tags struct {
	mu   sync.Mutex
	open map[string]*parcel
}

func tag(channel uint16, number []byte) string { return fmt.Sprintf("%d %x", channel, number) }

func (t *tags) put(tag string, p *parcel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[tag] = p
}

func (t *tags) get(tag string) (*parcel, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.open[tag]
	return p, ok
}

func (w *frameWire) fromProcess(from io.Reader, server, process *voice, tags *tags) error {
	in := bufio.NewReader(from)
	greeting := make([]byte, len("AMQP\x00\x00\x09\x01"))
	_, err := io.ReadFull(in, greeting)
	err = errors.Join(err, server.say(greeting))
	for err == nil {
		var f frame
		if f, err = readFrame(in); err != nil {
			break
		}
		err = server.say(f)
		w.mu.Lock()
		switch {
		case f.is(basicAck):
			if p, ok := tags.get(tag(f.channel(), f[11:19])); ok {
				w.acked[p.correlation()] = true
			}
		case f.is(basicConsume):
			queue, rest := word(f[11:], 2)
			consumer, _ := word(rest, 0)
			w.consumed[queue] = consuming{f.channel(), consumer, server, process}
		}
		w.mu.Unlock()
	}
	return err
}

func (w *frameWire) fromServer(from io.Reader, process *voice, tags *tags) error {
	in := bufio.NewReader(from)
	open := map[uint16]*parcel{} // by channel
	for {
		f, err := readFrame(in)
		if err != nil {
			return err
		}
		p := open[f.channel()]
		if f.is(basicDeliver) {
			_, rest := word(f[11:], 0)
			number := rest[:8]
			_, rest = word(rest, 9) // after the number, a flag and the exchange, the key
			key, _ := word(rest, 0)
			p = &parcel{key: key, to: process}
			tags.put(tag(f.channel(), number), p)
			open[f.channel()] = p
		}
		if p == nil {
			if err := process.say(f); err != nil {
				return err
			}
			continue
		}
		if p.add(f) {
			delete(open, f.channel())
			if err := w.deliver(p); err != nil {
				return err
			}
		}
	}
}

// add adds a frame, and tells whether the parcel is whole.
func (p *parcel) add(f frame) bool {
	p.frames = append(p.frames, f...)
	switch {
	case f[0] == headerFrame:
		p.size, p.headed = encoding.BigEndian.Uint64(f[11:]), true
	case p.headed:
		p.body = append(p.body, f[7:len(f)-1]...)
	}
	return p.headed && uint64(len(p.body)) == p.size
}

func (w *frameWire) deliver(p *parcel) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.fate == isLost && strings.HasPrefix(p.key, w.prefix):
		w.lost = append(w.lost, p.key)
		return nil
	case w.fate == isLate && strings.HasPrefix(p.key, w.prefix):
		w.late = append(w.late, p)
		return nil
	}
	w.arrived[p.key]++
	return p.to.say(p.frames)
}

// let gives the messages whose routing keys begin so a fate, and no others.
func (w *frameWire) let(prefix string, f fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.prefix, w.fate, w.lost = prefix, f, nil
}

// release lets these late messages arrive, in this order, and from now on others as they come.
func (w *frameWire) release(order ...int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range order {
		w.arrived[w.late[i].key]++
		_ = w.late[i].to.say(w.late[i].frames)
		w.late[i] = nil
	}
	w.late = slices.DeleteFunc(w.late, func(p *parcel) bool { return p == nil })
	w.fate = arrives
}

// forget drops the late messages, whose channel is gone, and from now on lets others arrive.
func (w *frameWire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late, w.fate = nil, arrives
}

func (w *frameWire) countLate() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.late)
}

func (w *frameWire) countLost() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.lost)
}

func (w *frameWire) countArrived(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.arrived[key]
}

// hasAcked tells whether the process has acknowledged a message about an execution.
func (w *frameWire) hasAcked(id int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked[fmt.Sprint("execution-", id)]
}

func (w *frameWire) isConsumed(queue string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.consumed[queue]
	return ok
}

func (w *frameWire) consumer(queue string) consuming {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.consumed[queue]
}

// cancel tells the process in RabbitMQ's name that its consumer is cancelled, as when the leader of the queue moves.
func (c consuming) cancel(t *testing.T) {
	t.Helper()
	if err := c.heard.say(method(c.channel, basicCancel, string([]byte{byte(len(c.tag))})+c.tag+"\x01")); err != nil {
		t.Fatal(err)
	}
}

// offend acknowledges in the process's name what was never delivered: RabbitMQ closes the channel for it, as for a
// delivery that was held for too long.
func (c consuming) offend(t *testing.T) {
	t.Helper()
	if err := c.to.say(method(c.channel, basicAck, "\x00\x00\x00\x00\x00\x00\x27\x0f\x00")); err != nil {
		t.Fatal(err)
	}
}
