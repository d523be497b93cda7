package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// build makes the broker's binary from the tree that we stand in, with build tags.
func build(ctx context.Context, dir, tags string) (string, error) {
	top, err := root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "millrace"+tags)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", tags,
		"-ldflags=-checklinkname=0", "-o", bin, "./cmd/millrace")
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("chaos: build: %w\n%s", err, out)
	}
	return bin, nil
}
