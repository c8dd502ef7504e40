# Targets: deps build demo test check e2e e2e10 fuzz bench fmt.  README.md says what each needs.

# What the targets below use beside Go, make and git, as Debian package names: the demo, and what
# the tests need besides.
DEMO_PACKAGES = qemu-system-x86 dbus systemd util-linux
PACKAGES = $(DEMO_PACKAGES) gcc libc6-dev qemu-system-common qemu-utils dbus-broker swtpm \
	libglib2.0-bin libglib2.0-dev-bin python3-dasbus python3-dbus python3-gi qtbase5-dev-tools

# The QEMU under test, and how long each fuzz target runs.
QEMU ?= qemu-system-x86_64
FUZZTIME ?= 30s
UNIT = $(shell go list ./... | grep -v '/e2e')

.PHONY: deps demo-deps build demo test check e2e e2e10 fuzz bench fmt

# Installs what is missing as root or through sudo; otherwise says what to install.
demo-deps: PACKAGES = $(DEMO_PACKAGES)
deps demo-deps:
	@missing=; for p in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	test -z "$$missing" && exit 0; \
	if test "$$(id -u)" = 0; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo; else \
		echo "make deps: missing packages; as root run: apt-get install$$missing" >&2; exit 1; fi; \
	$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $$missing

build:
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/ ./cmd/...

demo: demo-deps build
	./e2e/demo.sh

# Everything: unit tests, then the built binary against real QEMU, dbus-daemon and dbus-broker. Some
# tests want a Linux guest, two other QEMUs; where those can't be had the tests say so.
test: deps
	go test -shuffle=on $(UNIT)
	-./e2e/qemu.sh 10
	-./e2e/qemu.sh 5.2
	-./e2e/guest.sh
	$(MAKE) e2e

e2e:
	QEMU=$(QEMU) go test -count=1 -timeout 15m ./e2e/...

# The same with the QEMU of bookworm-backports.
e2e10: deps
	-./e2e/guest.sh
	qemu=$$(./e2e/qemu.sh 10) && $(MAKE) e2e QEMU="$$qemu"

check:
	@test -z "$$(go tool gofumpt -l .)" || { echo 'not formatted (make fmt):'; go tool gofumpt -l .; exit 1; }
	go vet ./...
	go fix -diff ./...
	go tool staticcheck -checks all ./...
	go mod tidy -diff
	go test -race -shuffle=on $(UNIT)

# Every fuzz target of the repository, FUZZTIME each.
fuzz:
	@go list -f '{{.Dir}}' ./... | while read -r dir; do \
		grep -ho '^func Fuzz[A-Za-z0-9]*' "$$dir"/*_test.go 2>/dev/null | cut -d' ' -f2 | sort -u | while read -r name; do \
			echo "== $$dir $$name"; (cd "$$dir" && go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s .) || exit 1; done || exit 1; done

bench: deps build
	go run ./e2e/bench -bridge bin/qmp-dbus-bridge -qemu $(QEMU)

fmt:
	go tool gofumpt -w .
	go mod tidy
