package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/attune-automation/attune"
)

func (a *app) workerCommand() *cobra.Command {
	cmd := group("worker", "Show and steer workers", []string{"workers"},
		a.workerList(), a.workerShow(),
		a.workerChange("cordon", "Give a worker nothing new"),
		a.workerChange("uncordon", "Give a worker work again"),
		a.workerChange("drain", "Give a worker nothing new, and end it when what it runs has ended"),
	)
	cmd.Short = "Run a worker, on PostgreSQL and RabbitMQ, until stopped; show and steer workers"
	cmd.Long = "`attune worker` alone runs a worker, on PostgreSQL and RabbitMQ, until it is stopped or drained.\n" +
		"The commands below it show and steer workers."
	cmd.Flags().StringVar(&a.flags.workerName, "name", "", "the worker's name, instead of worker.name")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runWorker(cmd.Context()) }
	return cmd
}

func (a *app) workerList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List workers", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				workers, err := c.Workers(ctx)
				if err != nil {
					return err
				}
				return a.show(pageOf(workers, ""), func(w io.Writer) error {
					var rows [][]string
					for _, each := range workers {
						rows = append(rows, []string{
							strconv.FormatInt(each.ID, 10), each.Name, workerStatus(each), slotsText(each), runtimesText(each), ago(each.LastHeartbeat),
						})
					}
					return table(w, []string{"ID", "NAME", "STATUS", "SLOTS", "RUNTIMES", "HEARTBEAT"}, rows)
				})
			})
		},
	}
}

// workerStatus is a worker's status, with what keeps it from taking anything new while it is active.
func workerStatus(w attune.Worker) string {
	if len(w.ShortOf) == 0 {
		return string(w.Status)
	}
	return string(w.Status) + ", short of " + attune.ShortOfText(w.ShortOf)
}

func shortageText(s attune.Shortage) string {
	amount := func(n int64) string { return strconv.FormatInt(n, 10) }
	if s.Resource == attune.ResourceDisk || s.Resource == attune.ResourceMemory {
		amount = bytesText
	}
	return fmt.Sprintf("%s of %s: %s were free, worker.min_free.%s is %s", attune.ShortOfText([]attune.Shortage{s}), s.Where, amount(s.Free), s.Resource, amount(s.Least))
}

func slotsText(w attune.Worker) string { return fmt.Sprintf("%d/%d", w.SlotsUsed, w.Slots) }

func runtimesText(w attune.Worker) string {
	var names []string
	for _, r := range w.Runtimes {
		names = append(names, r.Name+" "+r.Version)
	}
	return strings.Join(names, ", ")
}

func (a *app) workerShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME|ID", Short: "Show one worker", Args: exactArgs(1, "one worker's name or id"), ValidArgsFunction: a.completeWorker,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				w, err := c.Worker(ctx, args[0])
				if err != nil {
					return err
				}
				return a.show(w, func(out io.Writer) error { return workerText(out, w) })
			})
		},
	}
}

func workerText(out io.Writer, w attune.Worker) error {
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(w.Labels)) {
		labels = append(labels, name+"="+w.Labels[name])
	}
	var short []string
	for _, s := range w.ShortOf {
		short = append(short, shortageText(s))
	}
	return fields(out,
		"id", strconv.FormatInt(w.ID, 10), "name", w.Name, "status", workerStatus(w), "short of", strings.Join(short, "; "),
		"incarnation", strconv.FormatInt(w.Incarnation, 10), "type", w.Type, "host", w.Host,
		"slots", slotsText(w)+" in use", "labels", strings.Join(labels, " "), "runtimes", runtimesText(w),
		"last heartbeat", stamp(&w.LastHeartbeat))
}

func (a *app) workerChange(verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME|ID", Short: short, Args: exactArgs(1, "one worker's name or id"), ValidArgsFunction: a.completeWorker,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *connection) error {
				w, err := c.SetWorker(ctx, args[0], verb)
				if err != nil {
					return err
				}
				return a.show(w, func(out io.Writer) error {
					_, err := fmt.Fprintf(out, "worker %s is %s\n", w.Name, w.Status)
					return err
				})
			})
		},
	}
}
