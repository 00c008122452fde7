package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"provision/overlay"
	"provision/overlay/device"
	"provision/overlay/host"
	"provision/overlay/rules"
	"provision/overlay/state"
)

// defaultMTU stands in until the link that has the machine's address is there.
const defaultMTU = 1500

// heal makes the kernel what it should be and says how it went. It returns when
// to look again.
func (a *agent) heal() time.Duration {
	mtu, again, err := a.apply()
	problems := slices.Clone(a.refused)
	if text := a.source.Trouble(); text != "" {
		problems = append(problems, text)
	}
	if err != nil {
		problems = append(problems, strings.Split(err.Error(), "\n")...)
	}
	if a.trouble != nil {
		problems = append(problems, a.trouble.Error())
	}
	if a.unkeyed != nil {
		problems = append(problems, fmt.Sprintf("this machine's key stays as it was: %v", a.unkeyed))
	}
	if a.unshared != nil {
		problems = append(problems, fmt.Sprintf("the pre-shared key stays as it was: %v", a.unshared))
	}
	problems = append(problems, a.lookAround()...)
	problems = append(problems, formerPods(overlay.Leases, a.mesh.Subnets)...)
	statuses := overlay.PeerStatuses(a.mesh, a.heard)
	problems = append(problems, a.measure(mtu, statuses)...)
	a.tell(problems)
	status := overlay.Status{
		Node: a.config.Node, Updated: time.Now(), Mode: a.mode, PublicKey: a.public, NextKey: a.next, Announced: a.agreed, Preshared: a.psk != overlay.PresharedKey{}, MTU: mtu,
		Subnets: a.mesh.Subnets, Peers: statuses, Problems: problems,
	}
	if err := a.metrics.set(status); err != nil {
		status.Problems = append(status.Problems, err.Error())
	}
	data, jsonErr := json.MarshalIndent(status, "", "  ")
	if jsonErr == nil {
		jsonErr = state.WriteFile(filepath.Join(a.config.RunDir, overlay.StatusName), append(data, '\n'), 0o644)
	}
	if jsonErr != nil {
		a.log.Error("the status is not written", "error", jsonErr)
	}
	if err != nil || a.trouble != nil {
		return uneasy
	}
	if again {
		return overlay.Courtesy
	}
	if a.stirred {
		return lookSoon
	}
	return calm
}

// apply goes from what closes to what opens: the rules and the unreachable route
// are there before the first packet can take a wrong way. One step that fails
// does not keep the others from their work.
func (a *agent) apply() (mtu int, again bool, err error) {
	var errs []error
	try := func(err error) bool {
		if err != nil {
			errs = append(errs, err)
		}
		return err == nil
	}
	if underlay, err := host.UnderlayMTU(a.config.Address, a.mesh.Peers); try(err) {
		a.underlay = underlay
	} else if a.underlay == 0 {
		a.underlay = defaultMTU
	}
	if a.mode == "" {
		mode, err := device.Resolve(a.config.Mode)
		if try(err) {
			a.mode = mode
			a.log.Info("WireGuard", "mode", mode)
		}
	}
	want := overlay.Desired(a.config, a.mesh, a.underlay)
	if written, err := rules.Ensure(want.Rules); try(err) && written {
		a.log.Info("nftables rules written", "table", "inet "+rules.Table)
	}
	if written, err := rules.AdmitDocker(); try(err) && written {
		a.log.Info("docker's firewall lets the pods' packets through")
	}
	absent := map[string]bool{overlay.Bridge: true, overlay.Tunnel: true}
	if len(want.CNI.Subnets) > 0 && try(host.EnsureBridge(want.MTU, want.CNI.Subnets[0].Bridge)) {
		absent[overlay.Bridge] = false
		try(host.EnsureAddresses(overlay.Bridge, want.Bridge, want.Rules.Pods))
		try(a.keepPorts())
	}
	if a.mode != "" && try(host.EnsureTunnel(a.mode, want.MTU)) {
		absent[overlay.Tunnel] = false
		var heard []overlay.DevicePeer
		if heard, again, err = a.device.Sync(a.key, a.psk, want.Device); try(err) {
			a.heard = heard
		}
		try(host.EnsureAddresses(overlay.Tunnel, want.Tunnel, want.Rules.Pods))
	}
	laid, err := host.EnsureRoutes(slices.DeleteFunc(want.Routes, func(r overlay.Route) bool { return absent[r.Device] }), want.Rules.Pods)
	try(err)
	for _, text := range a.unlaid(laid, time.Now()) {
		try(errors.New(text))
	}
	if slices.ContainsFunc(want.Rules.Pods, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		try(host.KeepRouters(a.remember))
	}
	try(host.EnsureSysctls(want.Sysctls, a.remember))
	if a.config.CNIConf != "" && len(want.CNI.Subnets) > 0 {
		// Unlike our other files for everybody: it says what the links and addresses
		// say anyway, and what looks after pod networks on a machine, be it without
		// root, expects to read what runtimes are told.
		try(state.WriteFile(a.config.CNIConf, want.CNI.Conflist(), 0o644))
	}
	return want.MTU, again, errors.Join(errs...)
}

// portsFile is below /run: a reboot takes the links with it.
const portsFile = "ports.json"

// keepPorts has the pods' links survive bridge0.
func (a *agent) keepPorts() error {
	now, restored, err := host.KeepPorts(a.ports)
	for _, name := range restored {
		a.log.Info("put back on bridge0, which was made anew", "link", name)
	}
	if err != nil || now.Equal(a.ports) {
		return err
	}
	a.ports = now
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return state.WriteFile(filepath.Join(a.config.RunDir, portsFile), data, 0o644)
}

// loadPorts reads what an earlier run of this boot kept; without it the next
// look finds them.
func (a *agent) loadPorts() {
	data, err := os.ReadFile(filepath.Join(a.config.RunDir, portsFile))
	if err != nil || json.Unmarshal(data, &a.ports) != nil {
		a.ports = host.Ports{}
	}
}

// remember notes what a kernel parameter held before its first change.
func (a *agent) remember(name, value string) error {
	if strings.Contains(name, "/"+overlay.Bridge+"/") || strings.Contains(name, "/"+overlay.Tunnel+"/") {
		return nil // goes with the device
	}
	before, err := a.dir.Before()
	if err != nil {
		return err
	}
	if _, known := before[name]; known {
		return nil
	}
	before[name] = value
	return a.dir.SaveBefore(before)
}

// tell logs problems when they come and go, not every time they are seen.
func (a *agent) tell(problems []string) {
	for _, p := range problems {
		if !slices.Contains(a.known, p) {
			a.log.Warn(p)
		}
	}
	for _, p := range a.known {
		if !slices.Contains(problems, p) {
			a.log.Info("no longer: " + p)
		}
	}
	a.known = problems
}
