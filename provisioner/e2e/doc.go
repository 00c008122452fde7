// Package e2e tests the tool as its user meets it: the built programs, a lab of
// real machines, a real cluster. Its tests need root, the lab's image and a
// bundle (`make build bundle`), and run as testenv/test.sh does (build tag lab).
package e2e
