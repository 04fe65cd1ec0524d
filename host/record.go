package host

import (
	"math/rand/v2"
	"path/filepath"

	"github.com/wasmgate/wasmgate/host/internal/recording"
)

// recordings is the folder in data_dir that has a folder for each plugin that was recorded.
const recordings = "recordings"

// openRecorder makes what policies with record write with. What is secret it asks for anew
// for each recording: a reload may have brought other secrets.
func (k *core) openRecorder(dataDir string) {
	k.recorder = recording.New(recording.Options{
		Engine: k.engine, Dir: filepath.Join(dataDir, recordings), Log: k.log, Random: rand.Float64,
		MaxBytes: func() int64 { return k.powers.setup.Load().config.Recordings.Bytes },
		Count:    k.observer.Recorded,
		Known: func() (rules recording.Rules) {
			c := k.powers.setup.Load().config
			rules.Secrets, rules.References = c.Known()
			rules.Query = c.Log.Access.RedactQuery
			return rules
		},
	})
	k.closers = append(k.closers, k.recorder.Close)
}
