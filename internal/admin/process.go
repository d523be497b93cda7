package admin

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// process tells what the broker costs where the standard process collector does not: processor
// time by its two kinds, context switches and what went to the storage layer. The load generator
// reads these when it has only the admin address.
func (e *emitter) process() {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) == nil {
		e.counter("millrace_process_user_seconds_total", "Processor time in the broker's own code.",
			float64(ru.Utime.Nano())/1e9)
		e.counter("millrace_process_system_seconds_total", "Processor time in the kernel.",
			float64(ru.Stime.Nano())/1e9)
		e.counter("millrace_process_voluntary_switches_total",
			"Context switches of threads that had nothing to do.", float64(ru.Nvcsw))
		e.counter("millrace_process_involuntary_switches_total",
			"Context switches of threads that had to make room for others.", float64(ru.Nivcsw))
	}
	if data, err := os.ReadFile("/proc/self/io"); err == nil {
		written, read := storage(string(data))
		e.counter("millrace_process_disk_written_bytes_total", "Bytes sent to the storage layer.",
			written)
		e.counter("millrace_process_disk_read_bytes_total", "Bytes fetched from the storage layer.",
			read)
	}
}

// storage picks two figures of /proc/self/io.
func storage(text string) (written, read float64) {
	for _, line := range strings.Split(text, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "write_bytes":
			written = float64(n)
		case "read_bytes":
			read = float64(n)
		}
	}
	return written, read
}
