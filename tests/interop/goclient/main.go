// SPDX-License-Identifier: Apache-2.0

// Drives a daemon through containerd's own Go client. Each argument after the address is a case; it
// prints what went wrong and ends with status 1.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const imageName = "docker.io/library/demo:latest"

type run struct {
	ctx     context.Context
	client  *client.Client
	address string
	archive string
}

var cases = map[string]func(*run) error{
	"version":   version,
	"import":    importImage,
	"container": container,
	"exec":      exec,
	"events":    eventStream,
	"leases":    leaseLife,
	"content":   contentLife,
	"snapshots": snapshotLife,
	"reconnect": reconnect,
	"parallel":  parallel,
	"remove":    removeImage,
}

func main() {
	address, archive := os.Args[1], os.Args[2]
	for _, name := range os.Args[3:] {
		if err := runCase(name, address, archive); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

func runCase(name, address, archive string) error {
	function, ok := cases[name]
	if !ok {
		return errors.New("no such case")
	}
	c, err := client.New(address, client.WithTimeout(10*time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	ctx := namespaces.WithNamespace(context.Background(), os.Getenv("CONTAINERD_NAMESPACE"))
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	return function(&run{ctx, c, address, archive})
}

func equal[T comparable](what string, got, wanted T) error {
	if got != wanted {
		return fmt.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
	return nil
}

func version(r *run) error {
	v, err := r.client.Version(r.ctx)
	if err != nil {
		return err
	}
	if v.Version == "" {
		return errors.New("no version")
	}
	serving, err := r.client.IsServing(r.ctx)
	if err != nil {
		return err
	}
	if err := equal("serving", serving, true); err != nil {
		return err
	}
	info, err := r.client.Server(r.ctx)
	if err != nil {
		return err
	}
	return equal("length of the UUID", len(info.UUID), 36)
}

func importImage(r *run) error {
	f, err := os.Open(r.archive)
	if err != nil {
		return err
	}
	defer f.Close()
	images, err := r.client.Import(r.ctx, f)
	if err != nil {
		return err
	}
	if err := equal("images", len(images), 1); err != nil {
		return err
	}
	image := client.NewImageWithPlatform(r.client, images[0], platforms.Default())
	if err := image.Unpack(r.ctx, "overlayfs"); err != nil {
		return err
	}
	unpacked, err := image.IsUnpacked(r.ctx, "overlayfs")
	if err != nil {
		return err
	}
	if err := equal("unpacked", unpacked, true); err != nil {
		return err
	}
	size, err := image.Size(r.ctx)
	if err != nil || size <= 0 {
		return fmt.Errorf("size %d: %w", size, err)
	}
	return equal("name", image.Name(), imageName)
}

// create makes a container that runs the arguments; remove undoes it.
func (r *run) create(id string, args ...string) (client.Container, error) {
	image, err := r.client.GetImage(r.ctx, imageName)
	if err != nil {
		return nil, err
	}
	return r.client.NewContainer(r.ctx, id,
		client.WithNewSnapshot(id, image),
		client.WithNewSpec(oci.WithImageConfig(image), oci.WithProcessArgs(args...)))
}

// await starts what wait belongs to, and returns its exit code.
func await(exits <-chan client.ExitStatus, start func() error) (uint32, error) {
	if err := start(); err != nil {
		return 0, err
	}
	status := <-exits
	code, _, err := status.Result()
	return code, err
}

func container(r *run) error {
	c, err := r.create("go-1", "/bin/sh", "-c", "read line; echo got $line; echo err >&2; exit 17")
	if err != nil {
		return err
	}
	defer c.Delete(r.ctx, client.WithSnapshotCleanup)
	var out, errout bytes.Buffer
	task, err := c.NewTask(r.ctx, cio.NewCreator(cio.WithStreams(strings.NewReader("input\n"), &out, &errout)))
	if err != nil {
		return err
	}
	exits, err := task.Wait(r.ctx)
	if err != nil {
		return err
	}
	status, err := task.Status(r.ctx)
	if err != nil {
		return err
	}
	if err := equal("status", status.Status, client.Created); err != nil {
		return err
	}
	code, err := await(exits, func() error { return task.Start(r.ctx) })
	if err != nil {
		return err
	}
	deleted, err := task.Delete(r.ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		equal("exit code", code, 17), equal("code of Delete", deleted.ExitCode(), 17),
		equal("output", out.String(), "got input\n"), equal("error output", errout.String(), "err\n"))
}

func (r *run) sleeper(id string) (client.Container, client.Task, error) {
	c, err := r.create(id, "/bin/sleep", "1000")
	if err != nil {
		return nil, nil, err
	}
	task, err := c.NewTask(r.ctx, cio.NullIO)
	if err != nil {
		return c, nil, err
	}
	return c, task, task.Start(r.ctx)
}

func (r *run) stop(c client.Container, task client.Task) error {
	exits, err := task.Wait(r.ctx)
	if err != nil {
		return err
	}
	code, err := await(exits, func() error { return task.Kill(r.ctx, syscall.SIGKILL) })
	if err != nil {
		return err
	}
	if err := equal("exit code", code, 137); err != nil {
		return err
	}
	if _, err := task.Delete(r.ctx); err != nil {
		return err
	}
	return c.Delete(r.ctx, client.WithSnapshotCleanup)
}

func exec(r *run) error {
	c, task, err := r.sleeper("go-2")
	if err != nil {
		return err
	}
	spec, err := c.Spec(r.ctx)
	if err != nil {
		return err
	}
	process := *spec.Process
	process.Args = []string{"/bin/sh", "-c", "echo in exec; exit 3"}
	var out bytes.Buffer
	p, err := task.Exec(r.ctx, "e1", &process, cio.NewCreator(cio.WithStreams(nil, &out, io.Discard)))
	if err != nil {
		return err
	}
	exits, err := p.Wait(r.ctx)
	if err != nil {
		return err
	}
	code, err := await(exits, func() error { return p.Start(r.ctx) })
	if err != nil {
		return err
	}
	if _, err := p.Delete(r.ctx); err != nil {
		return err
	}
	if err := errors.Join(equal("exit code", code, 3), equal("output", out.String(), "in exec\n")); err != nil {
		return err
	}
	_, err = task.LoadProcess(r.ctx, "e1", nil)
	if err := equal("not found after delete", errdefs.IsNotFound(err), true); err != nil {
		return err
	}
	_, err = task.Delete(r.ctx)
	if err := equal("delete of a running task fails", err != nil, true); err != nil {
		return err
	}
	pids, err := task.Pids(r.ctx)
	if err != nil {
		return err
	}
	if err := equal("processes", len(pids), 1); err != nil {
		return err
	}
	if _, err := task.Metrics(r.ctx); err != nil {
		return err
	}
	if err := errors.Join(task.Pause(r.ctx), task.Resume(r.ctx)); err != nil {
		return err
	}
	return r.stop(c, task)
}

func eventStream(r *run) error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	got, failed := r.client.Subscribe(ctx, `topic~="^/tasks/"`)
	// The subscription stands when an event that is repeated until then arrives.
	go func() {
		for ctx.Err() == nil {
			c, err := r.create("go-3", "/bin/true")
			if err == nil {
				task, err := c.NewTask(ctx, cio.NullIO)
				if err == nil {
					exits, _ := task.Wait(ctx)
					await(exits, func() error { return task.Start(ctx) })
					task.Delete(ctx)
				}
				c.Delete(ctx, client.WithSnapshotCleanup)
			}
		}
	}()
	seen := map[string]bool{}
	for len(seen) < 4 {
		select {
		case e := <-got:
			seen[e.Topic] = true
		case err := <-failed:
			return fmt.Errorf("after %v: %w", seen, err)
		case <-time.After(30 * time.Second):
			return fmt.Errorf("only %v", seen)
		}
	}
	cancel()
	for _, topic := range []string{"create", "start", "exit", "delete"} {
		if !seen["/tasks/"+topic] {
			return fmt.Errorf("no /tasks/%s in %v", topic, seen)
		}
	}
	// What the helper was doing when it was cut off is removed here.
	for {
		c, err := r.client.LoadContainer(r.ctx, "go-3")
		if errdefs.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if task, err := c.Task(r.ctx, nil); err == nil {
			task.Delete(r.ctx, client.WithProcessKill)
		}
		c.Delete(r.ctx, client.WithSnapshotCleanup)
	}
}

func leaseLife(r *run) error {
	manager := r.client.LeasesService()
	lease, err := manager.Create(r.ctx, leases.WithID("go-lease"), leases.WithExpiration(time.Hour))
	if err != nil {
		return err
	}
	_, err = manager.Create(r.ctx, leases.WithID("go-lease"))
	if err := equal("already exists", errdefs.IsAlreadyExists(err), true); err != nil {
		return err
	}
	data := []byte("held")
	desc := v1.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
	held := leases.WithLease(r.ctx, lease.ID)
	if err := content.WriteBlob(held, r.client.ContentStore(), "held", bytes.NewReader(data), desc); err != nil {
		return err
	}
	resources, err := manager.ListResources(r.ctx, lease)
	if err != nil {
		return err
	}
	if err := equal("resources", len(resources), 1); err != nil {
		return err
	}
	if err := manager.Delete(r.ctx, lease, leases.SynchronousDelete); err != nil {
		return err
	}
	_, err = r.client.ContentStore().Info(r.ctx, desc.Digest)
	return equal("collected", errdefs.IsNotFound(err), true)
}

func contentLife(r *run) error {
	ctx, done, err := r.client.WithLease(r.ctx)
	if err != nil {
		return err
	}
	defer done(r.ctx)
	store := r.client.ContentStore()
	data := make([]byte, 5_000_000)
	rand.Read(data)
	desc := v1.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := content.WriteBlob(ctx, store, "go-blob", bytes.NewReader(data), desc,
		content.WithLabels(map[string]string{"go": "1"})); err != nil {
		return err
	}
	if err := content.WriteBlob(ctx, store, "go-blob-2", bytes.NewReader(data), desc); err != nil {
		return fmt.Errorf("a second time: %w", err)
	}
	read, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return err
	}
	if !bytes.Equal(read, data) {
		return errors.New("other bytes")
	}
	found := 0
	err = store.Walk(ctx, func(content.Info) error { found++; return nil }, `labels."go"==1`)
	if err != nil {
		return err
	}
	if err := equal("found", found, 1); err != nil {
		return err
	}
	wrong := v1.Descriptor{Digest: digest.FromString("other"), Size: int64(len(data))}
	if err := content.WriteBlob(ctx, store, "go-lie", bytes.NewReader(data), wrong); err == nil {
		return errors.New("a digest that lies was accepted")
	}
	store.Abort(ctx, "go-lie")
	return store.Delete(ctx, desc.Digest)
}

func snapshotLife(r *run) error {
	ctx, done, err := r.client.WithLease(r.ctx)
	if err != nil {
		return err
	}
	defer done(r.ctx)
	for _, name := range []string{"overlayfs", "native"} {
		if err := oneSnapshotter(ctx, r.client.SnapshotService(name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func oneSnapshotter(ctx context.Context, s snapshots.Snapshotter) error {
	mounts, err := s.Prepare(ctx, "go-a", "")
	if err != nil {
		return err
	}
	err = mount.WithTempMount(ctx, mounts, func(root string) error {
		return os.WriteFile(root+"/file", []byte("data"), 0o600)
	})
	if err != nil {
		return err
	}
	if err := s.Commit(ctx, "go-b", "go-a"); err != nil {
		return err
	}
	mounts, err = s.View(ctx, "go-c", "go-b")
	if err != nil {
		return err
	}
	err = mount.WithReadonlyTempMount(ctx, mounts, func(root string) error {
		data, err := os.ReadFile(root + "/file")
		return errors.Join(err, equal("content", string(data), "data"))
	})
	if err != nil {
		return err
	}
	usage, err := s.Usage(ctx, "go-b")
	if err != nil {
		return err
	}
	if usage.Inodes < 1 {
		return fmt.Errorf("usage %v", usage)
	}
	err = s.Remove(ctx, "go-b")
	if err := equal("remove of a parent is refused", errdefs.IsFailedPrecondition(err), true); err != nil {
		return err
	}
	count := 0
	if err := s.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if strings.HasPrefix(info.Name, "go-") {
			count++
		}
		return nil
	}); err != nil {
		return err
	}
	return errors.Join(equal("snapshots", count, 2), s.Remove(ctx, "go-c"), s.Remove(ctx, "go-b"))
}

// reconnect: a second client finds the running task and its exit.
func reconnect(r *run) error {
	c, task, err := r.sleeper("go-4")
	if err != nil {
		return err
	}
	other, err := client.New(r.address)
	if err != nil {
		return err
	}
	defer other.Close()
	loaded, err := other.LoadContainer(r.ctx, "go-4")
	if err != nil {
		return err
	}
	again, err := loaded.Task(r.ctx, cio.Load)
	if err != nil {
		return err
	}
	if err := equal("pid", again.Pid(), task.Pid()); err != nil {
		return err
	}
	exits, err := again.Wait(r.ctx)
	if err != nil {
		return err
	}
	if err := task.Kill(r.ctx, syscall.SIGTERM); err != nil { // sleep ignores it as process 1
		return err
	}
	if err := r.stop(c, task); err != nil {
		return err
	}
	status := <-exits
	return equal("exit code", status.ExitCode(), 137)
}

func parallel(r *run) error {
	const count = 8
	results := make(chan error, count)
	for i := range count {
		go func() {
			c, task, err := r.sleeper(fmt.Sprintf("go-p%d", i))
			if err == nil {
				err = r.stop(c, task)
			}
			results <- err
		}()
	}
	var all error
	for range count {
		all = errors.Join(all, <-results)
	}
	return all
}

func removeImage(r *run) error {
	if err := r.client.ImageService().Delete(r.ctx, imageName); err != nil {
		return err
	}
	_, err := r.client.GetImage(r.ctx, imageName)
	return equal("not found", errdefs.IsNotFound(err), true)
}
