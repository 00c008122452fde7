package remove

import (
	"strings"
	"testing"

	"provision/components/removal"
)

var settings = (&remover{list: removal.Inventory()}).settings()

// What nobody can put back is named, and what somebody set meanwhile is not ours to name.
func TestALostJournalIsTold(t *testing.T) {
	w := newWorld(t)
	w.write(settings, "# Ours.\nvm.overcommit_memory = 1\nnet.ipv4.ip_forward = 1\nnet.ipv4.conf.eth0/100.forwarding = 1\n")
	w.write("/proc/sys/vm/overcommit_memory", "1\n")
	w.write("/proc/sys/net/ipv4/ip_forward", "0\n")
	w.write("/proc/sys/net/ipv4/conf/eth0.100/forwarding", "1\n")
	report := w.remove()
	if len(report.Kept) != 1 || !strings.Contains(report.Kept[0].What, "vm.overcommit_memory, net.ipv4.conf.eth0/100.forwarding") || strings.Contains(report.Kept[0].What, "ip_forward") {
		t.Errorf("kept %v", report.Kept)
	}
	if w.there(settings) || len(report.Residue) > 0 {
		t.Errorf("the file is there: %v; residue %v", w.there(settings), report.Residue)
	}
	if again := w.remove(); len(again.Kept) > 0 {
		t.Errorf("the second time %v was kept", again.Kept)
	}
}

func TestAFolderOfNetworkManagersIsOursOnlyWhereItIsNotInstalled(t *testing.T) {
	for _, installed := range []bool{false, true} {
		w := newWorld(t)
		w.write(settings, "# Ours.\n")
		w.write("/etc/NetworkManager/conf.d/90-provision.conf", "ours")
		if installed {
			w.write("/etc/NetworkManager/NetworkManager.conf", "theirs")
		}
		w.remove()
		if there := w.there("/etc/NetworkManager/conf.d"); there != installed {
			t.Errorf("NetworkManager is installed: %v; its folder is there: %v", installed, there)
		}
	}
}
