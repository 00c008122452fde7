// Package archtest holds the tests of what ARCHITECTURE.md promises of the code
// as a whole: who may import whom, that every package says what it is for, that
// no file outgrows a reader. It reads every Go file below the root, whatever
// its build tags and its module, and leaves how a package does its work to that
// package's own tests.
package archtest
