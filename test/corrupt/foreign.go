package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// foreign makes of a data directory that was stopped what Apache Kafka would have left: its
// partitions' files without ours, and the mark of a clean stop.
func foreign(data, to string) error {
	root := filepath.Join(data, "log")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir() && strings.HasSuffix(name, "-delete"):
			return fs.SkipDir
		case e.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case filepath.Ext(name) == ".sums", filepath.Ext(name) == ".deleted":
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), b, 0o644)
	})
	if err != nil {
		return err
	}
	if err := allPartitions(to); err != nil {
		return err
	}
	mine, err := os.ReadFile(filepath.Join(data, "meta.properties"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(to, "meta.properties"), mine, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, ".kafka_cleanshutdown"), nil, 0o644)
}

// offsetsPartitions is how many __consumer_offsets has.
const offsetsPartitions = 50

// allPartitions makes the directories that nothing was written to: Kafka has them.
func allPartitions(dir string) error {
	all := append([]topic{{name: "__consumer_offsets", partitions: offsetsPartitions}}, topics...)
	for _, t := range all {
		some, err := filepath.Glob(filepath.Join(dir, t.name+"-*", "partition.metadata"))
		if err != nil || len(some) == 0 {
			return fmt.Errorf("no partition of %s: %w", t.name, err)
		}
		whose, err := os.ReadFile(some[0])
		if err != nil {
			return err
		}
		for p := range t.partitions {
			name := filepath.Join(dir, fmt.Sprintf("%s-%d", t.name, p))
			if _, err := os.Stat(name); err == nil {
				continue
			}
			if err := os.Mkdir(name, 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(name, "partition.metadata"), whose, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
