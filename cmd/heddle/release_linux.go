package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// A release is one immutable version of the app: a private copy of its program,
// so that whoever builds or copies over the original cannot hurt workers that
// run. Its JSON is kept beside the copy's directory.
type release struct {
	Name    string    `json:"release"`
	Target  string    `json:"target"` // as given
	Source  string    `json:"source"` // the package's directory or the executable
	Program string    `json:"program"`
	Args    []string  `json:"args"`
	SHA256  string    `json:"sha256"` // of the program, hexadecimal
	Created time.Time `json:"created"`
}

// makeRelease builds or copies t into a directory of its own under dir.
func makeRelease(ctx context.Context, dir, name string, t target, args []string, stderr io.Writer) (*release, error) {
	home := filepath.Join(dir, name)
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, fmt.Errorf("release %s: %w", name, err)
	}
	r := &release{Name: name, Target: t.given, Program: filepath.Join(home, t.name()), Args: args, Created: time.Now()}
	if t.pkg != "" {
		r.Source = t.pkg
		if err := t.build(ctx, r.Program, stderr); err != nil {
			return nil, err
		}
	} else {
		r.Source = t.path
		if err := copyProgram(r.Program, t.path); err != nil {
			return nil, &failure{code: exitError, err: fmt.Errorf("%s cannot be copied into its release: %w", t.given, err), fine: "nothing was started.", try: "try: ls -l " + t.path + "; df " + home}
		}
	}
	err := os.Chmod(r.Program, 0o500)
	if err != nil {
		return nil, fmt.Errorf("release %s: %w", name, err)
	}
	if r.SHA256, err = hashFile(r.Program); err != nil {
		return nil, fmt.Errorf("release %s: %w", name, err)
	}
	record, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return nil, err
	}
	return r, os.WriteFile(home+".json", append(record, '\n'), 0o600)
}

// copyProgram copies an executable; the copy cannot be written.
func copyProgram(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
