#!/bin/bash
# Installs foreign Kafka clients below .cache/ and runs them against a fresh broker.
#   run.sh                          bin/millrace, all clients; the essential ones on epoll again
#   run.sh -only kafka-python,kcat  some clients
#   run.sh -broker kafka            a real Apache Kafka: the oracle for the suites themselves
#   run.sh -broker 'CMD {port} {data} {admin}'    any other broker
#   run.sh -bootstrap HOST:PORT     a broker that already runs
set -euo pipefail
cd "$(dirname "$0")/../.."
case " $* ${BOOTSTRAP:-}${BROKER:-}" in
*-broker*|*-bootstrap*) ;;
*) [ -n "${BOOTSTRAP:-}${BROKER:-}" ] || [ -n "${NOBUILD:-}" ] || make -s build ;;
esac
export GOFLAGS=-ldflags=-checklinkname=0
mkdir -p .cache/compat
go build -o .cache/compat/runner ./test/compat/runner
exec .cache/compat/runner "$@"
