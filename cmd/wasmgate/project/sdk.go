package project

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Archive is the file in which the SDKs come into the binary.
const Archive = "sdk.zip"

// ReadSDKs opens an archive that [WriteSDKs] made.
func ReadSDKs(archive []byte) (fs.FS, error) {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Archive, err)
	}
	return r, nil
}

// WriteSDKs packs what a plugin needs of each language's SDK, of root's folder sdk, and
// root's LICENSE with each. The same sources give the same bytes.
func WriteSDKs(w io.Writer, root fs.FS) error {
	license, err := fs.ReadFile(root, "LICENSE")
	if err != nil {
		return err
	}
	archive := zip.NewWriter(w)
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, l := range languages() {
		if err := add(archive, l.name+"/LICENSE", license); err != nil {
			return err
		}
		from := path.Join("sdk", l.name)
		err := fs.WalkDir(root, from, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if left := strings.TrimPrefix(name, from+"/"); omitted(l.name, left) {
					return fs.SkipDir
				}
				return nil
			}
			if !isSource(path.Base(name)) {
				return nil
			}
			content, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			return add(archive, strings.TrimPrefix(name, "sdk/"), content)
		})
		if err != nil {
			return fmt.Errorf("pack SDK %q: %w", l.name, err)
		}
	}
	return archive.Close()
}

func add(archive *zip.Writer, name string, content []byte) error {
	f, err := archive.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate}) // no time
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return err
}

// omitted tells whether a folder of an SDK is not for plugins: tests, what toolchains leave,
// and Go's examples, which are a module of their own.
func omitted(language, folder string) bool {
	return slices.Contains([]string{"tests", "testdata", "target", "node_modules", "build", "zig-out", ".zig-cache"}, path.Base(folder)) ||
		language == "go" && folder == "examples"
}

// isSource goes by the name, so that nothing that a build left gets in.
func isSource(name string) bool {
	if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "vectors_test.") {
		return false
	}
	return slices.Contains([]string{".c", ".go", ".h", ".json", ".lock", ".md", ".mod", ".rs", ".toml", ".ts", ".txt", ".zig", ".zon"}, path.Ext(name))
}
