# Every go command needs this: giouring pulls syscall.munmap by linkname
# (docs/decisions/0001-giouring-linkname.md).
export GOFLAGS += -ldflags=-checklinkname=0
export CGO_ENABLED = 0

.PHONY: build run test
build: ; go build -trimpath -o bin/ ./cmd/...
run: build ; ./bin/millrace serve
test: ; go test ./...
