package guest

import (
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/wasmgate/wasmgate/host/internal/guest/fuel"
)

// image is a guest that was just configured: with isolation fresh each call begins from it,
// and so does each further instance of the policy, which is not configured again.
//
// A guest's state is its memory with its size, its globals, its tables, which segments it
// dropped, and on our side its monotonic clock; calls set all else anew. Tables, segments
// and globals of vectors and references cannot be put back, but package fuel marks that
// they changed: an instance that did so in a call is not used again, and when configuring
// did so, each instance is configured and has an image of its own.
type image struct {
	pages       *pages
	size        uint64 // of the memory
	globals     []uint64
	monotonic   uint64
	scratch     uint32
	scratchSize uint32
	portable    bool // other instances can begin from it
}

// state is what of an instance an image is taken from and put back to, besides its memory.
type state struct {
	image   *image // nil with isolation pooled
	globals []api.MutableGlobal
	changed api.MutableGlobal // nil when the module has no code that marks
}

func (in *instance) findState() {
	for {
		g, ok := in.mod.ExportedGlobal(fuel.State(len(in.state.globals))).(api.MutableGlobal)
		if !ok {
			break
		}
		in.state.globals = append(in.state.globals, g)
	}
	in.state.changed, _ = in.mod.ExportedGlobal(fuel.Changed).(api.MutableGlobal)
}

// keep takes an image of an instance that was configured, to begin all its calls from.
func (in *instance) keep() error {
	in.findState()
	i := &image{size: in.linear.size, monotonic: in.clock.monotonic, scratch: in.scratch, scratchSize: in.scratchSize, portable: !in.changed()}
	var err error
	if i.pages, err = newPages(in.linear.reserved[:i.size], in.p.module.engine.pagemap); err != nil {
		return fmt.Errorf("keep the configured guest: %w", err)
	}
	for _, g := range in.state.globals {
		i.globals = append(i.globals, g.Get())
	}
	if err := i.pages.attach(in.linear); err != nil {
		i.pages.close()
		return fmt.Errorf("keep the configured guest: %w", err)
	}
	in.state.image = i
	if in.state.changed != nil {
		in.state.changed.Set(0) // from here on it tells of calls
	}
	return nil
}

// begin makes an instance that ran no code yet what the image was taken from.
func (in *instance) begin(i *image) error {
	in.findState()
	in.scratch, in.scratchSize = i.scratch, i.scratchSize
	if more := i.size - in.linear.size; more > 0 {
		if _, ok := in.mem.Grow(uint32(more / pageBytes)); !ok {
			return fmt.Errorf("begin from the configured guest: no %d bytes of memory", i.size)
		}
	}
	if err := i.pages.attach(in.linear); err != nil {
		return fmt.Errorf("begin from the configured guest: %w", err)
	}
	in.state.image = i
	in.putBack()
	return nil
}

func (in *instance) changed() bool { return in.state.changed != nil && in.state.changed.Get() != 0 }

// putBack is restore without the memory.
func (in *instance) putBack() {
	i := in.state.image
	for n, g := range in.state.globals {
		g.Set(i.globals[n])
	}
	in.clock = clock{monotonic: i.monotonic}
	in.linear.refused = false
}

var errChanged = errors.New("a table, segment, vector or reference changed")

// restore makes an instance what it was when its image was taken; with an error it may not
// be used again.
func (in *instance) restore() error {
	i := in.state.image
	if in.changed() {
		return errChanged
	}
	in.putBack()
	if err := i.pages.restore(in.linear); err != nil {
		return err
	}
	if in.linear.size > i.size && !in.linear.shrink(in.mem, i.size) {
		return errors.New("the memory cannot shrink")
	}
	return nil
}
