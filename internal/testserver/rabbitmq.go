package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// RabbitMQ is a private RabbitMQ server with the management plugin, and the Erlang port mapper that it registers with.
type RabbitMQ struct {
	URL           string // amqp://guest:guest@127.0.0.1:PORT, without a virtual host
	ManagementURL string // http://guest:guest@127.0.0.1:PORT

	program string
	dir     string
	env     []string
	epmd    *child
	server  *child
	remove  func() error
}

// ports of one server, all on loopback.
type ports struct{ epmd, amqp, distribution, management int }

func freePorts() (p ports, err error) {
	for _, port := range []*int{&p.epmd, &p.amqp, &p.distribution, &p.management} {
		if *port, err = FreePort(); err != nil {
			return p, err
		}
	}
	return p, nil
}

// StartRabbitMQ makes a node in a new temporary directory and serves it.
func StartRabbitMQ() (r *RabbitMQ, err error) {
	// The command on the PATH changes to the user rabbitmq, who could not use our directory; this one does not.
	program, err := find("rabbitmq-server", "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
	if err != nil {
		return nil, err
	}
	epmd, err := find("epmd")
	if err != nil {
		return nil, err
	}
	p, err := freePorts()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "attune-rabbitmq-*")
	if err != nil {
		return nil, err
	}
	r = &RabbitMQ{
		URL: "amqp://guest:guest@" + address(p.amqp), ManagementURL: "http://guest:guest@" + address(p.management),
		program: program, dir: dir, remove: removal(dir),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Stop())
		}
	}()
	if err := r.configure(p); err != nil {
		return r, err
	}
	mapper := exec.CommandContext(context.Background(), epmd, "-port", strconv.Itoa(p.epmd), "-address", "127.0.0.1")
	if r.epmd, err = spawn(mapper, filepath.Join(dir, "epmd.log")); err != nil {
		return r, err
	}
	return r, r.Start()
}

// configure writes the node's files and its environment.
func (r *RabbitMQ) configure(p ports) error {
	files := map[string]string{
		"rabbitmq.conf": fmt.Sprintf("listeners.tcp.default = 127.0.0.1:%d\n"+
			"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %d\n"+
			"collect_statistics_interval = 1000\nlog.console = false\n"+
			// The disk of a test machine may be small, and that is not what is tested.
			"disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.absolute = 1GB\n", p.amqp, p.management),
		// Quorum queues begin with a log of 512 MB otherwise.
		"advanced.config": "[{ra, [{wal_max_size_bytes, 67108864}]}].\n",
		"enabled_plugins": "[rabbitmq_management].\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	in := func(name string) string { return filepath.Join(r.dir, name) }
	loopback := "-kernel inet_dist_use_interface {127,0,0,1}"
	r.env = []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + r.dir,
		"ERL_EPMD_ADDRESS=127.0.0.1", fmt.Sprint("ERL_EPMD_PORT=", p.epmd),
		fmt.Sprintf("RABBITMQ_NODENAME=attune-%d@localhost", p.amqp),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", fmt.Sprint("RABBITMQ_NODE_PORT=", p.amqp), fmt.Sprint("RABBITMQ_DIST_PORT=", p.distribution),
		"RABBITMQ_MNESIA_BASE=" + in("mnesia"), "RABBITMQ_LOG_BASE=" + in("log"), "RABBITMQ_PID_FILE=" + in("pid"),
		"RABBITMQ_CONFIG_FILE=" + in("rabbitmq.conf"), "RABBITMQ_ADVANCED_CONFIG_FILE=" + in("advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + in("enabled_plugins"), "RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_GENERATED_CONFIG_DIR=" + in("generated"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + loopback + " -start_epmd false", "RABBITMQ_CTL_ERL_ARGS=" + loopback,
		// The script then becomes the server, instead of waiting for it as its child.
		"RABBITMQ_ALLOW_INPUT=true",
	}
	return nil
}

// Start serves the node again after Halt or Kill, at the same addresses.
func (r *RabbitMQ) Start() error {
	serve := exec.CommandContext(context.Background(), r.program, "-noinput")
	serve.Dir, serve.Env = r.dir, r.env
	var err error
	if r.server, err = spawn(serve, filepath.Join(r.dir, "output")); err != nil {
		return err
	}
	return r.server.await("RabbitMQ", r.answers)
}

// answers tells whether the node serves both protocols: the management listener is the last one to start.
func (r *RabbitMQ) answers(ctx context.Context) error {
	return answersOK(ctx, r.ManagementURL+"/api/health/checks/virtual-hosts")
}

// Halt ends the server in good order; the data stays.
func (r *RabbitMQ) Halt() { r.server.end(syscall.SIGTERM) }

// Kill ends the server as a crash does.
func (r *RabbitMQ) Kill() { r.server.end(syscall.SIGKILL) }

// Stop ends the server and its port mapper and removes their files.
func (r *RabbitMQ) Stop() error {
	r.Halt()
	r.epmd.end(syscall.SIGKILL) // it keeps nothing
	return r.remove()
}
