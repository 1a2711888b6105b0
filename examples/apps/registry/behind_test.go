package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/heddle-go/heddle/examples/apps/internal/behind"
)

func TestMain(m *testing.M) { os.Exit(behind.Main(m)) }

// Debian's skopeo pushes an image of several megabytes and pulls it again, and
// its digest is the same.
func TestSkopeo(t *testing.T) {
	skopeo := behind.Need(t, "skopeo", "skopeo")
	image, err := random.Image(3<<20, 3) // three layers of 3 MiB
	if err != nil {
		t.Fatal(err)
	}
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	path, err := layout.Write(from, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	want, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(behind.Heddle(t, "registry", []string{"--workers", "1"}), "http://")
	remote := "docker://" + host + "/some/image:v1"
	behind.Output(t, "", skopeo, "--insecure-policy", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false", "oci:"+from, remote)
	got := strings.TrimSpace(behind.Output(t, "", skopeo, "--insecure-policy", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", remote))
	if got != want.String() {
		t.Errorf("digest %s, want %s", got, want)
	}
	behind.Output(t, "", skopeo, "--insecure-policy", "copy", "-q", "--preserve-digests", "--src-tls-verify=false", remote, "oci:"+to)
	back, err := layout.ImageIndexFromPath(to)
	if err != nil {
		t.Fatal(err)
	}
	m, err := back.IndexManifest()
	if err != nil || len(m.Manifests) != 1 || m.Manifests[0].Digest != want {
		t.Errorf("pulled %+v, %v; want %s", m, err, want)
	}
}
