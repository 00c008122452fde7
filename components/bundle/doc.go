// Package bundle is the format of the one file that carries everything a
// cluster needs: a tar in which each entry is a zstd frame of its own, the
// manifest first and an index, which tools skip, last.
//
// It writes and reads bytes and checks them; every name, size and sum that it
// hands out was validated, since a bundle and a stream of one are a stranger's
// until their sums match. What goes into a bundle is mkbundle's affair, where
// bundles lie is provisioner/bundle's, and where files go on a machine is
// components/agent/unpack's.
package bundle
