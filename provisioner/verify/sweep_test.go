package verify

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
)

func TestAKilledProcessIsNotAlive(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	_, start := process(child.Process.Pid)
	who := host + "/" + strconv.Itoa(child.Process.Pid) + "/" + start
	if !alive(who) {
		t.Errorf("%s is not alive", who)
	}
	child.Process.Kill()
	for { // killed, and a zombie until Wait
		if state, _ := process(child.Process.Pid); state == "Z" {
			break
		}
	}
	if alive(who) {
		t.Error("a zombie is alive")
	}
	child.Wait()
	if alive(who) {
		t.Error("a process that is gone is alive")
	}
}
