//go:build lab

package agent

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"provision/overlay"
)

// handmade is WireGuard in user space as upstream's own example has it: the
// control of BenchmarkSpeed. It runs until its standard input ends.
func handmade(link string, settings string) error {
	t, err := tun.CreateTUN(link, device.DefaultMTU)
	if err != nil {
		return err
	}
	dev := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	defer dev.Close()
	if err := dev.IpcSet(strings.ReplaceAll(settings, ",", "\n") + "\n"); err != nil {
		return err
	}
	if err := dev.Up(); err != nil {
		return err
	}
	fmt.Println("ready")
	<-dev.Wait()
	return nil
}

// trips prints the median round trip of UDP echoes, in microseconds.
func trips(address string, count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	c, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	var took []time.Duration
	buf := make([]byte, 64)
	for range n {
		start := time.Now()
		c.Write([]byte("ping"))
		c.SetReadDeadline(start.Add(time.Second))
		if _, err := c.Read(buf); err == nil {
			took = append(took, time.Since(start))
		}
	}
	if len(took) < n/2 {
		return fmt.Errorf("%d of %d answered", len(took), n)
	}
	fmt.Println(median(took).Microseconds())
	return nil
}

func median[T cmp.Ordered](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}

// BenchmarkSpeed compares three ways between the same two pods, in turns: the
// overlay, a hand-made WireGuard pair with upstream's defaults, and no encryption
// at all. OVERLAY_LOAD is the time of each stream.
func BenchmarkSpeed(b *testing.B) {
	machines := newLab(b, 2)
	introduceAll(b, machines)
	one, other := machines[0], machines[1]
	keys := []overlay.PrivateKey{overlay.NewPrivateKey(), overlay.NewPrivateKey()}
	for i, m := range machines {
		m.plugPod()
		n, far := i+1, machines[1-i]
		public := keys[1-i].Public()
		settings := fmt.Sprintf("private_key=%s,listen_port=51999,public_key=%s,endpoint=%s:51999,allowed_ip=10.99.0.0/16",
			hex.EncodeToString(keys[i][:]), hex.EncodeToString(public[:]), far.address)
		p := m.background(m.name, "handmade", "hand0", settings)
		eventually(b, "hand-made device", 5*time.Second, func() bool { return strings.Contains(p.log.String(), "ready") })
		for third, way := range map[int]string{99: "dev hand0", 98: "via " + far.address} {
			ip(b, m.name, fmt.Sprintf("addr add 10.%d.%d.1/24 dev bridge0", third, n))
			ip(b, m.pod, fmt.Sprintf("addr add 10.%d.%d.9/24 dev eth0", third, n))
			ip(b, m.pod, fmt.Sprintf("route add 10.%d.0.0/16 via 10.%d.%d.1", third, third, n))
			if third == 99 {
				ip(b, m.name, "link set hand0 up")
			}
			ip(b, m.name, fmt.Sprintf("route add 10.%d.%d.0/24 %s", third, 3-n, way))
		}
		ip(b, m.pod, "link set eth0 mtu 1420")
	}
	ways := []struct{ name, address string }{{"overlay", other.podAddress}, {"handmade", "10.99.2.9"}, {"plain", "10.98.2.9"}}
	megabits, round := map[string][]float64{}, map[string][]float64{}
	load := loadTime()
	if os.Getenv("OVERLAY_LOAD") == "" {
		load = "3s"
	}
	seconds, err := time.ParseDuration(load)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for range 5 {
			for _, way := range ways {
				out, err := in(one.pod, "trips", way.address+":8080", "300")
				if err != nil {
					b.Fatalf("%s: %s", way.name, out)
				}
				us, _ := strconv.ParseFloat(out, 64)
				round[way.name] = append(round[way.name], us)
				if out, err = in(one.pod, "stream", way.address+":8080", load); err != nil {
					b.Fatalf("%s: %s", way.name, out)
				}
				bytes, _ := strconv.ParseFloat(out, 64)
				megabits[way.name] = append(megabits[way.name], bytes*8/1e6/seconds.Seconds())
			}
		}
	}
	var ratios []float64
	for i := range megabits["overlay"] {
		ratios = append(ratios, megabits["overlay"][i]/megabits["handmade"][i])
	}
	for _, way := range ways {
		b.ReportMetric(median(megabits[way.name]), way.name+"-Mbit/s")
		b.ReportMetric(median(round[way.name]), way.name+"-µs")
	}
	b.Logf("ratios to the hand-made pair, round by round: %.2f", ratios)
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(float64(one.wire.memory(b, "VmHWM"))/1024, "MiB-peak-sender")
	b.ReportMetric(float64(other.wire.memory(b, "VmHWM"))/1024, "MiB-peak-receiver")
}
