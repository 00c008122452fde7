package pki

import "provision/components"

// Complete says that everything is there that Init makes.
func Complete(f components.Facts) bool {
	for _, name := range []string{
		ClusterCA + ".crt", ClusterCA + ".key", EtcdCA + ".crt", EtcdCA + ".key", FrontProxyCA + ".crt", FrontProxyCA + ".key",
		"service-account.key", "service-account.pub", "encryption.yaml",
	} {
		if _, there := f.Files[components.PKI+"/"+name]; !there {
			return false
		}
	}
	return true
}
