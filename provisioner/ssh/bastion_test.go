package ssh

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"provision/provisioner/ssh/sshtest"
)

// dialAll connects to as many machines at once, all with one dialer.
func dialAll(t *testing.T, dialer *Dialer, to Target, n int) []*Client {
	t.Helper()
	clients := make([]*Client, n)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			client, err := dialer.Dial(soon(t), to)
			if err != nil {
				t.Error(err)
				return
			}
			clients[i] = client
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return clients
}

func TestManyMachinesShareABastion(t *testing.T) {
	noLeaks(t)
	bastion, machine := sshtest.Start(t, sshtest.Options{}), sshtest.Start(t, sshtest.Options{})
	to := target(machine)
	to.Bastions = []Target{target(bastion)}
	dialer := new(Dialer)
	clients := dialAll(t, dialer, to, 30)
	if n := bastion.Stats().Connections; n != 1 {
		t.Errorf("the bastion saw %d connections, want 1", n)
	}
	for i, client := range clients[:29] {
		if err := client.Close(); err != nil {
			t.Fatal(i, err)
		}
	}
	if got, err := clients[29].Run(soon(t), []string{"echo", "there"}, nil); err != nil || string(got) != "there\n" {
		t.Errorf("the last one: %q, %v", got, err)
	}
	clients[29].Close()
	dialAll(t, dialer, to, 1)[0].Close()
	if n := bastion.Stats().Connections; n != 2 {
		t.Errorf("the bastion saw %d connections, want one more after all had ended", n)
	}
}

func TestABastionThatWentAwayIsDialedAnew(t *testing.T) {
	bastion, machine := sshtest.Start(t, sshtest.Options{}), sshtest.Start(t, sshtest.Options{})
	to := target(machine)
	to.Bastions = []Target{target(bastion)}
	dialer := new(Dialer)
	before := dialAll(t, dialer, to, 3)
	bastion.Drop()
	for _, client := range before {
		<-client.Done()
	}
	for _, client := range append(dialAll(t, dialer, to, 3), before...) {
		client.Close()
	}
	if n := bastion.Stats().Connections; n != 2 {
		t.Errorf("the bastion saw %d connections, want 2", n)
	}
}

// A machine that boots is tried again, the bastion in front of it is not.
func TestABootingMachineBehindABastion(t *testing.T) {
	bastion, machine := sshtest.Start(t, sshtest.Options{}), sshtest.Start(t, sshtest.Options{})
	machine.RefuseNext(3)
	to := target(machine)
	to.Bastions = []Target{target(bastion)}
	dialAll(t, new(Dialer), to, 1)[0].Close()
	if n := bastion.Stats().Connections; n != 1 {
		t.Errorf("the bastion saw %d connections, want 1", n)
	}
}

// Who dialed first and gave up takes the bastion from nobody.
func TestTheFirstAtABastionGivesUp(t *testing.T) {
	machine := sshtest.Start(t, sshtest.Options{})
	bastion := sshtest.Start(t, sshtest.Options{})
	slow, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	waiting := make(chan struct{})
	go relayAfter(slow, waiting, bastion.Address())

	through := target(bastion)
	through.Port = slow.Addr().(*net.TCPAddr).Port
	to := target(machine)
	to.Bastions = []Target{through}
	dialer := new(Dialer)
	impatient, giveUp := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := dialer.Dial(impatient, to)
		first <- err
	}()
	for dialer.users() != 1 {
		time.Sleep(time.Millisecond)
	}
	second := make(chan error, 1)
	go func() {
		client, err := dialer.Dial(soon(t), to)
		if err == nil {
			client.Close()
		}
		second <- err
	}()
	for dialer.users() != 2 {
		time.Sleep(time.Millisecond)
	}
	giveUp()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first ends with %v", err)
	}
	close(waiting)
	if err := <-second; err != nil {
		t.Error(err)
	}
	if n := bastion.Stats().Connections; n != 1 {
		t.Errorf("the bastion saw %d connections, want 1", n)
	}
}

// users is how many wait for a bastion or use it.
func (d *Dialer) users() (n int) {
	d.hopsMu.Lock()
	defer d.hopsMu.Unlock()
	for _, h := range d.hops {
		n += h.users
	}
	return n
}

// relayAfter passes connections on once it may.
func relayAfter(listener net.Listener, may <-chan struct{}, address string) {
	for {
		from, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			<-may
			to, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer to.Close()
			go pipe(to, from)
			pipe(from, to)
		}()
	}
}

func pipe(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}
