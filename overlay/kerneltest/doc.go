// Package kerneltest holds the test of the overlay on a kernel with WireGuard,
// on two emulated machines of the lab without Kubernetes: build tag kernel, run
// by `make test-kernel`. Kernels without WireGuard, load and large meshes are
// left to overlay/agent's own tests.
package kerneltest
