//go:build lab

package facts

import "testing"

// A unit that is down because systemd restarts it after another is on its way,
// and one that is down and stays so is not.
func TestAUnitInTheMiddleOfARestartIsOnItsWay(t *testing.T) {
	f := lookAt(t, `mkdir -p etc/systemd/system; touch etc/systemd/system/provision-overlay.service
		cat >usr/local/bin/systemctl <<'E'
#!/bin/sh
case $* in *,Job*) ;; *) exit 1 ;; esac
printf 'MainPID=0\nId=provision-overlay.service\nActiveState=inactive\nUnitFileState=enabled\nNeedDaemonReload=no\nJob=1234\n\n'
printf 'MainPID=0\nId=provision-proxy.service\nActiveState=inactive\nUnitFileState=enabled\nNeedDaemonReload=no\n\n'
printf 'MainPID=0\nId=provision-kubelet.service\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\nJob=1235\n'
E
		chmod 755 usr/local/bin/systemctl`)
	for name, want := range map[string]string{"overlay": "activating", "proxy": "inactive", "kubelet": "active"} {
		if got := f.Units["provision-"+name+".service"].Active; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
