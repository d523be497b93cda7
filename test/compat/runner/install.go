package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"millrace/bench/kafka"
)

// tools are the installed clients.
type tools struct {
	repo, cache string
	python      string // interpreter of the virtual environment
	node        string // directory with node_modules
	kcat        string // kcat's binary and the libraries it brought
	kcatLibs    string
	gosuite     string // binary with the Go clients
	jars        *kafka.Jars
	streams     string // directory with Kafka Streams' jars
}

// once runs make when the named inputs changed since it last succeeded (R1).
func (t *tools) once(name string, inputs []string, make func(dir string) error) (string, error) {
	dir := filepath.Join(t.cache, name)
	hash := sha256.New()
	for _, in := range inputs {
		data, err := os.ReadFile(in)
		if err != nil {
			return "", err
		}
		hash.Write(data)
	}
	sum, mark := hex.EncodeToString(hash.Sum(nil)), filepath.Join(dir, ".complete")
	if old, err := os.ReadFile(mark); err == nil && string(old) == sum {
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	fmt.Printf("installing %s\n", name)
	if err := make(dir); err != nil {
		return "", fmt.Errorf("compat: install %s: %w", name, err)
	}
	return dir, os.WriteFile(mark, []byte(sum), 0o644)
}

func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func (t *tools) installPython(ctx context.Context) error {
	req := filepath.Join(t.repo, "test/compat/python/requirements.txt")
	dir, err := t.once("python", []string{req}, func(dir string) error {
		if err := run(ctx, dir, "python3", "-m", "venv", dir); err != nil {
			return err
		}
		return run(ctx, dir, filepath.Join(dir, "bin/pip"), "install", "-q",
			"--disable-pip-version-check", "-r", req)
	})
	t.python = filepath.Join(dir, "bin/python")
	return err
}

func (t *tools) installNode(ctx context.Context) error {
	src := filepath.Join(t.repo, "test/compat/node")
	inputs := []string{filepath.Join(src, "package.json"), filepath.Join(src, "package-lock.json")}
	dir, err := t.once("node", inputs, func(dir string) error {
		for _, in := range inputs {
			data, err := os.ReadFile(in)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(in)), data, 0o644); err != nil {
				return err
			}
		}
		return run(ctx, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	})
	t.node = dir
	return err
}

// installKcat unpacks Debian's packages instead of installing them (R1).
func (t *tools) installKcat(ctx context.Context) error {
	if path, err := exec.LookPath("kcat"); err == nil {
		t.kcat = path
		return nil
	}
	dir, err := t.once("kcat", nil, func(dir string) error {
		packages := []string{"kcat", "librdkafka1", "libyajl2"}
		get := append([]string{"download"}, packages...)
		if err := run(ctx, dir, "apt-get", get...); err != nil {
			if err := run(ctx, dir, "apt-get", "update"); err != nil {
				return err
			}
			if err := run(ctx, dir, "apt-get", get...); err != nil {
				return err
			}
		}
		debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
		if err != nil {
			return err
		}
		for _, deb := range debs {
			if err := run(ctx, dir, "dpkg", "-x", deb, dir); err != nil {
				return err
			}
		}
		return nil
	})
	t.kcat = filepath.Join(dir, "usr/bin/kcat")
	t.kcatLibs = filepath.Join(dir, "usr/lib/x86_64-linux-gnu")
	return err
}

// installGo builds the suites of the Go clients, a module of their own.
func (t *tools) installGo(ctx context.Context) error {
	t.gosuite = filepath.Join(t.cache, "goclients")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", t.gosuite, ".")
	cmd.Dir = filepath.Join(t.repo, "test/compat/goclients")
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compat: build the Go clients: %w\n%s", err, out.Bytes())
	}
	return nil
}

func (t *tools) installJava(ctx context.Context) (err error) {
	t.jars, err = kafka.Fetch(ctx, t.cache)
	return err
}

// installStreams resolves Kafka Streams; the rest of Kafka is there by then.
func (t *tools) installStreams(ctx context.Context) (err error) {
	pom := filepath.Join(t.repo, "test/compat/streams/pom.xml")
	t.streams, err = t.once("streams", []string{pom}, func(dir string) error {
		return run(ctx, dir, "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies",
			"-DoutputDirectory="+dir)
	})
	return err
}
